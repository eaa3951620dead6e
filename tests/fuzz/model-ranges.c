// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The ranges of the bow target against a model that cannot be wrong: an array
 * with a byte a block. A million random operations, after each of which what
 * was answered is compared, and now and then everything.
 */
#include "../unit/test.h"
#include "dm-bow-ranges.h"

#define OPS 1000000

struct model {
	struct bow_ranges ranges;
	uint8_t *types; /* a byte a block */
	u64 blocks;
	u64 count[BOW_TYPES];
	unsigned int seed;
};

static u64 dice(struct model *m, u64 n)
{
	return (((u64)rand_r(&m->seed) << 31) ^ rand_r(&m->seed)) % n;
}

/* Mostly short, now and then whole leaves and more. */
static u64 some_length(struct model *m, u64 start)
{
	static const u64 most[] = { 1, 3, 40, 5000, 3 * BOW_LEAF_BLOCKS };
	u64 len = 1 + dice(m, most[dice(m, 5)]);

	if (dice(m, 200) == 0)
		len = m->blocks;
	return len < m->blocks - start ? len : m->blocks - start;
}

/* Starts near the edges of leaves are worth more than others. */
static u64 some_start(struct model *m)
{
	u64 start = dice(m, m->blocks);

	if (dice(m, 3) == 0)
		start = start / BOW_LEAF_BLOCKS * BOW_LEAF_BLOCKS + dice(m, 3);
	return start < m->blocks ? start : m->blocks - 1;
}

static void set(struct model *m, u64 start, u64 len, enum bow_type type)
{
	u32 leaf;

	while (bow_ranges_missing(&m->ranges, start, len, type, &leaf)) {
		u64 *memory = plat_alloc(BOW_LEAF_BYTES);

		if (!bow_ranges_add_leaf(&m->ranges, leaf, memory))
			check(!"a leaf that is missing is there");
	}
	bow_ranges_set(&m->ranges, start, len, type);
	for (u64 b = start; b < start + len; b++) {
		m->count[m->types[b]]--;
		m->types[b] = type;
	}
	m->count[type] += len;
}

static void compare_find(struct model *m, u64 start, u64 most)
{
	u64 len = most, want = 1;

	check(bow_ranges_find(&m->ranges, start, &len) == m->types[start]);
	while (want < most && start + want < m->blocks &&
	       m->types[start + want] == m->types[start])
		want++;
	check(len == want);
}

static void compare_free(struct model *m)
{
	u64 most = 1 + dice(m, 50), start, len;
	bool found = bow_ranges_find_free(&m->ranges, most, &start, &len);

	check(found == (m->count[BOW_FREE] > 0));
	if (!found)
		return;
	check(len && len <= most && start + len <= m->blocks);
	for (u64 b = start; b < start + len && !test_failed; b++)
		check(m->types[b] == BOW_FREE);
	if (dice(m, 2))
		set(m, start, len, BOW_BACKUP);
}

static void compare_all(struct model *m)
{
	u64 pos, len;

	for (pos = 0; pos < m->blocks && !test_failed; pos += len) {
		enum bow_type type;

		len = m->blocks - pos;
		type = bow_ranges_find(&m->ranges, pos, &len);
		check(len);
		for (u64 b = pos; b < pos + len; b++)
			if (m->types[b] != type)
				check(!"a block of another type");
	}
	check(!memcmp(m->count, m->ranges.count, sizeof(m->count)));
}

static void step(struct model *m)
{
	u64 start = some_start(m);

	switch (dice(m, 8)) {
	case 0:
		compare_free(m);
		break;
	case 1:
	case 2:
	case 3:
		compare_find(m, start, some_length(m, start));
		break;
	default:
		set(m, start, some_length(m, start), dice(m, BOW_TYPES));
	}
}

static void walk(u64 blocks, unsigned int ops)
{
	struct model m = { .blocks = blocks, .seed = blocks };

	check(!bow_ranges_init(&m.ranges, blocks));
	m.types = calloc(1, blocks);
	m.count[BOW_UNCHANGED] = blocks;
	for (unsigned int n = 0; n < ops && !test_failed; n++) {
		step(&m);
		check(!memcmp(m.count, m.ranges.count, sizeof(m.count)));
		if (n % 4096 == 0)
			compare_all(&m);
	}
	compare_all(&m);
	bow_ranges_free(&m.ranges);
	free(m.types);
}

static void as_the_model(void)
{
	static const u64 sizes[] = { 1,	   31,	 32,	4095,
				     4096, 4097, 20000, 5 * BOW_LEAF_BLOCKS };

	for (int i = 0; i < 8; i++)
		walk(sizes[i], OPS / 8);
}

static const struct test tests[] = {
	{ "a million operations are as in the model", as_the_model },
};

int main(void)
{
	return RUN_TESTS(tests);
}
