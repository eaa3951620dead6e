/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What each block of a bow device is, as ranges. Pure.
 *
 * Inside, two bits a block in leaves of 4096 blocks; a leaf exists only where
 * its blocks are not all of one type. So memory is at most 1 KiB for 4096
 * blocks (64 MiB for each TiB of 4 KiB blocks) whatever was written, a lookup
 * takes constant time, and a set needs memory for two leaves at most, which
 * can be had before any lock is taken.
 *
 * Nothing here locks. Units are blocks.
 */
#ifndef DM_BOW_RANGES_H
#define DM_BOW_RANGES_H

#include "plat.h"

enum bow_type {
	BOW_UNCHANGED, /* as it was when state 1 began, in use then */
	BOW_FREE,      /* its contents matter to nobody */
	BOW_CHANGED,   /* what it held is backed up, or did not matter */
	BOW_BACKUP,    /* holds a backup or a log block */
	BOW_TYPES
};

#define BOW_LEAF_BLOCKS 4096
#define BOW_LEAF_WORDS	(BOW_LEAF_BLOCKS / 32)

struct bow_ranges {
	u64 blocks;	      /* of the device */
	u64 count[BOW_TYPES]; /* blocks of each type */
	u64 next;	      /* where the search for a free block goes on */
	u32 n_leaves;
	u64 **leaf;  /* NULL: all of type uniform[] */
	u8 *uniform; /* enum bow_type */
};

/* What the table of leaves can be had for in one piece: 2 PiB of 4 KiB blocks.
 */
#define BOW_RANGES_MAX ((u64)BOW_LEAF_BLOCKS << 27)

/* All blocks BOW_UNCHANGED. 0 or -ENOMEM; at least one block. */
int bow_ranges_init(struct bow_ranges *r, u64 blocks);
/* Also after a failed init, and twice. */
void bow_ranges_free(struct bow_ranges *r);

/* The type at start; *len is lowered to how far it goes on. */
enum bow_type bow_ranges_find(const struct bow_ranges *r, u64 start, u64 *len);

/*
 * Finds free blocks, at most max in one piece, going round the device. False
 * when there are none.
 */
bool bow_ranges_find_free(struct bow_ranges *r, u64 max, u64 *start, u64 *len);

/*
 * The memory a set will need: while bow_ranges_missing() is true, give the
 * leaf it names to bow_ranges_add_leaf(), which is false when that leaf came
 * into being meanwhile. A leaf is plat_alloc(BOW_LEAF_BYTES).
 */
#define BOW_LEAF_BYTES (BOW_LEAF_WORDS * sizeof(u64))
bool bow_ranges_missing(const struct bow_ranges *r, u64 start, u64 len,
			enum bow_type type, u32 *leaf);
bool bow_ranges_add_leaf(struct bow_ranges *r, u32 leaf, u64 *memory);

/* Nothing of it may be missing. */
void bow_ranges_set(struct bow_ranges *r, u64 start, u64 len,
		    enum bow_type type);

#endif
