// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "err.h"
#include "progress.h"
#include "verbs.h"

static void line(FILE *to, const char *verb, const char *fmt, va_list ap,
		 const char *tail)
{
	char text[1024];

	vsnprintf(text, sizeof(text), fmt, ap);
	fflush(stdout);
	progress_break();
	fprintf(to, "bowline: %s%s%s%s%s\n", verb ? verb : "", verb ? ": " : "",
		text, tail ? ": " : "", tail ? tail : "");
	fflush(to);
}

int error(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	line(stderr, NULL, fmt, ap, NULL);
	va_end(ap);
	return -1;
}

int error_errno(const char *fmt, ...)
{
	const char *why = strerror(errno);
	va_list ap;

	va_start(ap, fmt);
	line(stderr, NULL, fmt, ap, why);
	va_end(ap);
	return -1;
}

void say(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	line(stdout, NULL, fmt, ap, NULL);
	va_end(ap);
}

int usage_error(const char *verb, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	fprintf(stderr, "bowline: %s: %s; see 'bowline %s --help'\n", verb,
		text, verb);
	return 2;
}
