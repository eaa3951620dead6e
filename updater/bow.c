// SPDX-License-Identifier: GPL-2.0-or-later
/* See bow.h: what may be done to a device by what was loaded from it. */
#include <stdlib.h>
#include <string.h>

#include "bow-chain.h"
#include "err.h"
#include "progress.h"

static uint64_t bytes(uint64_t sectors)
{
	return sectors * BOWLINE_SECTOR;
}

static int examine(struct dev *dev, struct bow_info *info, bool check_data)
{
	struct chain c = { .dev = dev, .info = info, .check_data = check_data };
	int err = chain_load(&c);

	chain_free(&c);
	return err;
}

int bow_probe(struct dev *dev, struct bow_info *info)
{
	return examine(dev, info, false);
}

int bow_check(struct dev *dev, struct bow_info *info)
{
	return examine(dev, info, true);
}

static int refuse(struct dev *dev, const struct bow_info *info)
{
	return error("'%s' carries a log that does not add up: %s; nothing was "
		     "changed",
		     dev_name(dev), info->reason);
}

static int refuse_keeping(struct dev *dev)
{
	return error("'%s': a commit has begun and can only be finished with "
		     "'bowline keep'",
		     dev_name(dev));
}

static int refuse_restoring(struct dev *dev)
{
	return error("'%s': a restore has begun and can only be finished with "
		     "'bowline restore'",
		     dev_name(dev));
}

/* ---- restore ---------------------------------------------------------------
 */

/* 0 done, 1 to be called again, -1. */
static int restore_round(struct dev *dev)
{
	struct bow_info info;
	struct chain c = { .dev = dev,
			   .info = &info,
			   .check_data = true,
			   .show_progress = true };
	int r = chain_load(&c);

	if (r || info.kind == BOW_NONE)
		;
	else if (info.kind == BOW_KEEPING)
		r = refuse_keeping(dev);
	else if (info.kind == BOW_DAMAGED)
		r = refuse(dev, &info);
	else
		r = chain_undo(&c);
	chain_free(&c);
	return r;
}

int bow_restore(struct dev *dev)
{
	int r;

	do
		r = restore_round(dev);
	while (r > 0);
	return r;
}

/* ---- keep -------------------------------------------------------------------
 */

/*
 * The live block 0 lies at `from` as well. Where it takes two writes the head
 * counts no entries in between: a commit cut short.
 */
static int put_live(struct chain *c, uint64_t from, const uint8_t *live)
{
	uint32_t size = c->info->block_size;
	const struct bow_step first = { 0, from, size, 0 };
	uint8_t log[BOW_BLOCK_MAX];

	if (chain_atomic(c))
		return chain_put(c, 0, live, size);
	bow_log_start(log, size, BOW_HEADER_SIZE, from, &first);
	bow_log_close(log);
	if (chain_put(c, 0, log, BOW_HEAD) ||
	    chain_put(c, BOW_HEAD, live + BOW_HEAD, size - BOW_HEAD))
		return -1;
	return chain_put(c, 0, live, BOW_HEAD);
}

/* The contents of sector0 into buf: 1, 0 when that is no live block 0, -1. */
static int read_live(struct chain *c)
{
	uint64_t at = c->info->sector0;

	if (!at)
		return 0;
	if (dev_read(c->dev, bytes(at), c->buf, c->info->block_size))
		return -1;
	return !bow_log_is(c->buf);
}

/* Only the newest block was loaded. */
static int keep(struct chain *c)
{
	int r;

	if (c->info->kind == BOW_DAMAGED)
		return refuse(c->dev, c->info);
	if (c->info->restoring)
		return refuse_restoring(c->dev);
	r = read_live(c);
	if (!r) {
		chain_fault(c, "sector %llu has no live block 0 but a log",
			    (unsigned long long)c->info->sector0);
		return refuse(c->dev, c->info);
	}
	return r < 0 ? -1 : put_live(c, c->info->sector0, c->buf);
}

int bow_keep(struct dev *dev)
{
	struct bow_info info = { 0 };
	struct chain c = { .dev = dev, .info = &info };
	int r = bow_is_there(dev);

	if (r <= 0)
		return r;
	r = chain_load_newest(&c);
	if (!r)
		r = keep(&c);
	chain_free(&c);
	return r;
}

/* ---- damaged logs -------------------------------------------------------- */

/* Nothing is known to put there: only what makes it a log goes. */
static int clear(struct dev *dev)
{
	uint8_t head[BOW_BLOCK_MAX];
	uint32_t len = dev_sector(dev) > BOW_HEAD ? dev_sector(dev) : BOW_HEAD;

	if (dev_read(dev, 0, head, len))
		return -1;
	memset(head, 0, sizeof(uint32_t));
	return dev_write(dev, 0, head, len) || dev_flush(dev) ? -1 : 0;
}

static int drop(struct chain *c, struct bow_salvage *result)
{
	int r;

	if (c->info->restoring)
		return refuse_restoring(c->dev);
	r = c->known ? read_live(c) : 0;
	result->block0 = BOW_BLOCK0_LIVE;
	if (r > 0)
		return put_live(c, c->info->sector0, c->buf);
	if (r < 0)
		return -1;
	result->block0 = c->origin ? BOW_BLOCK0_OLD : BOW_BLOCK0_LOST;
	return c->origin ? put_live(c, c->origin, c->original) : clear(c->dev);
}

int bow_drop(struct dev *dev, struct bow_salvage *result)
{
	struct bow_info info;
	struct chain c = { .dev = dev, .info = &info };
	int r = chain_load(&c);

	*result = (struct bow_salvage){ .kind = info.kind };
	if (!r && info.kind != BOW_NONE)
		r = drop(&c, result);
	chain_free(&c);
	return r;
}

/*
 * Entries whose source was found as it was saved never took effect; what older
 * entries had there is there still. So each pass may prove more.
 */
static int load_proven(struct chain *c)
{
	struct mark *before = NULL;
	uint32_t idle = 0, known;
	int r;

	do {
		struct chain next = { .dev = c->dev,
				      .info = c->info,
				      .check_data = true,
				      .show_progress = true,
				      .before = before,
				      .n_before = c->n_marks };

		known = idle;
		c->marks = NULL;
		chain_free(c);
		*c = next;
		r = chain_load(c);
		free(before);
		before = NULL;
		idle = 0;
		for (uint32_t i = 0; !r && i < c->n_marks; i++)
			idle += c->marks[i].verdict == V_IDLE;
		if (idle > known)
			before = c->marks;
		c->before = NULL;
	} while (!r && idle > known);
	return r;
}

/* What is not proven goes from the map to c->left. */
static int leave_unproven(struct chain *c)
{
	struct extmap_range range;
	uint64_t pos = 0;

	if (chain_find_left(c))
		return -1;
	for (; extmap_next(&c->left, pos, &range);
	     pos = range.start + range.len)
		if (extmap_unset(&c->where, range.start, range.len))
			return -1;
	return 0;
}

/* Which contents block 0 gets: c->origin and c->original say. */
static int choose_block0(struct chain *c, struct bow_salvage *result)
{
	int r;

	result->block0 = BOW_BLOCK0_OLD;
	if (c->origin)
		return 0;
	r = read_live(c);
	if (r < 0)
		return -1;
	result->block0 = r ? BOW_BLOCK0_LIVE : BOW_BLOCK0_LOST;
	if (!r)
		return 0;
	free(c->original);
	c->original = malloc(c->info->block_size);
	if (!c->original)
		return error("out of memory: %u bytes", c->info->block_size);
	memcpy(c->original, c->buf, c->info->block_size);
	c->origin = c->info->sector0;
	return 0;
}

static int salvage(struct chain *c, FILE *to, unsigned int lines,
		   struct bow_salvage *result)
{
	int r;

	if (!c->known) {
		result->block0 = BOW_BLOCK0_LOST;
		chain_report(c, to, lines, result);
		return clear(c->dev);
	}
	if (leave_unproven(c) || choose_block0(c, result))
		return -1;
	c->salvage = true;
	r = chain_undo(c);
	result->undone = c->undone;
	chain_report(c, to, lines, result);
	if (!r && result->block0 == BOW_BLOCK0_LOST)
		r = clear(c->dev);
	return r > 0 ? bow_restore(c->dev) : r;
}

int bow_salvage(struct dev *dev, FILE *to, unsigned int lines,
		struct bow_salvage *result)
{
	struct bow_info info;
	struct chain c = { .dev = dev, .info = &info };
	int r = load_proven(&c);

	*result = (struct bow_salvage){ .kind = info.kind,
					.undone = info.backed_up };
	if (!r && info.kind == BOW_DAMAGED)
		r = salvage(&c, to, lines, result);
	else if (!r && info.kind == BOW_KEEPING)
		r = refuse_keeping(dev);
	else if (!r && info.kind != BOW_NONE)
		r = bow_restore(dev);
	chain_free(&c);
	return r;
}
