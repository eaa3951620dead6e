// SPDX-License-Identifier: GPL-2.0-or-later
/* The range set of the bow target against an array with a byte a block. */
#include "test.h"
#include "../../kmod/dm-bow-ranges.h"

#define MAX_BLOCKS (3 * BOW_LEAF_BLOCKS)

static unsigned char model[MAX_BLOCKS];

static void set(struct bow_ranges *r, u64 start, u64 len, enum bow_type type)
{
	u32 leaf;

	while (bow_ranges_missing(r, start, len, type, &leaf))
		check(bow_ranges_add_leaf(r, leaf, plat_alloc(BOW_LEAF_BYTES)));
	bow_ranges_set(r, start, len, type);
	memset(model + start, type, len);
}

static void start_anew(struct bow_ranges *r, u64 blocks)
{
	check(!bow_ranges_init(r, blocks));
	memset(model, BOW_UNCHANGED, sizeof(model));
}

static int find_agrees(const struct bow_ranges *r, u64 start, u64 len)
{
	u64 n = 1, got = len;
	enum bow_type type = bow_ranges_find(r, start, &got);

	while (n < len && start + n < r->blocks &&
	       model[start + n] == model[start])
		n++;
	return type == model[start] && got == n;
}

static int counts_agree(const struct bow_ranges *r)
{
	u64 count[BOW_TYPES] = { 0 };

	for (u64 i = 0; i < r->blocks; i++)
		count[model[i]]++;
	return !memcmp(count, r->count, sizeof(count));
}

/* What is found is free, is as long as it can be, and is found if any is. */
static int find_free_agrees(struct bow_ranges *r, u64 max)
{
	u64 start, len;

	if (!bow_ranges_find_free(r, max, &start, &len))
		return !r->count[BOW_FREE];
	if (!len || len > max || start + len > r->blocks)
		return 0;
	for (u64 i = 0; i < len; i++)
		if (model[start + i] != BOW_FREE)
			return 0;
	return len == max || start + len == r->blocks ||
	       model[start + len] != BOW_FREE;
}

static void random_walk(u64 blocks, int rounds)
{
	struct bow_ranges r;

	start_anew(&r, blocks);
	srand(blocks);
	for (int i = 0; i < rounds && !test_failed; i++) {
		u64 start = rand() % blocks;
		u64 len = 1 + rand() % (blocks - start);

		if (i % 4 && len > 40)
			len = 1 + len % 40;
		set(&r, start, len, rand() % BOW_TYPES);
		check(find_agrees(&r, rand() % blocks, 1 + rand() % blocks));
		check(find_agrees(&r, start, len));
		check(find_free_agrees(&r, 1 + rand() % 100));
		if (i % 64 == 0)
			check(counts_agree(&r));
	}
	check(counts_agree(&r));
	bow_ranges_free(&r);
}

static void random_sets_match_an_array(void)
{
	random_walk(MAX_BLOCKS, 20000);
	random_walk(BOW_LEAF_BLOCKS + 1, 20000);
	random_walk(37, 20000);
	random_walk(1, 100);
}

static void every_free_block_is_found(void)
{
	struct bow_ranges r;
	u64 start, len, n = 0;

	start_anew(&r, MAX_BLOCKS - 5);
	for (u64 i = 3; i < r.blocks; i += 77)
		set(&r, i, 1 + i % 3, BOW_FREE);
	while (bow_ranges_find_free(&r, 2, &start, &len)) {
		set(&r, start, len, BOW_BACKUP);
		n += len;
	}
	check(n && n == r.count[BOW_BACKUP] && counts_agree(&r));
	bow_ranges_free(&r);
}

static void whole_leaves_take_no_memory(void)
{
	struct bow_ranges r;
	u32 leaf;

	start_anew(&r, MAX_BLOCKS);
	check(!bow_ranges_missing(&r, 0, MAX_BLOCKS, BOW_FREE, &leaf));
	set(&r, 0, MAX_BLOCKS, BOW_FREE);
	check(!bow_ranges_missing(&r, BOW_LEAF_BLOCKS, BOW_LEAF_BLOCKS,
				  BOW_CHANGED, &leaf));
	check(bow_ranges_missing(&r, 5, 1, BOW_CHANGED, &leaf) && !leaf);
	check(!bow_ranges_missing(&r, 5, 1, BOW_FREE, &leaf));
	bow_ranges_free(&r);
	bow_ranges_free(&r);
}

static const struct test tests[] = {
	{ "random sets match an array", random_sets_match_an_array },
	{ "every free block is found", every_free_block_is_found },
	{ "whole leaves take no memory", whole_leaves_take_no_memory },
};

int main(void)
{
	return RUN_TESTS(tests);
}
