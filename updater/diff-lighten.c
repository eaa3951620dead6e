// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A merge that writes less, for a larger diff. Every old block that is saved
 * costs a block to write, and gives some chunks that are decoded too late
 * bytes to lean on. Those that give fewest are given up: the chunks that lean
 * on them are made again, and lean on nothing that is lost by then. The epochs
 * stay, so nothing else becomes too late. A chunk that grows too much for what
 * it gave up stays as it was: the diff is downloaded and written, too.
 */
#include <stdlib.h>
#include <string.h>

#include "diff-plan.h"
#include "err.h"

#define NEVER  UINT32_MAX
#define FIXED  UINT32_MAX /* a copy needs it: given up by nobody */
#define RECORD 4096
#define WORTH  8 /* bytes of old blocks given up, for one that a chunk grows */

struct old_block {
	uint32_t block;
	uint32_t given; /* bytes that chunks lean on too late, or FIXED */
};

uint64_t plan_changed(const struct plan *plan)
{
	uint64_t blocks = 0;

	for (uint32_t i = 0; i < plan->n_extents; i++)
		blocks += plan->extents[i].blocks;
	return blocks << plan->block_bits;
}

uint64_t plan_saved(const struct plan *plan)
{
	uint64_t blocks = 0;

	for (uint32_t i = 0; i < plan->n_saves; i++)
		blocks += plan->saves[i].blocks;
	return blocks << plan->block_bits;
}

uint64_t plan_records(const struct plan *plan)
{
	return plan->n_epochs ? (plan->n_epochs + 1ull) * RECORD : 0;
}

/* ---- what late readers are given ----------------------------------------- */

/* The epoch that overwrites each block. */
static void note_losses(struct plan *plan, uint64_t blocks)
{
	memset(plan->lost, 0xff, blocks * sizeof(*plan->lost));
	for (uint32_t i = 0; i < plan->n_extents; i++) {
		const struct plan_extent *e = &plan->extents[i];

		for (uint64_t b = e->dest;
		     b < e->dest + e->blocks && b < blocks; b++)
			plan->lost[b] = e->epoch;
	}
}

static void note_read(const struct plan *plan, struct old_block *old,
		      uint32_t epoch, struct update1_range range, bool copy)
{
	uint32_t size = plan_block_size(plan), len;

	for (; range.len; range.offset += len, range.len -= len) {
		uint64_t block = range.offset >> plan->block_bits;

		len = size - (range.offset & (size - 1));
		len = len < range.len ? len : range.len;
		if (plan->lost[block] > epoch)
			continue;
		if (copy)
			old[block].given = FIXED;
		else if (old[block].given != FIXED)
			old[block].given += len;
	}
}

static void note_reads(const struct plan *plan, struct old_block *old)
{
	for (uint32_t i = 0; i < plan->n_chunks; i++) {
		const struct plan_chunk *chunk = &plan->chunks[i];

		for (uint32_t k = 0; k < chunk->n_ranges; k++)
			note_read(plan, old, chunk->epoch, chunk->ranges[k],
				  false);
	}
	for (uint32_t i = 0; i < plan->n_extents; i++) {
		const struct plan_extent *e = &plan->extents[i];
		struct update1_range range = { e->src,
					       e->blocks << plan->block_bits };

		if (e->kind == UPDATE1_IS_COPY)
			note_read(plan, old, e->epoch, range, true);
	}
}

/* ---- what is given up ---------------------------------------------------- */

static int compare(const void *a, const void *b)
{
	const struct old_block *x = a, *y = b;

	if (x->given != y->given)
		return x->given < y->given ? -1 : 1;
	return x->block < y->block ? -1 : x->block > y->block;
}

/* Blocks that are saved and given up by nobody are not lost. */
static void give_up(struct plan *plan, struct old_block *old, uint64_t blocks,
		    uint64_t too_many)
{
	qsort(old, blocks, sizeof(*old), compare);
	for (uint64_t i = 0; i < blocks; i++) {
		if (!old[i].given)
			continue;
		if (too_many && old[i].given != FIXED)
			too_many--;
		else
			plan->lost[old[i].block] = NEVER;
	}
}

/* Bytes that the chunk leans on and that are lost by then. */
static uint64_t leans_on_lost(const struct plan *plan,
			      const struct plan_chunk *chunk)
{
	uint64_t lost = 0;

	for (uint32_t k = 0; k < chunk->n_ranges; k++) {
		uint64_t at = chunk->ranges[k].offset, next;
		uint64_t end = at + chunk->ranges[k].len;

		for (; at < end; at = next) {
			next = ((at >> plan->block_bits) + 1)
			       << plan->block_bits;
			next = next < end ? next : end;
			if (plan->lost[at >> plan->block_bits] <= chunk->epoch)
				lost += next - at;
		}
	}
	return lost;
}

/* Those that lean on what is lost are to be made again. */
static void unpack_chunks(struct plan *plan)
{
	for (uint32_t i = 0; i < plan->n_chunks; i++) {
		struct plan_chunk *chunk = &plan->chunks[i];

		if (!leans_on_lost(plan, chunk))
			continue;
		chunk->stored = NULL;
		chunk->ranges = NULL;
		chunk->n_ranges = 0;
	}
}

/* Of each chunk that was made again one is kept, the other is forgotten. */
static void choose_chunks(struct plan *plan, struct plan_chunk *before)
{
	for (uint32_t i = 0; i < plan->n_chunks; i++) {
		struct plan_chunk *now = &plan->chunks[i], forget = before[i];
		uint64_t growth = now->size - (uint64_t)before[i].size;

		if (now->stored == before[i].stored)
			continue;
		if (!now->stored ||
		    (now->size > before[i].size &&
		     growth * WORTH > leans_on_lost(plan, &before[i]))) {
			forget = *now;
			*now = before[i];
		}
		plan->chunks_held -= forget.stored ? forget.size : 0;
		free(forget.stored);
		free(forget.ranges);
	}
}

static int pack_again(struct plan *plan, const struct index *index)
{
	size_t size = plan->n_chunks * sizeof(*plan->chunks);
	struct plan_chunk *before = malloc(size + 1);
	int r;

	if (!before)
		return error("out of memory for the chunks");
	memcpy(before, plan->chunks, size);
	unpack_chunks(plan);
	r = plan_pack(plan, index);
	choose_chunks(plan, before);
	free(before);
	return r;
}

static int give_up_blocks(struct plan *plan, uint64_t too_many)
{
	uint64_t blocks = plan_blocks(plan, plan->old);
	struct old_block *old = calloc(blocks, sizeof(*old));

	plan->lost = malloc(blocks * sizeof(*plan->lost));
	if (!old || !plan->lost) {
		free(old);
		return error("out of memory for %llu blocks",
			     (unsigned long long)blocks);
	}
	for (uint64_t b = 0; b < blocks; b++)
		old[b].block = b;
	note_losses(plan, blocks);
	note_reads(plan, old);
	give_up(plan, old, blocks, too_many);
	free(old);
	return 0;
}

int plan_lighten(struct plan *plan, const struct index *index, uint32_t percent)
{
	uint64_t most = plan_changed(plan) / 100 * (percent - 100);
	uint64_t now = plan_saved(plan) + plan_records(plan);

	if (now <= most)
		return 0;
	if (give_up_blocks(plan, ((now - most - 1) >> plan->block_bits) + 1))
		return -1;
	return pack_again(plan, index) || plan_order(plan) ? -1 : 0;
}
