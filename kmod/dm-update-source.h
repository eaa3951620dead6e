/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the new image consists of, whatever the format of the diff: pieces, in
 * the order of the image. All that no piece names is as in the old image.
 *
 * update_source_open() reads and checks the whole of the metadata; nothing of
 * it is checked again later. A bit for each block tells in constant time
 * whether it is to be read from the system device as it is: it does not
 * change, or the merge has written it.
 *
 * The merge writes the pieces in epochs. Old bytes that it overwrites and
 * needs later are in the save area, so where they are depends on how far it
 * is: whoever reads pieces takes a view, and the merge does not overwrite more
 * before all older views are gone (dm-update-view.h).
 */
#ifndef BOWLINE_DM_UPDATE_SOURCE_H
#define BOWLINE_DM_UPDATE_SOURCE_H

#include <linux/bitops.h>
#include <linux/blkdev.h>
#include <linux/dm-io.h>

#include "dm-update-dir.h"
#include "dm-update-v1.h"
#include "dm-update-view.h"

enum update_kind { UPDATE_PIECE_ZERO, UPDATE_PIECE_COPY, UPDATE_PIECE_DATA };

/* A chunk of the diff. Same key, same chunk. */
struct update_ref {
	u64 key;    /* version 0: its number; 1: its first byte */
	u32 stored; /* version 1: bytes to read there */
};

/* Bytes of a chunk, from @from to before @end. */
struct update_span {
	u32 from;
	u32 end;
};

/* A run of blocks of the new image, from one place. */
struct update_piece {
	u64 block;
	u32 n;
	u32 epoch; /* of the merge: which part of it writes the piece */
	enum update_kind kind;
	struct update_ref chunk; /* DATA */
	u32 at;			 /* DATA: byte of the chunk where it begins */
	u64 from;		 /* COPY: byte of the old image */
};

/* Where the progress of the merge is recorded, and old bytes are saved. */
struct update_store {
	struct block_device *bdev; /* NULL: nowhere */
	u64 at;			   /* byte of the first record */
	struct update1_progress progress;
	void *buf; /* two records, and room to read them */
};

struct update_source {
	struct block_device *system;
	struct block_device *diff;
	struct update_store store;
	struct dm_io_client *io;
	u64 image_bytes; /* of the target: whole sectors */
	u64 new_bytes;	 /* of the new image */
	u64 n_blocks;	 /* of the image; the last may be a part of one */
	u64 n_changed;	 /* of them */
	u32 block_bits;
	u32 chunk_bytes; /* most that a chunk decompresses to */
	u32 n_pieces;
	u32 n_epochs;
	unsigned long *changed; /* a bit for each block; see above */
	u32 *windows; /* the first piece that ends in or behind each window */
	struct update_view view;
	u8 version;
	struct update_dir v0; /* its entries are in blocks[] */
	u64 *blocks; /* version 0: dest, and offset in the upper bits */
	struct update1_dir v1; /* of version 0: v1.g, as far as records need */
};

/*
 * Fills *source, of which @system, @diff, @store.bdev, @store.at and
 * @image_bytes are given; the devices must outlive it. Returns 0, or a
 * negative error and points *why at a constant sentence. May sleep, as all
 * here that reads or writes.
 */
int update_source_open(struct update_source *source, const char **why);
void update_source_close(struct update_source *source);
/* Bytes of memory that it takes. */
size_t update_source_memory(const struct update_source *source);

/* Piece @i, 0 <= i < n_pieces. */
void update_source_piece(const struct update_source *source, u32 i,
			 struct update_piece *piece);
/* Whether it is in the system device, seen from @view. */
static inline bool update_piece_merged(const struct update_piece *piece,
				       u32 view)
{
	return view != UPDATE_NOT_BEGUN && piece->epoch < view - 1;
}

/* The piece of @block, or the first behind it; n_pieces if there is none. */
u32 update_source_find(const struct update_source *source, u64 block);
/*
 * The first piece behind @i that is data of another chunk; n_pieces if none
 * is, or none is near.
 */
u32 update_source_next_chunk(const struct update_source *source, u32 i);
/*
 * What the bytes of the image from @at to before @end need of the chunk of
 * piece @i, data, which has byte @at: other pieces may be parts of the same
 * chunk, in any order.
 */
struct update_span update_source_span(const struct update_source *source, u32 i,
				      u64 at, u64 end);
/* All pieces of @epoch are among those from *first to before *end. */
void update_source_epoch(const struct update_source *source, u32 epoch,
			 u32 *first, u32 *end);

/* The first @done epochs, and no others, are in the system device. */
void update_source_set_done(struct update_source *source, u32 done);
/* One more is, @epoch. */
void update_source_merged(struct update_source *source, u32 epoch);

#endif
