// SPDX-License-Identifier: GPL-2.0-or-later
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "diff-index.h"
#include "err.h"
#include "progress.h"

/*
 * The rolling hash shifts by 4 bits a byte, so a byte has left its 64 bits
 * after SEED_BYTES more. Multiplied, its upper bits depend on all of them. From
 * the top: bucket, CHECK_BITS that tell the seeds of a bucket apart, and
 * further down those that choose one in SEED_RATE.
 */
#define ROLL_SHIFT  4
#define RATE_SHIFT  8
#define CHECK_BITS  24
#define OFFSET_BITS 40
#define OFFSET_MASK ((1ull << OFFSET_BITS) - 1)
#define MIN_BITS    10
#define MAX_BITS    30
#define STEP	    (1u << 20) /* bytes between two signs of progress */

static uint64_t byte_hash[256];

static uint64_t mix(uint64_t hash)
{
	return hash * 0x9E3779B97F4A7C15u;
}

static void fill_byte_hash(void)
{
	uint64_t x = 88172645463325252u;

	for (int i = 0; i < 256; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		byte_hash[i] = x;
	}
}

/* Runs of one byte are everywhere and tell nothing. */
static bool dull(const uint8_t *last)
{
	return last[0] == last[-1] && last[0] == last[-SEED_BYTES / 2] &&
	       last[0] == last[1 - SEED_BYTES];
}

static bool is_seed(const struct index *index, uint64_t hash,
		    const uint8_t *last)
{
	return !(hash >> RATE_SHIFT & (index->rate - 1)) && !dull(last);
}

static uint64_t check_of(const struct index *index, uint64_t hash)
{
	return hash << index->bits >> (64 - CHECK_BITS);
}

uint32_t index_seeds(const struct index *index, const uint8_t *bytes,
		     uint32_t len, struct seed *seeds)
{
	uint64_t rolling = 0, hash;
	uint32_t n = 0;

	for (uint32_t i = 0; i < len; i++) {
		rolling = (rolling << ROLL_SHIFT) + byte_hash[bytes[i]];
		hash = mix(rolling);
		if (i >= SEED_BYTES - 1 && is_seed(index, hash, bytes + i))
			seeds[n++] = (struct seed){ hash, i };
	}
	return n;
}

uint32_t index_find(const struct index *index, uint64_t hash, uint64_t *found,
		    uint32_t max)
{
	uint64_t bucket = hash >> (64 - index->bits);
	uint64_t check = check_of(index, hash);
	uint32_t n = 0;

	for (uint32_t i = index->buckets[bucket];
	     i < index->buckets[bucket + 1]; i++) {
		if (index->entries[i] >> OFFSET_BITS != check)
			continue;
		if (n == max)
			return 0;
		found[n++] = index->entries[i] & OFFSET_MASK;
	}
	return n;
}

/* Counts a seed in its bucket; or puts it there, at byte @i. */
static void take_seed(struct index *index, uint64_t hash, uint64_t i)
{
	uint64_t bucket = hash >> (64 - index->bits);

	if (index->entries)
		index->entries[index->buckets[bucket + 1]++] =
			check_of(index, hash) << OFFSET_BITS | i;
	else
		index->buckets[bucket + 2]++;
}

/* Bytes @from to @to: what is in one part with them, and in no other. */
static void scan_part(struct index *index, const struct image *old,
		      uint64_t from, uint64_t to, uint64_t done)
{
	const uint8_t *bytes = old->bytes;
	uint64_t rolling = 0, hash;

	for (uint64_t i = from; i < to; i++) {
		rolling = (rolling << ROLL_SHIFT) + byte_hash[bytes[i]];
		hash = mix(rolling);
		if (i % STEP == 0) {
			progress_update(done + i);
			images_trim();
		}
		if (i >= from + SEED_BYTES - 1 &&
		    is_seed(index, hash, bytes + i))
			take_seed(index, hash, i);
	}
}

/*
 * Counts the seeds of each bucket, or, when there is room for them, puts them
 * there; then buckets[b + 1] goes from the beginning of bucket b to its end.
 * Holes are passed over, but for seeds that reach into one: all others there
 * would be dull.
 */
static void scan(struct index *index, const struct image *old, uint64_t done)
{
	for (uint32_t i = 0; i < old->n_parts; i++) {
		uint64_t from = old->parts[i].from, to = old->parts[i].to;

		from -= from < SEED_BYTES ? from : SEED_BYTES;
		to += old->size - to < SEED_BYTES ? old->size - to : SEED_BYTES;
		scan_part(index, old, from, to, done);
	}
}

static unsigned int bits_for(uint64_t data, uint32_t rate)
{
	unsigned int bits = MIN_BITS;

	while (bits < MAX_BITS && 1ull << bits < data / rate / 4)
		bits++;
	return bits;
}

static uint64_t bucket_bytes(unsigned int bits)
{
	return ((1ull << bits) + 2) * sizeof(uint32_t);
}

uint64_t index_bytes(uint64_t data, uint32_t rate)
{
	return data / rate * sizeof(uint64_t) +
	       bucket_bytes(bits_for(data, rate));
}

static int allocate_buckets(struct index *index, uint64_t data)
{
	index->bits = bits_for(data, index->rate);
	index->buckets = calloc(1, bucket_bytes(index->bits));
	return index->buckets ? 0 : error("out of memory for the index");
}

/* From numbers in each bucket to where each begins; all of them together. */
static uint64_t sum_up(struct index *index)
{
	uint64_t n = 0;

	for (uint64_t b = 0; b < (1ull << index->bits) + 2; b++) {
		n += index->buckets[b];
		index->buckets[b] = n;
	}
	return n;
}

/* What there is of seeds in the image may be far from one window in rate. */
static bool too_large(const struct index *index, uint64_t n, uint64_t most)
{
	return most && index->rate < RATE_MOST &&
	       n * sizeof(uint64_t) + bucket_bytes(index->bits) > most;
}

/* Counts the seeds at a rate of which there are not too many; -1: no memory. */
static int64_t count_seeds(struct index *index, const struct image *old,
			   uint64_t data, uint64_t most)
{
	uint64_t n;

	while (most && index->rate < RATE_MOST &&
	       index_bytes(data, index->rate) > most)
		index->rate *= 2;
	for (;; index->rate *= 2) {
		if (allocate_buckets(index, data))
			return -1;
		scan(index, old, 0);
		n = sum_up(index);
		if (!too_large(index, n, most))
			return n;
		free(index->buckets);
	}
}

int index_build(struct index *index, const struct image *old, uint64_t most)
{
	int64_t n;

	*index = (struct index){ .rate = SEED_RATE };
	if (old->size > OFFSET_MASK)
		return error("'%s' is %llu bytes, more than 1 TiB", old->path,
			     (unsigned long long)old->size);
	fill_byte_hash();
	progress_start("reading the old image", 2 * old->size);
	n = count_seeds(index, old, image_data_size(old), most);
	if (n < 0)
		return -1;
	index->entries = malloc(n ? n * sizeof(uint64_t) : 1);
	if (!index->entries || n > UINT32_MAX) {
		index_free(index);
		return error("out of memory for the index of '%s'", old->path);
	}
	scan(index, old, old->size);
	progress_end();
	return 0;
}

void index_free(struct index *index)
{
	free(index->entries);
	free(index->buckets);
	*index = (struct index){ 0 };
}
