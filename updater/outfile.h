/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A file that a host verb makes, whole or not at all: it grows beside its
 * place under another name, and takes its place when it is complete and
 * durable. What was there before stays until then.
 */
#ifndef BOWLINE_OUTFILE_H
#define BOWLINE_OUTFILE_H

#include <stddef.h>
#include <stdint.h>

struct outfile {
	const char *path; /* the caller's */
	char *growing;	  /* its name until it is complete */
	int fd;
};

/*
 * What is at path already must be a file. 0, or -1 after error(); after 0 one
 * outfile_end() must follow.
 */
int outfile_begin(struct outfile *file, const char *path);
/* 0, or -1 after error(). */
int outfile_write(struct outfile *file, uint64_t at, const void *bytes,
		  size_t len);
/*
 * r 0: flushes it and puts it into its place; else drops it. Returns r, or -1
 * after error().
 */
int outfile_end(struct outfile *file, int r);

#endif
