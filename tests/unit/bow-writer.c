// SPDX-License-Identifier: GPL-2.0-or-later
#include <stdlib.h>
#include <string.h>

#include "bow-writer.h"
#include "../../kmod/dm-bow-log.h"

#define BATCH 30

static uint64_t byte_of(const struct writer *w, uint64_t block)
{
	return block * w->shape.block_size;
}

static uint64_t sector_of(const struct writer *w, uint64_t block)
{
	return byte_of(w, block) / 512;
}

static void noise(uint8_t *p, size_t len)
{
	uint64_t x = ((uint64_t)rand() << 20) + rand() + 1;

	for (size_t i = 0; i + sizeof(x) <= len; i += sizeof(x)) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		memcpy(p + i, &x, sizeof(x));
	}
}

/* ---- ranges -------------------------------------------------------------- */

static void set(struct writer *w, uint64_t start, uint64_t len,
		enum bow_type type)
{
	u32 leaf;

	while (bow_ranges_missing(&w->ranges, start, len, type, &leaf))
		bow_ranges_add_leaf(&w->ranges, leaf,
				    plat_alloc(BOW_LEAF_BYTES));
	bow_ranges_set(&w->ranges, start, len, type);
}

static enum bow_type type_of(struct writer *w, uint64_t block)
{
	u64 len = 1;

	return bow_ranges_find(&w->ranges, block, &len);
}

static bool claim(struct writer *w, uint64_t *block)
{
	u64 len;

	if (!bow_ranges_find_free(&w->ranges, 1, block, &len))
		return false;
	set(w, *block, 1, BOW_BACKUP);
	return true;
}

/* ---- the log ------------------------------------------------------------- */

static uint32_t head_size(const struct writer *w)
{
	return w->shape.sector < w->shape.block_size ? w->shape.sector
						     : w->shape.block_size;
}

static void write_rest(struct writer *w, const uint8_t *block)
{
	uint32_t head = head_size(w);

	if (head < w->shape.block_size)
		dev_write(w->dev, head, block + head,
			  w->shape.block_size - head);
}

static void write_head(struct writer *w, const uint8_t *block)
{
	dev_flush(w->dev);
	dev_write(w->dev, 0, block, head_size(w));
	dev_flush(w->dev);
}

/* A new log block: the head makes it so, and the rest has time. */
static void begin_log(struct writer *w)
{
	write_head(w, w->image);
	memcpy(w->log, w->image, w->shape.block_size);
}

static int most_writes(const struct writer *w)
{
	uint32_t room = bow_log_capacity(w->shape.block_size, BOW_HEADER_LONG);

	return room / 2 < BATCH ? room / 2 : BATCH;
}

/*
 * More entries: one write, which a cut may tear, together with the backups,
 * unless the live block 0 moved.
 */
static void append_log(struct writer *w, bool in_order)
{
	if (in_order)
		dev_flush(w->dev);
	dev_write(w->dev, 0, w->image, w->shape.block_size);
	dev_flush(w->dev);
	memcpy(w->log, w->image, w->shape.block_size);
}

/* False: no free block for the full one. */
static bool roll(struct writer *w)
{
	uint32_t size = w->shape.block_size;
	uint64_t block;

	if (bow_log_room(w->log) >= (uint32_t)most_writes(w))
		return true;
	if (!claim(w, &block))
		return false;
	dev_write(w->dev, byte_of(w, block), w->log, size);
	memcpy(w->image, w->log, size);
	bow_log_roll(w->image, sector_of(w, block),
		     bow_checksum(0, size, w->log, size));
	begin_log(w);
	return true;
}

void writer_enter(struct writer *w)
{
	uint32_t size = w->shape.block_size;
	struct bow_step first = { 0, 0, size, 0 };
	uint64_t backup;

	claim(w, &backup);
	claim(w, &w->live);
	dev_write(w->dev, byte_of(w, backup), w->upper, size);
	dev_write(w->dev, byte_of(w, w->live), w->upper, size);
	first.dest = sector_of(w, backup);
	first.checksum = bow_checksum(0, size, w->upper, size);
	bow_log_start(w->image, size,
		      head_size(w) < size ? BOW_HEADER_LONG : BOW_HEADER_SIZE,
		      sector_of(w, w->live), &first);
	begin_log(w);
}

/* ---- writes -------------------------------------------------------------- */

static void back_up(struct writer *w, uint64_t block, uint64_t dest)
{
	uint32_t size = w->shape.block_size;
	struct bow_step step = { sector_of(w, block), sector_of(w, dest), size,
				 0 };
	uint8_t data[4096];

	dev_read(w->dev, byte_of(w, block), data, size);
	dev_write(w->dev, byte_of(w, dest), data, size);
	if (block == w->live) {
		bow_log_move(w->image, step.dest);
		return;
	}
	step.checksum = bow_checksum(step.source, size, data, size);
	bow_log_append(w->image, &step);
}

/* Backs up what of the blocks needs it; false when there is no room. */
static bool save_all(struct writer *w, const uint64_t *blocks, int n)
{
	uint64_t live = w->live;
	int saved = 0;

	memcpy(w->image, w->log, w->shape.block_size);
	bow_log_mark(w->image);
	for (int i = 0; i < n; i++) {
		enum bow_type type = type_of(w, blocks[i]);
		uint64_t dest;

		if (type == BOW_FREE || type == BOW_CHANGED)
			continue;
		if (!claim(w, &dest))
			return false;
		back_up(w, blocks[i], dest);
		if (blocks[i] == w->live)
			w->live = dest;
		set(w, blocks[i], 1, BOW_CHANGED);
		saved++;
	}
	if (saved)
		append_log(w, w->live != live);
	return true;
}

static void put(struct writer *w, uint64_t block)
{
	uint64_t to = block ? block : w->live;

	noise(w->upper + byte_of(w, block), w->shape.block_size);
	w->unknown[block] = 0;
	dev_write(w->dev, byte_of(w, to), w->upper + byte_of(w, block),
		  w->shape.block_size);
	if (block && type_of(w, block) == BOW_FREE)
		set(w, block, 1, BOW_CHANGED);
}

/* Distinct blocks, none of which is about to hold another's backup. */
static void write_some(struct writer *w)
{
	uint64_t start = 1 + rand() % (w->shape.blocks - BATCH - 1);
	uint64_t blocks[BATCH];
	int n = 1 + rand() % (rand() % 2 ? most_writes(w) : 6);

	for (int i = 0; i < n; i++)
		blocks[i] = start + i;
	for (int i = 0; i < n; i++)
		if (type_of(w, blocks[i]) == BOW_FREE)
			put(w, blocks[i]);
	if (!roll(w) || w->ranges.count[BOW_FREE] < (u64)n ||
	    !save_all(w, blocks, n))
		return;
	for (int i = 0; i < n && !memdev_is_cut(w->dev); i++)
		if (type_of(w, blocks[i]) == BOW_CHANGED)
			put(w, blocks[i]);
}

static void discard_some(struct writer *w)
{
	uint64_t start = 1 + rand() % (w->shape.blocks - 1);
	uint64_t end = start + 1 + rand() % 30;

	for (uint64_t b = start; b < end && b < w->shape.blocks; b++) {
		w->unknown[b] = 1;
		if (type_of(w, b) == BOW_CHANGED)
			set(w, b, 1, BOW_FREE);
	}
}

void writer_step(struct writer *w)
{
	int dice = rand() % 32;

	if (memdev_is_cut(w->dev))
		return;
	if (dice < 6)
		discard_some(w);
	else if (dice < 8)
		put(w, 0);
	else if (dice == 8)
		write_rest(w, w->log);
	else
		write_some(w);
}

/* ---- a device ------------------------------------------------------------ */

static void choose_free(struct writer *w)
{
	uint32_t left = w->shape.free;

	while (left) {
		uint64_t block = 1 + rand() % (w->shape.blocks - 1);

		if (w->was_free[block])
			continue;
		w->was_free[block] = 1;
		w->unknown[block] = 1;
		set(w, block, 1, BOW_FREE);
		left--;
	}
}

struct writer *writer_new(const struct writer_shape *shape, unsigned int seed)
{
	struct writer *w = calloc(1, sizeof(*w));
	uint64_t size = (uint64_t)shape->blocks * shape->block_size;

	srand(seed);
	w->shape = *shape;
	w->at_state_1 = malloc(size);
	w->upper = malloc(size);
	w->was_free = calloc(1, shape->blocks);
	w->unknown = calloc(1, shape->blocks);
	noise(w->at_state_1, size);
	memcpy(w->upper, w->at_state_1, size);
	w->dev = memdev_new(w->at_state_1, size, shape->sector);
	bow_ranges_init(&w->ranges, shape->blocks);
	choose_free(w);
	writer_enter(w);
	return w;
}

void writer_forget(struct writer *w)
{
	uint64_t size = (uint64_t)w->shape.blocks * w->shape.block_size;

	memdev_free(w->dev);
	w->dev = memdev_new(w->at_state_1, size, w->shape.sector);
	set(w, 0, w->shape.blocks, BOW_UNCHANGED);
	for (uint64_t b = 0; b < w->shape.blocks; b++)
		if (w->was_free[b])
			set(w, b, 1, BOW_FREE);
}

void writer_free(struct writer *w)
{
	memdev_free(w->dev);
	bow_ranges_free(&w->ranges);
	free(w->at_state_1);
	free(w->upper);
	free(w->was_free);
	free(w->unknown);
	free(w);
}

static bool matches(const struct writer *w, const uint8_t *want,
		    const uint8_t *ignore)
{
	uint32_t size = w->shape.block_size;

	for (uint64_t b = 0; b < w->shape.blocks; b++)
		if (!ignore[b] && memcmp(memdev_data(w->dev) + b * size,
					 want + b * size, size))
			return false;
	return true;
}

bool writer_is_as_at_state_1(const struct writer *w)
{
	return matches(w, w->at_state_1, w->was_free);
}

bool writer_is_as_written(const struct writer *w)
{
	return matches(w, w->upper, w->unknown);
}
