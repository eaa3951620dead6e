/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the chunks of a row need, read before they are decoded: of the diff a
 * good part at once, and old bytes of several chunks that lie near each other
 * together. A merge has one for each row that it makes. It takes reads away,
 * and nothing else: what it has not, or could not read, is read as if there
 * were none.
 */
#ifndef BOWLINE_DM_UPDATE_STOCK_H
#define BOWLINE_DM_UPDATE_STOCK_H

#include "dm-update-decode.h"

#define UPDATE_STOCK_RUNS 256 /* and so many kinds of old bytes */
#define UPDATE_STOCK_KEYS 8   /* chunks that the blocks of a row are mixed of */

/* Bytes of a device, in memory at @found. */
struct update_run {
	struct block_device *bdev;
	u64 at;
	u64 end;
	const void *found;
};

struct update_stock {
	u64 end; /* byte of the image, for the user to set: of the row */
	/* Private: */
	struct update_window window;
	u32 view;   /* by which old bytes were found */
	u32 first;  /* piece, and the one behind those ... */
	u32 behind; /* ... whose chunks had their old bytes read */
	u32 bytes;  /* of the runs while they are collected */
	u32 n_runs; /* by place, once they have been read */
	struct update_run run[UPDATE_STOCK_RUNS];
	u64 key[UPDATE_STOCK_KEYS]; /* chunks that were looked at last */
	u32 n_keys;
	struct update1_chunk chunk;
	void *old;
	u32 old_room;
};

/*
 * NULL when memory is short, and where the chunks are too large to have several
 * at once.
 */
struct update_stock *update_stock_create(const struct update_source *source);
void update_stock_destroy(struct update_stock *stock);
/* Bytes of memory that one takes. */
size_t update_stock_memory(const struct update_source *source);

/* Old bytes that it has are not what the next row may rely on. */
void update_stock_begin(struct update_stock *stock, u64 end);
/*
 * Piece @i is about to be read in view @view, entered, which is data: reads for
 * its chunk and those behind it, unless it has. May sleep.
 */
void update_stock_fill(struct update_stock *stock, struct update_source *source,
		       u32 view, u32 i);
/*
 * Where it has @len bytes of @bdev at @at, or NULL; as they are in the view
 * that it was filled for.
 */
const void *update_stock_find(const struct update_stock *stock,
			      struct block_device *bdev, u64 at, u32 len);

#endif
