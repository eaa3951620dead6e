/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inside of plan_order(): the steps of a merge in place, what they read and
 * overwrite, and the epochs that they are given.
 */
#ifndef BOWLINE_DIFF_ORDER_H
#define BOWLINE_DIFF_ORDER_H

#include "diff-plan.h"

#define NONE	   UINT32_MAX
#define EPOCH_COST (64u << 10)		   /* as bytes written */
#define EPOCH_MOST (UPDATE1_MAX_EPOCH / 2) /* the saves of the next fit too */

/* Lists by owner, one behind the other: those of o from start[o] on. */
struct lists {
	uint32_t *start;
	uint32_t *items;
};

struct sorter {
	struct plan *plan;
	uint64_t old_blocks;
	uint32_t n;		 /* steps */
	uint32_t *step_of;	 /* by extent */
	uint32_t *writer;	 /* step, by old block; or NONE */
	uint64_t *bytes;	 /* written, by step */
	struct lists extents;	 /* of a step */
	struct lists readers;	 /* of an old block: steps */
	struct lists before;	 /* steps that a step should come after */
	uint32_t *order, *place; /* step by place, place by step */
	uint64_t *best;		 /* cost of the steps before a place */
	uint32_t *cut;		 /* the cut before it, for that cost */
	uint32_t *level; /* by step: steps in a row that come before it */
	uint32_t *epoch; /* by step, when all is decided */
	uint32_t n_epochs;
};

/* Sorts items by owner: @owner(i) < owners for every i < n. Without @item, i.
 */
int make_lists(struct lists *lists, uint32_t owners, const uint32_t *owner,
	       const uint32_t *item, uint32_t n);
void lists_free(struct lists *lists);

/*
 * Moves single steps to other epochs as long as less has to be saved; the
 * number of epochs may double. 0, or -1 after error().
 */
int settle_epochs(struct sorter *s);

#endif
