// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Debian's libubootenv.a is compiled against glibc with its checked variants
 * of a few functions; the device binary is linked with musl, which has only
 * the plain ones. Everything else that the archive asks for, musl has under
 * the same name and with the same layout. Part of the sysroot, not of the
 * updater (scripts/sysroot.sh).
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

ssize_t __getdelim(char **line, size_t *room, int delim, FILE *f);
int __asprintf_chk(char **to, int flag, const char *fmt, ...);
int __snprintf_chk(char *to, size_t n, int flag, size_t room, const char *fmt,
		   ...);
int __sprintf_chk(char *to, int flag, size_t room, const char *fmt, ...);
void *__memcpy_chk(void *to, const void *from, size_t n, size_t room);

ssize_t __getdelim(char **line, size_t *room, int delim, FILE *f)
{
	return getdelim(line, room, delim, f);
}

int __asprintf_chk(char **to, int flag, const char *fmt, ...)
{
	va_list args;
	int n;

	va_start(args, fmt);
	n = vasprintf(to, fmt, args);
	va_end(args);
	return n;
}

int __snprintf_chk(char *to, size_t n, int flag, size_t room, const char *fmt,
		   ...)
{
	va_list args;
	int r;

	if (n > room)
		abort();
	va_start(args, fmt);
	r = vsnprintf(to, n, fmt, args);
	va_end(args);
	return r;
}

int __sprintf_chk(char *to, int flag, size_t room, const char *fmt, ...)
{
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(to, room, fmt, args);
	va_end(args);
	if (n < 0 || (size_t)n >= room)
		abort();
	return n;
}

void *__memcpy_chk(void *to, const void *from, size_t n, size_t room)
{
	if (n > room)
		abort();
	return memcpy(to, from, n);
}
