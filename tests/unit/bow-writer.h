/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A bow target in miniature, for tests of the offline tool: random writes and
 * discards on a device in memory, with a log in our format, written in the
 * order that docs/FORMAT.md asks for.
 */
#ifndef BOWLINE_BOW_WRITER_H
#define BOWLINE_BOW_WRITER_H

#include <stdbool.h>
#include <stdint.h>

#include "memdev.h"
#include "../../kmod/dm-bow-ranges.h"

struct writer_shape {
	uint32_t block_size;
	uint32_t sector;
	uint32_t blocks;
	uint32_t free; /* blocks free when state 1 begins */
};

struct writer {
	struct writer_shape shape;
	struct dev *dev;
	struct bow_ranges ranges;
	uint8_t *at_state_1;
	uint8_t *upper;	   /* what the user of the target has written */
	uint8_t *was_free; /* a byte a block */
	uint8_t *unknown;  /* discarded and not written since */
	uint8_t log[4096], image[4096];
	uint64_t live; /* block with the live contents of block 0 */
};

/* In state 1. */
struct writer *writer_new(const struct writer_shape *shape, unsigned int seed);
void writer_free(struct writer *w);
/* Back to state 0, and on to state 1 again. */
void writer_forget(struct writer *w);
void writer_enter(struct writer *w);
/* Some writes or a discard; nothing once the device's power is cut. */
void writer_step(struct writer *w);

bool writer_is_as_at_state_1(const struct writer *w);
bool writer_is_as_written(const struct writer *w);

#endif
