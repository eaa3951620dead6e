/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Update diffs on the host: making them, and reading them in user space.
 * docs/FORMAT.md describes the file; kmod/dm-update-dir.h checks it, here as
 * in the kernel.
 */
#ifndef BOWLINE_DIFF_H
#define BOWLINE_DIFF_H

#include <stdint.h>

#include "io.h"
#include "../kmod/dm-update-dir.h"

#define DIFF_BLOCK_SIZE 4096
#define DIFF_CHUNK_SIZE 65536
#define DIFF_LEVEL	19
#define DIFF_PADDING	4096 /* the file's size is a multiple of this */

struct diff_options {
	uint32_t block_size; /* bytes, a power of two, 512 to chunk_size */
	uint32_t chunk_size; /* bytes, blocks, up to UPDATE_MAX_CHUNK */
	enum update_compression compression;
	int level;	      /* of zstd, 1 to 22 */
	unsigned int threads; /* compressing ones; 0 = one a CPU */
	/* format version 1 only */
	uint32_t piece_size;	/* bytes of a chunk that decode alone, blocks */
	uint32_t prefix_size;	/* old bytes that a chunk may lean on */
	uint32_t merge_percent; /* of what changes, to be written; 0: any */
	uint64_t memory;	/* bytes that making it may take; 0: any */
	int explain;		/* says what the diff consists of */
};

struct diff_result {
	uint64_t blocks;  /* of the new image */
	uint64_t changed; /* of them in the diff */
	uint64_t size;	  /* bytes of the diff */
};

/*
 * Makes the diff that turns the image @old into @new (files or block devices)
 * and puts it at @out, whole or not at all: it grows in @out.tmp. A part of a
 * block at the end of @new is padded with zeros. Blocks past the end of @old
 * count as changed. The same images and options give the same bytes, whatever
 * the number of threads. Returns 0, or -1 after error().
 */
int diff_make(const char *old, const char *new, const char *out,
	      const struct diff_options *options, struct diff_result *result);

/* The same in format version 1, which has blocks of up to 64 KiB. */
int diff_make_v1(const char *old, const char *new, const char *out,
		 const struct diff_options *options,
		 struct diff_result *result);

/* Refuses an @out that would take the place of an image being read. */
int diff_check_out(const char *out, const char *old, const char *new);

/*
 * Writes to @image what the diff at @path shows on top of @old; the size of
 * @image says how much of it. @old and @image may be the same device, which
 * is what a merge does. Returns 0, or -1 after error().
 */
int diff_apply(struct dev *old, const char *path, struct dev *image);

#endif
