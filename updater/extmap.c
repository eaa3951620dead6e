// SPDX-License-Identifier: GPL-2.0-or-later
/* A treap of disjoint ranges, ordered by start, in one growing array. */
#include <stdlib.h>

#include "err.h"
#include "extmap.h"

struct extmap_node {
	uint64_t start;
	uint64_t from;
	uint32_t len;
	uint32_t priority;
	uint32_t left;
	uint32_t right;
};

#define N(i) (map->nodes[i])

void extmap_free(struct extmap *map)
{
	free(map->nodes);
	*map = (struct extmap){ 0 };
}

static uint32_t next_random(struct extmap *map)
{
	uint32_t x = map->random ? map->random : 2463534242u;

	x ^= x << 13;
	x ^= x >> 17;
	x ^= x << 5;
	return map->random = x;
}

/* Makes sure that n nodes can be had without a further allocation. */
static int reserve(struct extmap *map, uint32_t n)
{
	uint32_t room = map->room ? map->room * 2 : 64;
	struct extmap_node *nodes;

	if (map->room - map->used > n)
		return 0;
	nodes = reallocarray(map->nodes, room, sizeof(*nodes));
	if (!nodes)
		return error("out of memory for a map of %u ranges", room);
	map->nodes = nodes;
	map->room = room;
	if (!map->used)
		nodes[map->used++] = (struct extmap_node){ 0 };
	return 0;
}

static uint32_t new_node(struct extmap *map, uint64_t start, uint64_t len,
			 uint64_t from)
{
	uint32_t i = map->unused;

	if (i)
		map->unused = N(i).left;
	else
		i = map->used++;
	N(i) = (struct extmap_node){ start, from, len, next_random(map), 0, 0 };
	return i;
}

static void drop(struct extmap *map, uint32_t i)
{
	if (!i)
		return;
	drop(map, N(i).left);
	drop(map, N(i).right);
	N(i).left = map->unused;
	map->unused = i;
}

/* Cuts a tree in two: what starts before key, and the rest. */
static void split(struct extmap *map, uint32_t i, uint64_t key, uint32_t *low,
		  uint32_t *high)
{
	uint32_t part;

	if (!i) {
		*low = *high = 0;
	} else if (N(i).start < key) {
		split(map, N(i).right, key, &part, high);
		N(i).right = part;
		*low = i;
	} else {
		split(map, N(i).left, key, low, &part);
		N(i).left = part;
		*high = i;
	}
}

static uint32_t join(struct extmap *map, uint32_t a, uint32_t b)
{
	if (!a || !b)
		return a ? a : b;
	if (N(a).priority > N(b).priority) {
		N(a).right = join(map, N(a).right, b);
		return a;
	}
	N(b).left = join(map, a, N(b).left);
	return b;
}

static uint32_t last(const struct extmap *map, uint32_t i)
{
	while (i && N(i).right)
		i = N(i).right;
	return i;
}

/*
 * Shortens the last range of a tree so that it ends at key; returns a node
 * with what was cut off, or 0.
 */
static uint32_t trim(struct extmap *map, uint32_t tree, uint64_t key)
{
	uint32_t i = last(map, tree);
	uint64_t keep;

	if (!i || N(i).start + N(i).len <= key)
		return 0;
	keep = key - N(i).start;
	tree = new_node(map, key, N(i).len - keep, N(i).from + keep);
	N(i).len = keep;
	return tree;
}

/* Takes what is set in [start, end) out; the rest is in *low and *high. */
static void cut(struct extmap *map, uint64_t start, uint64_t end, uint32_t *low,
		uint32_t *high)
{
	uint32_t middle;

	split(map, map->root, start, low, &middle);
	middle = join(map, trim(map, *low, start), middle);
	split(map, middle, end, &middle, high);
	*high = join(map, trim(map, middle, end), *high);
	drop(map, middle);
}

int extmap_set(struct extmap *map, uint64_t start, uint64_t len, uint64_t from)
{
	uint32_t low, high;

	if (reserve(map, 3))
		return -1;
	cut(map, start, start + len, &low, &high);
	low = join(map, low, new_node(map, start, len, from));
	map->root = join(map, low, high);
	return 0;
}

int extmap_unset(struct extmap *map, uint64_t start, uint64_t len)
{
	uint32_t low, high;

	if (!extmap_hit(map, start, len))
		return 0;
	if (reserve(map, 2))
		return -1;
	cut(map, start, start + len, &low, &high);
	map->root = join(map, low, high);
	return 0;
}

uint64_t extmap_get(const struct extmap *map, uint64_t pos, uint64_t *len)
{
	uint32_t i = map->root;

	while (i) {
		uint64_t start = N(i).start;

		if (pos < start) {
			if (*len > start - pos)
				*len = start - pos;
			i = N(i).left;
		} else if (pos - start < N(i).len) {
			if (*len > N(i).len - (pos - start))
				*len = N(i).len - (pos - start);
			return N(i).from + (pos - start);
		} else {
			i = N(i).right;
		}
	}
	return pos;
}

bool extmap_next(const struct extmap *map, uint64_t pos,
		 struct extmap_range *range)
{
	uint32_t i = map->root, found = 0;

	while (i) {
		if (N(i).start + N(i).len > pos) {
			found = i;
			i = N(i).left;
		} else {
			i = N(i).right;
		}
	}
	if (found)
		*range = (struct extmap_range){ N(found).start, N(found).len,
						N(found).from };
	return found;
}

bool extmap_hit(const struct extmap *map, uint64_t start, uint64_t len)
{
	struct extmap_range range;

	return extmap_next(map, start, &range) && range.start < start + len;
}
