// SPDX-License-Identifier: GPL-2.0-or-later
/* The range map against a plain array, over many random sets. */
#include "test.h"
#include "../../updater/extmap.h"

#define SIZE 500

static uint64_t model[SIZE];

/* Every range that was set comes up, in order, and nothing else. */
static int walks(const struct extmap *map)
{
	struct extmap_range r;
	uint64_t pos = 0;

	for (; extmap_next(map, pos, &r); pos = r.start + r.len) {
		if (r.start < pos)
			return 0;
		for (; pos < r.start; pos++)
			if (model[pos] != pos)
				return 0;
		for (uint64_t i = 0; i < r.len; i++)
			if (model[r.start + i] != r.from + i)
				return 0;
	}
	for (; pos < SIZE; pos++)
		if (model[pos] != pos)
			return 0;
	return 1;
}

static int agrees(const struct extmap *map)
{
	for (uint64_t pos = 0; pos < SIZE; pos++) {
		uint64_t len = SIZE - pos;
		uint64_t at = extmap_get(map, pos, &len);

		if (!len)
			return 0;
		for (uint64_t i = 0; i < len; i++)
			if (model[pos + i] != at + i)
				return 0;
	}
	return 1;
}

static void random_sets_match_an_array(void)
{
	struct extmap map = { 0 };

	for (uint64_t i = 0; i < SIZE; i++)
		model[i] = i;
	srand(1);
	for (int round = 0; round < 3000; round++) {
		uint64_t start = rand() % SIZE;
		uint64_t len = 1 + rand() % (SIZE - start);
		uint64_t from = 1000 + rand() % 100000;

		if (round % 2 && len > 8)
			len = 8;
		if (round % 5 == 4) {
			check(!extmap_unset(&map, start, len));
			from = start;
		} else {
			check(!extmap_set(&map, start, len, from));
		}
		for (uint64_t i = 0; i < len; i++)
			model[start + i] = from + i;
		check(agrees(&map) && walks(&map));
	}
	extmap_free(&map);
}

static void an_empty_map_is_the_identity(void)
{
	struct extmap map = { 0 };
	uint64_t len = 77;

	check(extmap_get(&map, 5, &len) == 5 && len == 77);
	check(!extmap_hit(&map, 0, 1000));
}

static void a_hit_is_any_overlap(void)
{
	struct extmap map = { 0 };

	check(!extmap_set(&map, 10, 10, 100));
	check(!extmap_hit(&map, 0, 10));
	check(extmap_hit(&map, 0, 11));
	check(extmap_hit(&map, 12, 2));
	check(extmap_hit(&map, 19, 5));
	check(!extmap_hit(&map, 20, 5));
	extmap_free(&map);
}

static const struct test tests[] = {
	{ "random sets match an array", random_sets_match_an_array },
	{ "an empty map is the identity", an_empty_map_is_the_identity },
	{ "a hit is any overlap", a_hit_is_any_overlap },
};

int main(void)
{
	return RUN_TESTS(tests);
}
