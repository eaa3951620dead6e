// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * See bow.h. A restore is: load the chain of log blocks into a list of steps,
 * checking everything on the way; then carry the steps out.
 *
 * While it loads, `where` maps each position to the place on the device where
 * its contents will come from once the steps loaded so far are carried out:
 * older log blocks and backups may themselves have been overwritten later,
 * and are read through it.
 */
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "bow.h"
#include "err.h"
#include "extmap.h"
#include "progress.h"
#include "../kmod/dm-bow-log.h"

#define COPY_MAX (1u << 20) /* bytes moved at once */

struct chain;

/* What wants to know about every entry as it is met: inspect. */
struct watcher {
	void (*log)(struct watcher *w, const struct bow_log *log);
	void (*entry)(struct watcher *w, uint32_t i,
		      const struct bow_step *step, bool sum_ok);
	FILE *to;
};

struct log_block {
	struct bow_log log;
	uint64_t at; /* byte it was read from, through the map */
	uint8_t *block;
};

struct step {
	struct bow_step bow;
	uint32_t log;	/* index of its log block, 0 = newest */
	uint32_t entry; /* its place in that block */
};

struct chain {
	struct dev *dev;
	struct bow_info *info;
	struct watcher *watcher;
	bool check_data;
	uint8_t *buf; /* COPY_MAX */

	struct log_block *logs;
	uint32_t n_logs;
	struct step *steps; /* in the order to carry them out */
	uint32_t n_steps;
	uint32_t room;
	struct extmap where; /* bytes to bytes */
	uint8_t *original;   /* block 0 as it was when state 1 began */
};

static uint64_t bytes(uint64_t sector)
{
	return sector * BOWLINE_SECTOR;
}

/* The log does not add up; stops loading. Returns 1. */
__attribute__((format(printf, 2, 3))) static int damaged(struct chain *c,
							 const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(c->info->reason, sizeof(c->info->reason), fmt, ap);
	va_end(ap);
	c->info->kind = BOW_DAMAGED;
	return 1;
}

static void *need(size_t size)
{
	void *p = malloc(size);

	if (!p)
		error("out of memory: %zu bytes", size);
	return p;
}

/* ---- loading: every function returns 0, 1 = damaged, -1 = error ---------- */

/* Reads what will lie at pos when the steps so far are carried out. */
static int read_through(struct chain *c, uint64_t pos, uint8_t *to,
			uint64_t len)
{
	while (len) {
		uint64_t run = len;
		uint64_t at = extmap_get(&c->where, pos, &run);

		if (dev_read(c->dev, at, to, run))
			return -1;
		pos += run;
		to += run;
		len -= run;
	}
	return 0;
}

/* *sum = the checksum that the step's backup has now. */
static int sum_of(struct chain *c, const struct bow_log *log,
		  const struct bow_step *step, uint32_t *sum)
{
	uint64_t pos = bytes(step->dest);
	uint32_t left = step->size;

	*sum = bow_checksum(step->source, log->block_size, NULL, 0);
	while (left) {
		uint32_t n = left < COPY_MAX ? left : COPY_MAX;

		if (read_through(c, pos, c->buf, n))
			return -1;
		*sum = plat_crc32(*sum, c->buf, n);
		pos += n;
		left -= n;
	}
	return 0;
}

static int check_sum(struct chain *c, uint32_t i, const struct bow_step *step)
{
	const struct bow_log *log = &c->logs[c->n_logs - 1].log;
	uint32_t sum = 0;
	bool ok;

	if (step->checksum && sum_of(c, log, step, &sum))
		return -1;
	ok = sum == step->checksum;
	if (c->watcher)
		c->watcher->entry(c->watcher, i, step, ok);
	if (!ok)
		return damaged(c,
			       "log block %u, entry %u: the backup of sector "
			       "%llu has checksum %08x, not %08x",
			       log->sequence, i,
			       (unsigned long long)step->source, sum,
			       step->checksum);
	return 0;
}

/* Moves contents in the map as carrying out the step will. */
static int map_step(struct chain *c, const struct bow_step *step)
{
	uint64_t done = 0;

	while (done < step->size) {
		uint64_t run = step->size - done;
		uint64_t from =
			extmap_get(&c->where, bytes(step->dest) + done, &run);

		if (extmap_set(&c->where, bytes(step->source) + done, run,
			       from))
			return -1;
		done += run;
	}
	return 0;
}

static int add_step(struct chain *c, uint32_t i, const struct bow_step *step)
{
	if (c->n_steps == c->room) {
		uint32_t room = c->room ? c->room * 2 : 256;
		struct step *steps =
			reallocarray(c->steps, room, sizeof(*steps));

		if (!steps)
			return error("out of memory for %u log entries", room);
		c->steps = steps;
		c->room = room;
	}
	c->steps[c->n_steps++] = (struct step){ *step, c->n_logs - 1, i };
	return 0;
}

static int load_entry(struct chain *c, uint32_t i)
{
	const struct bow_log *log = &c->logs[c->n_logs - 1].log;
	struct bow_step step;
	const char *why;
	int err = 0;

	bow_log_entry(log, i, &step);
	why = bow_log_check(log, i, &step);
	if (why)
		return damaged(c, "log block %u, entry %u: %s", log->sequence,
			       i, why);
	c->info->entries++;
	c->info->backed_up += step.size;
	if (c->check_data || !i)
		err = check_sum(c, i, &step);
	if (!err)
		err = add_step(c, i, &step);
	if (!err && i)
		err = map_step(c, &step);
	return err;
}

/*
 * A tail that belongs to no state of the block is still right while block 0
 * is being replaced as a whole, which is done header first: then the tail is
 * that of the contents before, and entry 0 says where a copy of them is. A
 * restore replaces block 0 with count 1, when only entry 0 matters.
 */
static int explain_tail(struct chain *c, struct log_block *b)
{
	struct bow_step step;

	if (b->log.tail != BOW_TAIL_OTHER ||
	    (b->log.magic == BOW_MAGIC_RESTORING && b->log.count == 1))
		return 0;
	bow_log_entry(&b->log, 0, &step);
	if (bow_log_check(&b->log, 0, &step) ||
	    b->log.header_size + b->log.count * BOW_ENTRY_SIZE > BOW_HEAD)
		return 1;
	if (read_through(c, bytes(step.dest), c->buf, b->log.block_size))
		return -1;
	return bow_log_tail(&b->log, c->buf) != bow_log_tail(&b->log, b->block);
}

static int load_block(struct chain *c, struct log_block *b, uint64_t at)
{
	const char *why;
	uint8_t *block;
	int err;

	b->at = at;
	b->block = need(BOW_BLOCK_MAX);
	if (!b->block)
		return -1;
	block = b->block;
	if (read_through(c, at, block, BOW_HEAD))
		return -1;
	if (bow_log_header(&b->log, block, dev_size(c->dev) / BOWLINE_SECTOR,
			   &why))
		return damaged(c, "the log block at byte %llu: %s",
			       (unsigned long long)at, why);
	if (read_through(c, at + BOW_HEAD, block + BOW_HEAD,
			 b->log.block_size - BOW_HEAD))
		return -1;
	bow_log_block(&b->log, block);
	err = explain_tail(c, b);
	if (err > 0)
		return damaged(c, "log block %u does not match its checksum",
			       b->log.sequence);
	return err;
}

static int add_log(struct chain *c, uint64_t at)
{
	struct log_block *logs =
		reallocarray(c->logs, c->n_logs + 1, sizeof(*logs));

	if (!logs)
		return error("out of memory for log block %u", c->n_logs);
	c->logs = logs;
	logs[c->n_logs++] = (struct log_block){ 0 };
	c->info->logs = c->n_logs;
	return load_block(c, &logs[c->n_logs - 1], at);
}

/* Is this block the one that the newer block before it followed? */
static int check_link(struct chain *c)
{
	const struct bow_log *newer = &c->logs[c->n_logs - 2].log;
	const struct bow_log *log = &c->logs[c->n_logs - 1].log;

	if (log->magic != BOW_MAGIC || log->sequence + 1 != newer->sequence ||
	    log->block_size != newer->block_size || !log->count)
		return damaged(c, "log block %u is followed by block %u",
			       newer->sequence, log->sequence);
	return 0;
}

static int load_entries(struct chain *c)
{
	uint32_t i = c->logs[c->n_logs - 1].log.count;
	int err = 0;

	if (c->watcher)
		c->watcher->log(c->watcher, &c->logs[c->n_logs - 1].log);
	while (!err && i)
		err = load_entry(c, --i);
	return err;
}

/* Entry 0 of the first log block: block 0 as it was. */
static int load_original(struct chain *c)
{
	uint32_t size = c->info->block_size;

	c->original = need(size);
	if (!c->original ||
	    read_through(c, bytes(c->steps[c->n_steps - 1].bow.dest),
			 c->original, size))
		return -1;
	if (bow_log_is(c->original))
		return damaged(c, "log block 0 does not save block 0 but "
				  "another log block");
	return 0;
}

static int load_older(struct chain *c)
{
	while (c->logs[c->n_logs - 1].log.sequence) {
		uint64_t at = bytes(c->steps[c->n_steps - 1].bow.dest);
		int err = add_log(c, at);

		if (!err)
			err = check_link(c);
		if (!err)
			err = load_entries(c);
		if (err)
			return err;
	}
	return load_original(c);
}

static int load_newest(struct chain *c)
{
	struct bow_info *info = c->info;
	const struct bow_log *log;
	int err = add_log(c, 0);

	if (err)
		return err;
	log = &c->logs[0].log;
	info->block_size = log->block_size;
	info->sector0 = log->sector0;
	if (!log->count)
		info->kind = BOW_KEEPING;
	else if (log->magic == BOW_MAGIC)
		info->kind = BOW_LOG;
	else
		info->kind = BOW_RESTORING;
	return log->count ? load_entries(c) : 0;
}

/* Does block 0 carry the magic of a log? 1, 0, or -1 after error(). */
static int has_log(struct dev *dev)
{
	uint8_t head[BOW_HEAD];

	if (dev_size(dev) < sizeof(head))
		return 0;
	if (dev_read(dev, 0, head, sizeof(head)))
		return -1;
	return bow_log_is(head);
}

/* 0 with *info filled, damaged or not; -1 after error(). */
static int load(struct chain *c)
{
	int err = has_log(c->dev);

	memset(c->info, 0, sizeof(*c->info));
	if (err <= 0)
		return err;
	c->buf = need(COPY_MAX);
	if (!c->buf)
		return -1;
	err = load_newest(c);
	if (!err && c->info->kind != BOW_KEEPING)
		err = load_older(c);
	return err < 0 ? -1 : 0;
}

static void unload(struct chain *c)
{
	for (uint32_t i = 0; i < c->n_logs; i++)
		free(c->logs[i].block);
	free(c->logs);
	free(c->steps);
	free(c->original);
	free(c->buf);
	extmap_free(&c->where);
}

static int examine(struct dev *dev, struct bow_info *info, bool check_data)
{
	struct chain c = { .dev = dev, .info = info, .check_data = check_data };
	int err = load(&c);

	unload(&c);
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

/* ---- writing ------------------------------------------------------------- */

/*
 * A restore under way. Steps from `since` on were carried out after block 0
 * was last written; a cut repeats them, so none of them may overwrite what
 * one of them has read.
 */
struct restore {
	struct chain *chain;
	uint32_t resident; /* index of the log block at block 0 */
	struct extmap read;
	uint64_t done; /* bytes */
};

#define ELSEWHERE (1ull << 62)

static bool atomic(struct chain *c)
{
	return c->info->block_size <= dev_sector(c->dev);
}

static int put(struct dev *dev, uint64_t at, const void *p, size_t len)
{
	return dev_write(dev, at, p, len) || dev_flush(dev) ? -1 : 0;
}

/* Block 0's head says: a restore has come down to this many entries. */
static int put_mark(struct restore *r, uint32_t log, uint32_t count)
{
	struct chain *c = r->chain;
	struct bow_header *h = (struct bow_header *)c->logs[log].block;
	uint32_t len = atomic(c) ? c->info->block_size : BOW_HEAD;

	h->magic = cpu_to_le32(BOW_MAGIC_RESTORING);
	h->count = cpu_to_le32(count);
	return put(c->dev, 0, h, len);
}

/*
 * Replaces the log in block 0, whose steps are all done. Where that takes two
 * writes the head comes last: until then it says that entry 0 alone is left.
 */
static int replace_rest(struct restore *r, const uint8_t *block)
{
	struct chain *c = r->chain;

	if (atomic(c))
		return 0;
	if (put_mark(r, r->resident, 1))
		return -1;
	return put(c->dev, BOW_HEAD, block + BOW_HEAD,
		   c->info->block_size - BOW_HEAD);
}

/* Makes the steps before this one durable, so that a cut goes on from here. */
static int make_point(struct restore *r, const struct step *next)
{
	struct chain *c = r->chain;

	if (dev_flush(c->dev))
		return -1;
	if (next->log != r->resident &&
	    replace_rest(r, c->logs[next->log].block))
		return -1;
	r->resident = next->log;
	extmap_free(&r->read);
	return put_mark(r, next->log, next->entry + 1);
}

static int copy(struct chain *c, uint64_t from, uint64_t to, uint32_t len)
{
	while (len) {
		uint32_t n = len < COPY_MAX ? len : COPY_MAX;

		if (dev_read(c->dev, from, c->buf, n) ||
		    dev_write(c->dev, to, c->buf, n))
			return -1;
		from += n;
		to += n;
		len -= n;
	}
	return 0;
}

static int carry_out(struct restore *r, const struct step *step)
{
	const struct bow_step *bow = &step->bow;
	uint64_t from = bytes(bow->dest), to = bytes(bow->source);

	if (step->entry && extmap_hit(&r->read, to, bow->size) &&
	    make_point(r, step))
		return -1;
	if (extmap_set(&r->read, from, bow->size, from + ELSEWHERE))
		return -1;
	r->done += bow->size;
	progress_update(r->done);
	if (!step->entry) /* block 0 itself comes last */
		return 0;
	return copy(r->chain, from, to, bow->size);
}

/* The last write: the original block 0, which removes the log. */
static int finish(struct restore *r)
{
	struct chain *c = r->chain;
	uint32_t len = atomic(c) ? c->info->block_size : BOW_HEAD;

	if (dev_flush(c->dev) || replace_rest(r, c->original))
		return -1;
	return put(c->dev, 0, c->original, len);
}

static int write_back(struct chain *c)
{
	struct restore r = { .chain = c };
	int err = 0;

	progress_start("restoring", c->info->backed_up);
	if (c->info->kind == BOW_LOG)
		err = put_mark(&r, 0, c->logs[0].log.count);
	for (uint32_t i = 0; !err && i < c->n_steps; i++)
		err = carry_out(&r, &c->steps[i]);
	if (!err)
		err = finish(&r);
	extmap_free(&r.read);
	if (!err)
		progress_end();
	return err;
}

static int refuse(struct dev *dev, const struct bow_info *info)
{
	return error("'%s' carries a log that does not add up: %s; nothing was "
		     "changed",
		     dev_name(dev), info->reason);
}

static int restore(struct chain *c)
{
	switch (c->info->kind) {
	case BOW_NONE:
		return 0;
	case BOW_KEEPING:
		return error("'%s': a commit has begun and can only be "
			     "finished with 'bowline keep'",
			     dev_name(c->dev));
	case BOW_DAMAGED:
		return refuse(c->dev, c->info);
	default:
		return write_back(c);
	}
}

int bow_restore(struct dev *dev)
{
	struct bow_info info;
	struct chain c = { .dev = dev, .info = &info, .check_data = true };
	int err = load(&c);

	if (!err)
		err = restore(&c);
	unload(&c);
	return err;
}

/* ---- keep ---------------------------------------------------------------- */

static int put_live(struct chain *c, const uint8_t *live)
{
	uint32_t size = c->info->block_size;
	uint8_t *log = c->logs[0].block;

	if (atomic(c))
		return put(c->dev, 0, live, size);
	bow_log_close(log);
	if (put(c->dev, 0, log, BOW_HEAD) ||
	    put(c->dev, BOW_HEAD, live + BOW_HEAD, size - BOW_HEAD))
		return -1;
	return put(c->dev, 0, live, BOW_HEAD);
}

/* Only the newest block was loaded. */
static int keep(struct chain *c)
{
	const struct bow_log *log = &c->logs[0].log;

	if (c->info->kind == BOW_DAMAGED)
		return refuse(c->dev, c->info);
	if (log->magic == BOW_MAGIC_RESTORING)
		return error("'%s': a restore has begun and can only be "
			     "finished with 'bowline restore'",
			     dev_name(c->dev));
	if (dev_read(c->dev, bytes(log->sector0), c->buf, log->block_size))
		return -1;
	if (bow_log_is(c->buf)) {
		damaged(c, "sector %llu has no live block 0 but a log",
			(unsigned long long)log->sector0);
		return refuse(c->dev, c->info);
	}
	c->info->block_size = log->block_size;
	return put_live(c, c->buf);
}

int bow_keep(struct dev *dev)
{
	struct bow_info info = { 0 };
	struct chain c = { .dev = dev, .info = &info };
	int err = has_log(dev);

	if (err <= 0)
		return err;
	c.buf = need(COPY_MAX);
	err = c.buf ? add_log(&c, 0) : -1;
	if (err >= 0)
		err = keep(&c);
	unload(&c);
	return err;
}

/* ---- inspect ------------------------------------------------------------- */

static void show_log(struct watcher *w, const struct bow_log *log)
{
	static const char *const tails[] = {
		[BOW_TAIL_NONE] = "none (published writer)",
		[BOW_TAIL_WHOLE] = "good",
		[BOW_TAIL_TORN] = "of two writes, entries proven",
		[BOW_TAIL_OTHER] = "of what was there before",
	};

	fprintf(w->to,
		"log block %u: block size %u, %u entries, live block 0 at "
		"sector %llu, checksum %s\n",
		log->sequence, log->block_size, log->count,
		(unsigned long long)log->sector0, tails[log->tail]);
}

static void show_entry(struct watcher *w, uint32_t i,
		       const struct bow_step *step, bool sum_ok)
{
	fprintf(w->to, "  entry %u: %u bytes of sector %llu at %llu, %s\n", i,
		step->size, (unsigned long long)step->source,
		(unsigned long long)step->dest,
		!step->checksum ? "no checksum"
		: sum_ok	? "checksum good"
				: "checksum WRONG");
}

static void show_verdict(FILE *to, const struct bow_info *info)
{
	switch (info->kind) {
	case BOW_NONE:
		fputs("no log\n", to);
		return;
	case BOW_KEEPING:
		fputs("a commit was cut short: 'bowline keep' finishes it\n",
		      to);
		return;
	case BOW_DAMAGED:
		fprintf(to, "damaged: %s\n", info->reason);
		return;
	default:
		fprintf(to,
			"%s: %u log blocks, %llu entries, %llu bytes backed "
			"up\n",
			info->kind == BOW_LOG ? "a good log"
					      : "a restore was cut short",
			info->logs, (unsigned long long)info->entries,
			(unsigned long long)info->backed_up);
	}
}

int bow_inspect(struct dev *dev, FILE *to)
{
	struct watcher watcher = { show_log, show_entry, to };
	struct bow_info info;
	struct chain c = { .dev = dev,
			   .info = &info,
			   .watcher = &watcher,
			   .check_data = true };
	int err = load(&c);

	unload(&c);
	if (!err)
		show_verdict(to, &info);
	return err;
}
