/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A diff of format version 1 while it is made: extents of the new image, the
 * chunks that some of them are decoded from, and the saves of its merge. The
 * steps, in this order: plan_match() says what every block is made of,
 * plan_group() puts the blocks to store into chunks, plan_pack() chooses the
 * old bytes that each chunk leans on and compresses it, plan_order() puts
 * everything into epochs. If then the merge writes too much, plan_lighten()
 * takes old bytes away from chunks.
 */
#ifndef BOWLINE_DIFF_PLAN_H
#define BOWLINE_DIFF_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#include "diff-image.h"
#include "diff-index.h"
#include "../kmod/dm-update-v1.h"

struct plan_extent {
	uint64_t dest; /* block of the new image */
	uint32_t blocks;
	uint32_t epoch;
	enum update1_kind kind;
	uint32_t chunk; /* data */
	uint32_t at;  /* data: block in the chunk; until plan_group(): in stored
		       */
	uint64_t src; /* copy: byte of the old image */
};

/* A block of the new image that is stored, and how often the image has it. */
struct plan_block {
	uint64_t block;
	uint32_t uses;
};

/* Blocks of the new image, in the order in which they are decoded. */
struct plan_chunk {
	uint64_t *blocks;
	uint32_t n_blocks;
	uint32_t n_ranges;
	struct update1_range *ranges;
	uint8_t *stored; /* as in the file, header included */
	uint32_t size;
	uint32_t epoch;
	uint64_t src; /* byte of the file */
};

struct plan {
	const struct image *old, *new;
	unsigned int block_bits;
	uint32_t chunk_bytes, piece_bytes, prefix_bytes;
	int level;			  /* of zstd */
	unsigned int threads;		  /* compressing ones */
	uint64_t memory;		  /* bytes that it may take, or 0 ... */
	uint64_t index_most, chunks_most; /* ... and its shares, or 0 */
	struct plan_extent *extents;	  /* by dest */
	uint32_t n_extents, extents_room;
	struct plan_block *stored; /* in the order of the image */
	uint32_t n_stored, stored_room;
	struct plan_chunk *chunks;
	uint32_t n_chunks;
	uint64_t chunks_held;	    /* bytes of all that are stored */
	struct update1_save *saves; /* by old */
	uint32_t n_saves, n_epochs, save_blocks;
	const char *order; /* the one that was chosen */
	/* By old block: the epoch from which on nothing may lean on it, or
	 * UINT32_MAX; NULL while there are no epochs.
	 */
	uint32_t *lost;
};

static inline uint32_t plan_block_size(const struct plan *plan)
{
	return 1u << plan->block_bits;
}

/* Blocks of an image, the last one may be a part. */
static inline uint64_t plan_blocks(const struct plan *plan,
				   const struct image *image)
{
	return ((image->size - 1) >> plan->block_bits) + 1;
}

/* Do extents @i and @i + 1 follow each other in the image? */
static inline bool plan_adjoin(const struct plan *plan, uint32_t i)
{
	const struct plan_extent *e = &plan->extents[i];

	return i + 1 < plan->n_extents && e[0].dest + e[0].blocks == e[1].dest;
}

/* All of these: 0, or -1 after error(). */
int plan_match(struct plan *plan, const struct index *index);
int plan_group(struct plan *plan, const struct index *index);
/* Only the chunks that are not stored yet. */
int plan_pack(struct plan *plan, const struct index *index);
int plan_order(struct plan *plan);
/*
 * After plan_order(), and does it again: no chunk leans on what costs a save
 * and gives least, so that the merge writes at most @percent of what changes,
 * as far as that is in the power of chunks.
 */
int plan_lighten(struct plan *plan, const struct index *index,
		 uint32_t percent);

/* What the merge writes beside what changes: saves and records, in bytes. */
uint64_t plan_saved(const struct plan *plan);
uint64_t plan_records(const struct plan *plan);
uint64_t plan_changed(const struct plan *plan);

/* Block @block of the new image, zeros behind the image's end. */
void plan_get_block(const struct plan *plan, uint64_t block, uint8_t *to);
void plan_free(struct plan *plan);

/* ---- inside of plan_pack() ----------------------------------------------- */

/* Chooses old bytes for one chunk after the other; one for each thread. */
struct window;

struct window *window_new(const struct plan *plan, const struct index *index);
void window_free(struct window *window);
/* Headers have 4096 bytes, which so many ranges of a chunk leave room in. */
#define WINDOW_RANGES 200

/* What one piece may take of them, and of old bytes. */
struct window_room {
	uint32_t ranges, bytes;
};

/*
 * Ranges of the old image that have in common with @blocks of the new one, a
 * piece of a chunk of @epoch, decoded @bytes, what is worth their place: by
 * offset, apart from each other. @ranges has room for room->ranges. Their
 * number.
 */
uint32_t window_choose(struct window *window, const uint64_t *blocks,
		       uint32_t n_blocks, uint32_t epoch, const uint8_t *bytes,
		       const struct window_room *room,
		       struct update1_range *ranges);

#endif
