// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Which stored blocks share a chunk. A chunk is decoded alone, so what two
 * blocks have in common, and the old image has not, is stored once only if they
 * are in the same one. Blocks go in the order of the image, which is the order
 * of the files; but a block that shares enough with an earlier one follows it.
 */
#include <stdlib.h>
#include <string.h>

#include "diff-plan.h"
#include "err.h"

#define NONE UINT32_MAX
/*
 * Stored blocks between a block and its last follower, and how many seeds they
 * must have in common, of some 256 in 4 KiB at SEED_RATE: who reads a row would
 * else need chunks again that he has left, and who reads a little more chunks.
 */
#define NEAR	    32
#define ENOUGH	    24
#define FAR	    128
#define ENOUGH_FAR  96
#define SLOT_BITS   22 /* at most */
#define LEAST_BITS  12
#define SEED_PLACES 24

/* The first block that has a seed, by the seed's hash; later ones replace. */
struct slot {
	uint64_t hash;
	uint32_t number; /* NONE: free */
};

struct grouper {
	struct plan *plan;
	const struct index *index;
	struct slot *slots;
	unsigned int slot_bits; /* about a slot a seed, if they are not many */
	uint32_t *votes;	/* by number, zero between two blocks */
	uint32_t *voted;	/* for which, one a seed */
	uint32_t *first, *next; /* those that follow a block: a list */
	uint32_t *root;		/* by number: who follows nobody, at the end */
	uint32_t *order;	/* numbers as they fill the chunks */
	uint32_t *place;	/* by number: where in the order */
	uint32_t *chunk, *in_chunk; /* by place: which one, and where in it */
	struct seed *seeds;
	uint8_t *block;
};

/* ---- who follows whom ---------------------------------------------------- */

static bool in_old(const struct grouper *g, uint64_t hash)
{
	uint64_t found[SEED_PLACES];

	return index_find(g->index, hash, found, SEED_PLACES);
}

/* The earlier block that has the seed, or NONE; now somebody has it. */
static uint32_t seen_in(struct grouper *g, uint64_t hash, uint32_t number)
{
	struct slot *slot = &g->slots[hash >> (64 - g->slot_bits)];

	if (slot->number != NONE && slot->hash == hash)
		return slot->number == number ? NONE : slot->number;
	*slot = (struct slot){ hash, number };
	return NONE;
}

/* Seeds that a block must have in common with @other to follow it. */
static uint32_t enough(const struct grouper *g, uint32_t number, uint32_t other)
{
	uint32_t distance = number - g->root[other];

	if (distance > FAR)
		return UINT32_MAX;
	return (distance > NEAR ? ENOUGH_FAR : ENOUGH) * SEED_RATE /
	       g->index->rate;
}

/* The earlier block with most seeds in common, if they are enough, or NONE. */
static uint32_t resembles(struct grouper *g, uint32_t number, uint32_t n_seeds)
{
	uint32_t best = NONE, n = 0, other;

	for (uint32_t i = 0; i < n_seeds; i++) {
		other = seen_in(g, g->seeds[i].hash, number);
		if (other == NONE)
			continue;
		g->voted[n++] = other;
		g->votes[other]++;
		if (best == NONE || g->votes[other] > g->votes[best])
			best = other;
	}
	if (best != NONE && g->votes[best] < enough(g, number, best))
		best = NONE;
	while (n)
		g->votes[g->voted[--n]] = 0;
	return best;
}

/* Lists grow at their beginning, so they are gone through backwards. */
static void find_followed(struct grouper *g, uint32_t number,
			  uint32_t *followed)
{
	uint32_t n, kept = 0;

	plan_get_block(g->plan, g->plan->stored[number].block, g->block);
	n = index_seeds(g->index, g->block, plan_block_size(g->plan), g->seeds);
	for (uint32_t i = 0; i < n; i++)
		if (!in_old(g, g->seeds[i].hash))
			g->seeds[kept++] = g->seeds[i];
	*followed = resembles(g, number, kept);
	g->root[number] = *followed == NONE ? number : g->root[*followed];
}

static void link_blocks(struct grouper *g, uint32_t *followed)
{
	for (uint32_t i = 0; i < g->plan->n_stored; i++)
		find_followed(g, i, &followed[i]);
	for (uint32_t i = g->plan->n_stored; i--;) {
		uint32_t before = followed[i];

		if (before == NONE)
			continue;
		g->next[i] = g->first[before];
		g->first[before] = i;
	}
}

/* Every block, then those that follow it, each with those that follow it. */
static void set_order(struct grouper *g, const uint32_t *followed,
		      uint32_t *stack)
{
	uint32_t done = 0, depth;

	for (uint32_t i = 0; i < g->plan->n_stored; i++) {
		if (followed[i] != NONE)
			continue;
		depth = 0;
		stack[depth++] = i;
		while (depth) {
			uint32_t number = stack[--depth];

			g->place[number] = done;
			g->order[done++] = number;
			if (g->next[number] != NONE)
				stack[depth++] = g->next[number];
			if (g->first[number] != NONE)
				stack[depth++] = g->first[number];
		}
	}
}

/* ---- chunks and extents -------------------------------------------------- */

/*
 * Whether the @most blocks from place @at on fill a chunk's size of the image,
 * from where one would begin: who reads so much mostly begins there, too.
 */
static bool fills_place(const struct grouper *g, uint32_t at, uint32_t most)
{
	const struct plan_block *stored = g->plan->stored;
	uint64_t first = stored[g->order[at]].block;

	if (first % most || g->plan->n_stored - at < most)
		return false;
	for (uint32_t i = 1; i < most; i++)
		if (stored[g->order[at + i]].block != first + i)
			return false;
	return true;
}

/* The chunk of every place; how many chunks. */
static uint32_t cut_chunks(struct grouper *g)
{
	uint32_t most = g->plan->chunk_bytes >> g->plan->block_bits;
	uint32_t chunk = 0, n = 0;

	for (uint32_t at = 0; at < g->plan->n_stored; at++, n++) {
		if (n == most || (n && fills_place(g, at, most))) {
			chunk++;
			n = 0;
		}
		g->chunk[at] = chunk;
	}
	return g->plan->n_stored ? chunk + 1 : 0;
}

static int fill_chunks(struct grouper *g)
{
	struct plan *plan = g->plan;
	uint32_t most = plan->chunk_bytes >> plan->block_bits;

	plan->n_chunks = cut_chunks(g);
	plan->chunks =
		calloc((size_t)plan->n_chunks + 1, sizeof(*plan->chunks));
	if (!plan->chunks)
		return error("out of memory for the chunks");
	for (uint32_t i = 0; i < plan->n_chunks; i++) {
		plan->chunks[i].blocks =
			calloc(most, sizeof(*plan->chunks->blocks));
		if (!plan->chunks[i].blocks)
			return error("out of memory for the chunks");
	}
	for (uint32_t at = 0; at < plan->n_stored; at++) {
		struct plan_chunk *chunk = &plan->chunks[g->chunk[at]];

		g->in_chunk[at] = chunk->n_blocks;
		chunk->blocks[chunk->n_blocks++] =
			plan->stored[g->order[at]].block;
	}
	return 0;
}

/* Blocks of the extent from its block @i on that follow in one chunk too. */
static uint32_t together(const struct grouper *g, const struct plan_extent *e,
			 uint32_t i)
{
	uint32_t place = g->place[e->at + i], n = 1;

	while (i + n < e->blocks && g->place[e->at + i + n] == place + n &&
	       g->chunk[place + n] == g->chunk[place])
		n++;
	return n;
}

/* Extents of @from, in numbers, become extents of chunks. How many. */
static uint32_t cut_extents(const struct grouper *g,
			    const struct plan_extent *from, uint32_t n,
			    struct plan_extent *to)
{
	uint32_t made = 0, place;

	for (uint32_t k = 0; k < n; k++) {
		struct plan_extent e = from[k];
		uint32_t blocks;

		if (e.kind != UPDATE1_IS_DATA) {
			to[made++] = e;
			continue;
		}
		for (uint32_t i = 0; i < from[k].blocks; i += blocks) {
			blocks = together(g, &from[k], i);
			e.dest = from[k].dest + i;
			e.blocks = blocks;
			place = g->place[from[k].at + i];
			e.chunk = g->chunk[place];
			e.at = g->in_chunk[place];
			to[made++] = e;
		}
	}
	return made;
}

static int set_extents(struct grouper *g)
{
	struct plan *plan = g->plan;
	struct plan_extent *made;
	uint64_t most = 1;

	for (uint32_t i = 0; i < plan->n_extents; i++)
		most += plan->extents[i].kind == UPDATE1_IS_DATA
				? plan->extents[i].blocks
				: 1;
	made = malloc(most * sizeof(*made));
	if (!made)
		return error("out of memory for the extents");
	plan->n_extents = cut_extents(g, plan->extents, plan->n_extents, made);
	free(plan->extents);
	plan->extents = made;
	return 0;
}

/* ---- all of it ----------------------------------------------------------- */

static int group(struct grouper *g, uint32_t *followed, uint32_t *stack)
{
	size_t n = g->plan->n_stored;

	memset(g->slots, 0xff, sizeof(*g->slots) << g->slot_bits);
	memset(g->first, 0xff, n * sizeof(*g->first));
	memset(g->next, 0xff, n * sizeof(*g->next));
	link_blocks(g, followed);
	set_order(g, followed, stack);
	return fill_chunks(g) || set_extents(g) ? -1 : 0;
}

static unsigned int slot_bits(const struct plan *plan)
{
	uint64_t seeds =
		((uint64_t)plan->n_stored << plan->block_bits) / SEED_RATE;
	unsigned int bits = LEAST_BITS;

	while (bits < SLOT_BITS && 1ull << bits < seeds &&
	       (!plan->chunks_most ||
		2 * sizeof(struct slot) << bits <= plan->chunks_most))
		bits++;
	return bits;
}

int plan_group(struct plan *plan, const struct index *index)
{
	struct grouper g = { .plan = plan,
			     .index = index,
			     .slot_bits = slot_bits(plan) };
	size_t n = (size_t)plan->n_stored + 1;
	uint32_t *followed = malloc(n * sizeof(*followed));
	uint32_t *stack = malloc(n * sizeof(*stack));
	int r;

	g.slots = malloc(sizeof(*g.slots) << g.slot_bits);
	g.votes = calloc(n, sizeof(*g.votes));
	g.first = malloc(n * sizeof(*g.first));
	g.next = malloc(n * sizeof(*g.next));
	g.root = malloc(n * sizeof(*g.root));
	g.order = malloc(n * sizeof(*g.order));
	g.place = malloc(n * sizeof(*g.place));
	g.chunk = malloc(n * sizeof(*g.chunk));
	g.in_chunk = malloc(n * sizeof(*g.in_chunk));
	g.seeds = calloc(plan_block_size(plan), sizeof(*g.seeds));
	g.voted = calloc(plan_block_size(plan), sizeof(*g.voted));
	g.block = malloc(plan_block_size(plan));
	if (followed && stack && g.slots && g.votes && g.first && g.next &&
	    g.root && g.order && g.place && g.chunk && g.in_chunk && g.seeds &&
	    g.voted && g.block)
		r = group(&g, followed, stack);
	else
		r = error("out of memory for the chunks");
	free(followed);
	free(stack);
	free(g.slots);
	free(g.votes);
	free(g.first);
	free(g.next);
	free(g.root);
	free(g.order);
	free(g.place);
	free(g.chunk);
	free(g.in_chunk);
	free(g.seeds);
	free(g.voted);
	free(g.block);
	return r;
}
