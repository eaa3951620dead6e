// SPDX-License-Identifier: GPL-2.0-only
/* See dm-bow-ranges.h. Block b of a leaf is bits 2b%64 of word b/32. */
#include "dm-bow-ranges.h"

#define WORD_BLOCKS 32
#define ONES	    0x5555555555555555ull /* the low bit of each block */

static u32 leaf_of(u64 block)
{
	return (u32)(block / BOW_LEAF_BLOCKS);
}

static u64 min64(u64 a, u64 b)
{
	return a < b ? a : b;
}

/* Blocks of the device in this leaf. */
static u64 leaf_size(const struct bow_ranges *r, u32 leaf)
{
	return min64(BOW_LEAF_BLOCKS, r->blocks - (u64)leaf * BOW_LEAF_BLOCKS);
}

int bow_ranges_init(struct bow_ranges *r, u64 blocks)
{
	memset(r, 0, sizeof(*r));
	if (blocks > BOW_RANGES_MAX)
		return -ENOMEM;
	r->blocks = blocks;
	r->count[BOW_UNCHANGED] = blocks;
	r->n_leaves = leaf_of(blocks - 1) + 1;
	r->leaf = plat_alloc(r->n_leaves * sizeof(*r->leaf));
	r->uniform = plat_alloc(r->n_leaves);
	if (r->leaf && r->uniform)
		return 0;
	bow_ranges_free(r);
	return -ENOMEM;
}

void bow_ranges_free(struct bow_ranges *r)
{
	u32 i;

	for (i = 0; r->leaf && i < r->n_leaves; i++)
		plat_free(r->leaf[i]);
	plat_free(r->leaf);
	plat_free(r->uniform);
	memset(r, 0, sizeof(*r));
}

/* ---- words --------------------------------------------------------------- */

/* A one for each block of the word that is not of this type. */
static u64 others(u64 word, enum bow_type type)
{
	u64 x = word ^ (ONES * type);

	return (x | x >> 1) & ONES;
}

/* The first block whose one is set, or WORD_BLOCKS. */
static u32 first_one(u64 ones)
{
	u32 low = (u32)ones;
	u32 high = (u32)(ones >> 32);

	if (low)
		return __builtin_ctz(low) / 2;
	return high ? 16 + __builtin_ctz(high) / 2 : WORD_BLOCKS;
}

static u32 count_ones(u64 ones)
{
	ones = (ones & 0x3333333333333333ull) +
	       (ones >> 2 & 0x3333333333333333ull);
	ones = (ones + (ones >> 4)) & 0x0f0f0f0f0f0f0f0full;
	return (u32)((ones * 0x0101010101010101ull) >> 56);
}

/* Ones for n blocks from block i of a word. */
static u64 span(u32 i, u32 n)
{
	u64 ones = n < WORD_BLOCKS ? ((1ull << 2 * n) - 1) & ONES : ONES;

	return ones << 2 * i;
}

/* ---- finding ------------------------------------------------------------- */

/* How far from block i of the leaf, up to limit, it is all of this type. */
static u64 leaf_run(const u64 *leaf, u32 i, u32 limit, enum bow_type type)
{
	u32 start = i;

	while (i < limit) {
		u32 bit = i % WORD_BLOCKS;
		u32 same = first_one(others(leaf[i / WORD_BLOCKS], type) >>
				     2 * bit);

		if (same > WORD_BLOCKS - bit)
			same = WORD_BLOCKS - bit;
		i += same;
		if (bit + same < WORD_BLOCKS)
			break;
	}
	return min64(i, limit) - start;
}

/* The type at block i of a leaf. */
static enum bow_type type_at(const struct bow_ranges *r, u32 leaf, u32 i)
{
	const u64 *words = r->leaf[leaf];

	if (!words)
		return r->uniform[leaf];
	return words[i / WORD_BLOCKS] >> 2 * (i % WORD_BLOCKS) & 3;
}

/* How far from start, at most len and inside its leaf, it is of this type. */
static u64 run_in_leaf(const struct bow_ranges *r, u64 start, u64 len,
		       enum bow_type type)
{
	u32 leaf = leaf_of(start);
	u32 i = start % BOW_LEAF_BLOCKS;
	u32 limit = min64(leaf_size(r, leaf), i + len);

	if (type_at(r, leaf, i) != type)
		return 0;
	if (!r->leaf[leaf])
		return limit - i;
	return leaf_run(r->leaf[leaf], i, limit, type);
}

enum bow_type bow_ranges_find(const struct bow_ranges *r, u64 start, u64 *len)
{
	enum bow_type type =
		type_at(r, leaf_of(start), start % BOW_LEAF_BLOCKS);
	u64 end = start + *len;
	u64 pos = start;

	if (*len == 1) /* what most ask for */
		return type;
	while (pos < end && pos < r->blocks) {
		u64 run = run_in_leaf(r, pos, end - pos, type);

		pos += run;
		if (!run || pos % BOW_LEAF_BLOCKS)
			break;
	}
	*len = min64(pos, end) - start;
	return type;
}

/* The first free block of the leaf at or after block i, or its size. */
static u32 free_in_leaf(const struct bow_ranges *r, u32 leaf, u32 i)
{
	const u64 *words = r->leaf[leaf];
	u32 size = leaf_size(r, leaf);

	if (!words)
		return r->uniform[leaf] == BOW_FREE ? i : size;
	while (i < size) {
		u32 bit = i % WORD_BLOCKS;
		u64 ones = ~others(words[i / WORD_BLOCKS], BOW_FREE) & ONES;
		u32 skip = first_one(ones >> 2 * bit);

		if (skip < WORD_BLOCKS - bit)
			return min64(i + skip, size);
		i += WORD_BLOCKS - bit;
	}
	return size;
}

bool bow_ranges_find_free(struct bow_ranges *r, u64 max, u64 *start, u64 *len)
{
	u32 leaf = leaf_of(r->next);
	u32 i = r->next % BOW_LEAF_BLOCKS;

	if (!r->count[BOW_FREE] || !max)
		return false;
	for (;;) {
		u32 at = free_in_leaf(r, leaf, i);

		if (at < leaf_size(r, leaf)) {
			*start = (u64)leaf * BOW_LEAF_BLOCKS + at;
			break;
		}
		leaf = leaf + 1 < r->n_leaves ? leaf + 1 : 0;
		i = 0;
	}
	*len = max;
	bow_ranges_find(r, *start, len);
	r->next = *start + *len < r->blocks ? *start + *len : 0;
	return true;
}

/* ---- setting ------------------------------------------------------------- */

static bool leaf_missing(const struct bow_ranges *r, u64 start, u64 len,
			 enum bow_type type)
{
	u32 leaf = leaf_of(start);

	return !r->leaf[leaf] && r->uniform[leaf] != type &&
	       len < leaf_size(r, leaf);
}

/* Of [start, start + len) what lies in the leaf of start. */
static u64 clip(u64 start, u64 len)
{
	return min64(len, BOW_LEAF_BLOCKS - start % BOW_LEAF_BLOCKS);
}

bool bow_ranges_missing(const struct bow_ranges *r, u64 start, u64 len,
			enum bow_type type, u32 *leaf)
{
	u64 last = start + len - 1;
	u64 head = clip(start, len);
	u64 tail = min64(len, last % BOW_LEAF_BLOCKS + 1);

	*leaf = leaf_of(start);
	if (leaf_missing(r, start, head, type))
		return true;
	*leaf = leaf_of(last);
	return leaf_missing(r, last, tail, type);
}

bool bow_ranges_add_leaf(struct bow_ranges *r, u32 leaf, u64 *memory)
{
	u32 i;

	if (r->leaf[leaf])
		return false;
	for (i = 0; i < BOW_LEAF_WORDS; i++)
		memory[i] = ONES * r->uniform[leaf];
	r->leaf[leaf] = memory;
	return true;
}

/* Counts n blocks from block i as gone from their types, and sets them. */
static void set_word(struct bow_ranges *r, u64 *word, u32 i, u32 n,
		     enum bow_type type)
{
	u64 ones = span(i, n);
	u32 t;

	for (t = 0; t < BOW_TYPES; t++)
		r->count[t] -= count_ones(ones & ~others(*word, t));
	*word = (*word & ~(ones * 3)) | ones * type;
}

static void set_leaf(struct bow_ranges *r, u32 leaf, u32 i, u32 len,
		     enum bow_type type)
{
	u32 n;

	if (!r->leaf[leaf]) {
		r->count[r->uniform[leaf]] -= len;
		if (r->uniform[leaf] != type)
			r->uniform[leaf] = type;
		return;
	}
	for (; len; len -= n, i += n) {
		n = min64(len, WORD_BLOCKS - i % WORD_BLOCKS);
		set_word(r, &r->leaf[leaf][i / WORD_BLOCKS], i % WORD_BLOCKS, n,
			 type);
	}
}

void bow_ranges_set(struct bow_ranges *r, u64 start, u64 len,
		    enum bow_type type)
{
	r->count[type] += len;
	while (len) {
		u64 n = clip(start, len);

		set_leaf(r, leaf_of(start), start % BOW_LEAF_BLOCKS, n, type);
		start += n;
		len -= n;
	}
}
