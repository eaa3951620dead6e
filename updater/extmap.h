/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A map from ranges to ranges: "what is read at position p lies at q". Where
 * nothing was set p maps to itself. A later set wins over earlier ones. All
 * calls take logarithmic time; memory is 32 bytes a range. Lengths are below
 * 2^32, in whatever unit the positions are.
 */
#ifndef BOWLINE_EXTMAP_H
#define BOWLINE_EXTMAP_H

#include <stdbool.h>
#include <stdint.h>

struct extmap_node;

struct extmap {
	struct extmap_node *nodes; /* [0] is nobody */
	uint32_t root;
	uint32_t used; /* nodes ever handed out */
	uint32_t room;
	uint32_t unused; /* a list of returned ones */
	uint32_t random;
};

struct extmap_range {
	uint64_t start;
	uint64_t len;
	uint64_t from; /* of start */
};

/* All zero is an empty map. */
void extmap_free(struct extmap *map);

/* [start, start + len) now lies at from; 0, or -1 after error(). */
int extmap_set(struct extmap *map, uint64_t start, uint64_t len, uint64_t from);

/* [start, start + len) lies at itself again; 0, or -1 after error(). */
int extmap_unset(struct extmap *map, uint64_t start, uint64_t len);

/* Where pos lies; *len is lowered to what lies there in one piece. */
uint64_t extmap_get(const struct extmap *map, uint64_t pos, uint64_t *len);

/* The first range that was set and ends after pos; false: there is none. */
bool extmap_next(const struct extmap *map, uint64_t pos,
		 struct extmap_range *range);

/* Was any of [start, start + len) set? */
bool extmap_hit(const struct extmap *map, uint64_t start, uint64_t len);

#endif
