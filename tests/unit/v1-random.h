/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Random pairs of images with a diff of version 1 between them: extents of all
 * kinds, shifted, swapped and rotated blocks, in a random order of epochs with
 * the saves that docs/FORMAT.md asks for, each found by looking at every block.
 */
#ifndef BOWLINE_V1_RANDOM_H
#define BOWLINE_V1_RANDOM_H

#include "v1-writer.h"

struct v1_pair;

struct v1_shape {
	u32 block_bits;
	u32 chunk_blocks;
	u32 most_blocks; /* of an image, at least 4 */
	bool real;	 /* chunks are compressed; else they are ghosts */
	void (*fill)(struct v1_pair *pair); /* its old image; NULL: noise */
};

struct v1_pair {
	struct v1_writer w;
	u8 *old, *new; /* with room to the end of the last block */
	u64 old_size, new_size;
	u64 state;
};

u64 v1_random(u64 *state);
/* 0 to @n - 1. */
u32 v1_below(u64 *state, u32 n);

/* The same for the same seed; v1_end() is not called yet. */
void v1_random_pair(struct v1_pair *pair, u64 seed,
		    const struct v1_shape *shape);
void v1_pair_free(struct v1_pair *pair);

/* What ghost @chunk decodes to, if its prefix is @prefix. */
void v1_ghost_decode(const struct v1_writer *w, u32 chunk, const u8 *prefix,
		     size_t prefix_len, u8 *to);

#endif
