// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What each block of the new image is: the same as at its place in the old
 * one, zeros, a copy of old bytes from any offset, the same as an earlier block
 * that is stored, or one that has to be stored.
 */
#include <stdlib.h>
#include <string.h>

#include "diff-plan.h"
#include "err.h"
#include "progress.h"

#define COPY_SEEDS   16	       /* of a block, tried for a copy */
#define COPY_PLACES  64	       /* of a seed that is tried */
#define COPY_FARTHER (1 << 20) /* bytes compared to find the longest copy */
#define NONE	     UINT32_MAX
#define CHUNK_FILLS  (4 << 20) /* bytes of the image from one chunk, at most */
#define STEP	     64	       /* blocks between two signs of progress */

/* Stored blocks by a sum of their bytes: number in plan->stored, or NONE. */
struct known {
	uint32_t *numbers;
	uint64_t mask;
};

struct matcher {
	struct plan *plan;
	const struct index *index;
	struct known known;
	struct seed *seeds; /* of a block */
	uint8_t *block;
	struct plan_extent *last; /* ends at the block before, or NULL */
};

void plan_get_block(const struct plan *plan, uint64_t block, uint8_t *to)
{
	uint64_t at = block << plan->block_bits;
	uint32_t size = plan_block_size(plan);
	uint64_t left = plan->new->size - at;

	if (image_hole(plan->new, at, size)) {
		memset(to, 0, size);
		return;
	}
	images_trim();
	memcpy(to, plan->new->bytes + at, left < size ? left : size);
	if (left < size)
		memset(to + left, 0, size - left);
}

static bool is_zero(const uint8_t *block, uint32_t size)
{
	return !block[0] && !memcmp(block, block + 1, size - 1);
}

static bool old_has(const struct matcher *m, uint64_t at, const uint8_t *bytes)
{
	const struct image *old = m->plan->old;
	uint32_t size = plan_block_size(m->plan);

	if (image_hole(old, at, size))
		return is_zero(bytes, size);
	return at < old->size && old->size - at >= size &&
	       !memcmp(old->bytes + at, bytes, size);
}

/* How long the images stay alike, from @old_at and @new_at on. */
static uint64_t alike(const struct plan *plan, uint64_t old_at, uint64_t new_at)
{
	const struct image *old = plan->old, *new = plan->new;
	uint64_t len = 0;

	while (len < COPY_FARTHER && old_at + len < old->size &&
	       new_at + len < new->size &&
	       old->bytes[old_at + len] == new->bytes[new_at + len])
		len++;
	return len;
}

/* The old offset of the longest copy of what begins with the block, or -1. */
static int64_t find_longest(struct matcher *m, uint64_t new_at,
			    const uint64_t *found, uint32_t n, uint32_t in)
{
	uint64_t best = 0, len;
	int64_t at = -1;

	for (uint32_t i = 0; i < n; i++) {
		images_trim();
		if (found[i] < in || !old_has(m, found[i] - in, m->block))
			continue;
		len = alike(m->plan, found[i] - in, new_at);
		if (len > best) {
			best = len;
			at = found[i] - in;
		}
	}
	return at;
}

static int64_t find_copy(struct matcher *m, uint64_t block)
{
	uint64_t found[COPY_PLACES];
	uint32_t n, step;
	int64_t at = -1;

	n = index_seeds(m->index, m->block, plan_block_size(m->plan), m->seeds);
	step = n > COPY_SEEDS ? n / COPY_SEEDS : 1;
	for (uint32_t i = 0; at < 0 && i < n; i += step) {
		uint32_t places = index_find(m->index, m->seeds[i].hash, found,
					     COPY_PLACES);

		at = find_longest(m, block << m->plan->block_bits, found,
				  places, m->seeds[i].at);
	}
	return at;
}

static int new_extent(struct matcher *m, uint64_t dest, enum update1_kind kind)
{
	struct plan *plan = m->plan;

	if (plan->n_extents == plan->extents_room) {
		plan->extents_room = 2 * plan->extents_room + 1024;
		plan->extents =
			realloc(plan->extents,
				plan->extents_room * sizeof(*plan->extents));
		if (!plan->extents)
			return error("out of memory for the extents");
	}
	m->last = &plan->extents[plan->n_extents++];
	*m->last =
		(struct plan_extent){ .dest = dest, .blocks = 1, .kind = kind };
	return 0;
}

static int add_zero(struct matcher *m, uint64_t block)
{
	if (m->last && m->last->kind == UPDATE1_IS_ZERO) {
		m->last->blocks++;
		return 0;
	}
	return new_extent(m, block, UPDATE1_IS_ZERO);
}

/* Does the copy before go on with this block? */
static bool copy_goes_on(const struct matcher *m)
{
	const struct plan_extent *last = m->last;

	return last && last->kind == UPDATE1_IS_COPY &&
	       old_has(m,
		       last->src +
			       ((uint64_t)last->blocks << m->plan->block_bits),
		       m->block);
}

static int add_copy(struct matcher *m, uint64_t block, uint64_t src)
{
	if (new_extent(m, block, UPDATE1_IS_COPY))
		return -1;
	m->last->src = src;
	return 0;
}

/* The block is what is stored as @number. */
static int add_stored(struct matcher *m, uint64_t block, uint32_t number)
{
	struct plan_extent *last = m->last;

	m->plan->stored[number].uses++;
	if (last && last->kind == UPDATE1_IS_DATA &&
	    last->at + last->blocks == number) {
		last->blocks++;
		return 0;
	}
	if (new_extent(m, block, UPDATE1_IS_DATA))
		return -1;
	m->last->at = number;
	return 0;
}

static uint64_t sum_of(const uint8_t *bytes, uint32_t size)
{
	uint64_t sum = 0, word;

	for (uint32_t i = 0; i < size; i += sizeof(word)) {
		memcpy(&word, bytes + i, sizeof(word));
		sum = (sum ^ word) * 0x9E3779B97F4A7C15u;
		sum ^= sum >> 32;
	}
	return sum;
}

/* The slot of the block's contents: theirs, or the free one for them. */
static uint64_t known_slot(struct matcher *m)
{
	const struct plan *plan = m->plan;
	uint32_t size = plan_block_size(plan), number;
	uint64_t slot = sum_of(m->block, size) & m->known.mask;

	for (; (number = m->known.numbers[slot]) != NONE;
	     slot = (slot + 1) & m->known.mask) {
		uint64_t at = plan->stored[number].block << plan->block_bits;

		images_trim();
		if (plan->new->size - at >= size &&
		    !memcmp(plan->new->bytes + at, m->block, size))
			break;
	}
	return slot;
}

static int new_stored(struct plan *plan, uint64_t block)
{
	if (plan->n_stored == plan->stored_room) {
		plan->stored_room = 2 * plan->stored_room + 1024;
		plan->stored =
			realloc(plan->stored,
				plan->stored_room * sizeof(*plan->stored));
		if (!plan->stored)
			return error("out of memory for the blocks to store");
	}
	plan->stored[plan->n_stored++] = (struct plan_block){ .block = block };
	return 0;
}

/* What comes from one chunk has to fit into an epoch of the merge. */
static bool used_up(const struct plan *plan, uint32_t number)
{
	return plan->stored[number].uses >= CHUNK_FILLS / plan->chunk_bytes;
}

static int add_data(struct matcher *m, uint64_t block)
{
	uint64_t slot = known_slot(m);
	uint32_t number = m->known.numbers[slot];

	if (number != NONE && !used_up(m->plan, number))
		return add_stored(m, block, number);
	if (new_stored(m->plan, block))
		return -1;
	m->known.numbers[slot] = m->plan->n_stored - 1;
	return add_stored(m, block, m->plan->n_stored - 1);
}

/* A last block that is a part is always stored: what is behind it is zero. */
static int match_block(struct matcher *m, uint64_t block)
{
	uint32_t size = plan_block_size(m->plan);
	uint64_t at = block << m->plan->block_bits;
	int64_t src;

	plan_get_block(m->plan, block, m->block);
	if (m->plan->new->size - at < size)
		return add_data(m, block);
	if (old_has(m, at, m->block)) {
		m->last = NULL;
		return 0;
	}
	if (is_zero(m->block, size))
		return add_zero(m, block);
	if (copy_goes_on(m)) {
		m->last->blocks++;
		return 0;
	}
	src = find_copy(m, block);
	return src < 0 ? add_data(m, block) : add_copy(m, block, src);
}

/* The next block of which not all is a hole in both images, or @block. */
static uint64_t skip_holes(struct matcher *m, uint64_t block)
{
	const struct plan *plan = m->plan;
	uint64_t at = block << plan->block_bits;
	uint64_t old = image_data(plan->old, at);
	uint64_t new = image_data(plan->new, at);
	uint64_t next = (old < new ? old : new) >> plan->block_bits;

	if (next <= block)
		return block;
	m->last = NULL;
	return next;
}

static int match_all(struct matcher *m)
{
	uint64_t blocks = plan_blocks(m->plan, m->plan->new);

	progress_start("comparing", blocks);
	for (uint64_t block = 0; block < blocks; block++) {
		block = skip_holes(m, block);
		if (block % STEP == 0)
			progress_update(block);
		if (block < blocks && match_block(m, block))
			return -1;
	}
	progress_end();
	return 0;
}

/* Twice as many slots as there can be blocks. */
static int allocate(struct matcher *m)
{
	uint64_t slots = 1024;

	while (slots < 2 * plan_blocks(m->plan, m->plan->new))
		slots *= 2;
	m->known.mask = slots - 1;
	m->known.numbers = malloc(slots * sizeof(*m->known.numbers));
	m->seeds = calloc(plan_block_size(m->plan), sizeof(*m->seeds));
	m->block = malloc(plan_block_size(m->plan));
	if (!m->known.numbers || !m->seeds || !m->block)
		return error("out of memory comparing the images");
	memset(m->known.numbers, 0xff, slots * sizeof(*m->known.numbers));
	return 0;
}

int plan_match(struct plan *plan, const struct index *index)
{
	struct matcher m = { .plan = plan, .index = index };
	int r = allocate(&m);

	if (!r)
		r = match_all(&m);
	free(m.known.numbers);
	free(m.seeds);
	free(m.block);
	return r;
}

void plan_free(struct plan *plan)
{
	for (uint32_t c = 0; c < plan->n_chunks; c++) {
		free(plan->chunks[c].blocks);
		free(plan->chunks[c].ranges);
		free(plan->chunks[c].stored);
	}
	free(plan->chunks);
	free(plan->stored);
	free(plan->extents);
	free(plan->saves);
	free(plan->lost);
}
