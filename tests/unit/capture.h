/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a call says on standard error, for tests of messages; and a folder of
 * its own for a test that needs files, gone when the program ends.
 */
#ifndef BOWLINE_CAPTURE_H
#define BOWLINE_CAPTURE_H

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char captured[16384]; /* of the last capture */
static int capture_saved = -1;
static FILE *capture_file;

static inline void capture_begin(void)
{
	capture_file = tmpfile();
	fflush(stderr);
	capture_saved = dup(STDERR_FILENO);
	if (!capture_file || capture_saved < 0 ||
	    dup2(fileno(capture_file), STDERR_FILENO) < 0)
		abort();
}

/* The text, also in captured[]. */
static inline const char *capture_end(void)
{
	size_t n;

	fflush(stderr);
	dup2(capture_saved, STDERR_FILENO);
	close(capture_saved);
	rewind(capture_file);
	n = fread(captured, 1, sizeof(captured) - 1, capture_file);
	captured[n] = 0;
	fclose(capture_file);
	return captured;
}

/* Lines of error() in what was captured: "bowline: ...". */
static inline int captured_errors(void)
{
	int n = 0;

	for (const char *p = captured; (p = strstr(p, "bowline: ")); p++)
		n += p == captured || p[-1] == '\n';
	return n;
}

static char test_folder[32];

static inline void remove_folder(void)
{
	char command[sizeof(test_folder) + 16];

	if (chdir("/"))
		abort();
	snprintf(command, sizeof(command), "rm -rf %s", test_folder);
	if (system(command))
		fprintf(stderr, "cannot remove %s\n", test_folder);
}

/* Makes the folder and goes there: in memory, where a flush costs nothing. */
static inline void enter_folder(void)
{
	snprintf(test_folder, sizeof(test_folder), "%s/bowline-test-XXXXXX",
		 access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
	if (!mkdtemp(test_folder) || chdir(test_folder))
		abort();
	atexit(remove_folder);
}

/* A shell command that has to succeed. */
static inline __attribute__((format(printf, 1, 2))) void run(const char *fmt,
							     ...)
{
	char command[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(command, sizeof(command), fmt, ap);
	va_end(ap);
	if (system(command)) {
		fprintf(stderr, "failed: %s\n", command);
		exit(1);
	}
}

/* The bytes of a file, malloc'ed, with a NUL behind them. */
static inline char *slurp(const char *path, size_t *len)
{
	FILE *f = fopen(path, "r");
	char *bytes;

	if (!f || fseek(f, 0, SEEK_END))
		abort();
	*len = ftell(f);
	rewind(f);
	bytes = malloc(*len + 1);
	if (!bytes || fread(bytes, 1, *len, f) != *len)
		abort();
	bytes[*len] = 0;
	fclose(f);
	return bytes;
}

static inline void spill(const char *path, const void *bytes, size_t len)
{
	FILE *f = fopen(path, "w");

	if (!f || fwrite(bytes, 1, len, f) != len || fclose(f))
		abort();
}

#endif
