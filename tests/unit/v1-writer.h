/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Writes update diffs of format version 1, right or wrong, as it is told.
 * Made from docs/FORMAT.md alone: of the project's code it uses only the
 * structures of bowline-format.h and the checksum.
 */
#ifndef BOWLINE_V1_WRITER_H
#define BOWLINE_V1_WRITER_H

#include <stddef.h>

#include "bowline-format.h"
#include "plat.h"

struct v1_extent {
	u64 dest;
	u32 blocks;
	u32 epoch;
	u8 kind;   /* as on disk; UPDATE1_DATA: the cheapest of the four */
	u64 src;   /* of a copy */
	u32 chunk; /* of data: its index */
	u32 block; /* in the chunk */
};

struct v1_save {
	u64 old;
	u32 blocks, epoch, last, room;
};

struct v1_range {
	u64 offset;
	u32 len;
};

struct v1_chunk {
	u64 at;
	u32 stored, blocks;
	u32 n_ranges;
	struct v1_range *ranges;
	u8 *data; /* NULL: a ghost */
};

/* The last data extent and the last copy before an extent: index + 1. */
struct v1_before {
	u32 data, copy;
};

struct v1_writer {
	/* By the caller. */
	struct update1_super super;
	u32 page; /* records in a page */

	struct v1_extent *extents;
	struct v1_save *saves;
	struct v1_chunk *chunks;
	u32 n_extents, n_saves, n_chunks, n_pages;
	struct v1_before *before; /* made with the pages */
	u8 *file;
	size_t size, room;
};

/* Blocks of 1 << block_bits bytes, chunks of @chunk, pieces of @piece bytes. */
void v1_begin(struct v1_writer *w, u32 block_bits, u32 chunk, u32 piece,
	      u64 old_size, u64 new_size);
void v1_free(struct v1_writer *w);

struct v1_extent *v1_add_extent(struct v1_writer *w, struct v1_extent extent);
struct v1_save *v1_add_save(struct v1_writer *w, struct v1_save save);
/*
 * Compresses @blocks blocks of @data with the @ranges of @old as prefix, and
 * returns the chunk's index.
 */
u32 v1_add_chunk(struct v1_writer *w, const u8 *old, const void *data,
		 u32 blocks, const struct v1_range *ranges, u32 n_ranges);
/* A chunk of which there is only the place in the file: @stored bytes. */
u32 v1_add_ghost(struct v1_writer *w, u32 stored, u32 blocks,
		 const struct v1_range *ranges, u32 n_ranges);

/* Writes directory, superblock, zeros; afterwards the file is w->file. */
void v1_end(struct v1_writer *w);
/* The superblock's checksums again, after somebody changed something. */
void v1_seal(struct v1_writer *w);

/*
 * The contents of page @i, without the packing; NULL: there is none. Allocated;
 * *len bytes.
 */
u8 *v1_page(struct v1_writer *w, u32 i, size_t *len);

#endif
