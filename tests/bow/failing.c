// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * For LD_PRELOAD: counts a program's writes and flushes, and lets one fail.
 * FAIL_WRITE=n, FAIL_FLUSH=n: the n-th of them fails with EIO. COUNTS: a file
 * that gets "WRITES FLUSHES" at the end.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int writes, flushes;

static int fails(const char *name, int n)
{
	const char *value = getenv(name);

	if (!value || atoi(value) != n)
		return 0;
	errno = EIO;
	return 1;
}

ssize_t pwrite(int fd, const void *p, size_t len, off_t at)
{
	ssize_t (*real)(int, const void *, size_t, off_t);

	real = dlsym(RTLD_NEXT, "pwrite");
	return fails("FAIL_WRITE", ++writes) ? -1 : real(fd, p, len, at);
}

ssize_t pwrite64(int fd, const void *p, size_t len, off64_t at)
{
	return pwrite(fd, p, len, at);
}

int fsync(int fd)
{
	int (*real)(int) = dlsym(RTLD_NEXT, "fsync");

	return fails("FAIL_FLUSH", ++flushes) ? -1 : real(fd);
}

int fdatasync(int fd)
{
	return fsync(fd);
}

__attribute__((destructor)) static void tell(void)
{
	const char *path = getenv("COUNTS");
	FILE *f = path ? fopen(path, "w") : NULL;

	if (!f)
		return;
	fprintf(f, "%d %d\n", writes, flushes);
	fclose(f);
}
