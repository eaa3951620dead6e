/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The compressions of diffs of format 0. What a compressor makes depends on
 * nothing but its input, the options and the library's version.
 */
#ifndef BOWLINE_DIFF_CODEC_H
#define BOWLINE_DIFF_CODEC_H

#include <stddef.h>

#include "diff.h"

/* One for each thread. */
struct packer;

/* NULL if there is no memory. */
struct packer *packer_new(const struct diff_options *options);
void packer_free(struct packer *packer);

/* Bytes that @size bytes can become, at most. */
size_t pack_bound(size_t size);

/* Bytes written to @to, which has room for pack_bound(), or 0 after error(). */
size_t pack(struct packer *packer, void *to, const void *from, size_t size);

/*
 * Bytes of @to, or 0 after error() that names @file. There are at most @most,
 * which is all the room that @to has.
 */
size_t unpack(enum update_compression compression, const char *file, void *to,
	      size_t most, const void *from, size_t len);

#endif
