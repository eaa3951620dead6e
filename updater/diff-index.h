/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where in the old image bytes occur. Every window of SEED_BYTES bytes whose
 * hash says so is a seed: one in SEED_RATE, the same ones in both images, so
 * two that share enough bytes share seeds at whatever offset. The index holds
 * the seeds of the old image: 8 bytes for each, half of the image, and less
 * than a tenth of it for the buckets. Where that is too much, fewer windows are
 * seeds, and less of what the images share is found.
 */
#ifndef BOWLINE_DIFF_INDEX_H
#define BOWLINE_DIFF_INDEX_H

#include <stddef.h>
#include <stdint.h>

#include "diff-image.h"

#define SEED_BYTES 16
#define SEED_RATE  16
#define RATE_MOST  1024 /* windows; with fewer seeds nothing is found */

struct index {
	uint32_t rate;	   /* one window in so many is a seed */
	uint64_t *entries; /* by bucket, in the order of the image */
	uint32_t *buckets; /* where each begins, and the end of the last */
	unsigned int bits; /* of a hash that choose the bucket */
};

struct seed {
	uint64_t hash;
	uint32_t at; /* its last byte in what was searched */
};

/* Bytes that an index at this rate takes, of an image with so many of data. */
uint64_t index_bytes(uint64_t data, uint32_t rate);
/* With at most so many bytes, and as many seeds as that allows. 0: any. 0, or
 * -1 after error(). */
int index_build(struct index *index, const struct image *old, uint64_t most);
void index_free(struct index *index);

/* The seeds of @len bytes; @seeds has room for one a byte. Their number. */
uint32_t index_seeds(const struct index *index, const uint8_t *bytes,
		     uint32_t len, struct seed *seeds);

/*
 * Where the old image has the seed: offsets of its last byte, in their order.
 * Returns how many, at most @max; 0 also if there are more.
 */
uint32_t index_find(const struct index *index, uint64_t hash, uint64_t *found,
		    uint32_t max);

#endif
