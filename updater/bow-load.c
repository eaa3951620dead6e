// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Loading a bow log: the chain of log blocks, newest to oldest, each entry
 * from the last to the first. Faults are noted and passed over as far as
 * possible, so that a damaged log can be explained and salvaged; whoever wants
 * a whole one looks at info->kind.
 *
 * While it loads, `where` maps each sector to the place whose contents it will
 * have once the entries loaded so far are undone: older log blocks and backups
 * may themselves have been overwritten later, and are read through it. What an
 * entry was copied to was free before it, and is forgotten.
 */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "bow-chain.h"
#include "err.h"
#include "progress.h"

#define BATCH 4096 /* entries checked in one go, in the order of the device */
#define GAP   (16u << 10) /* bytes read in vain rather than skipped */

static uint64_t bytes(uint64_t sectors)
{
	return sectors * BOWLINE_SECTOR;
}

void chain_fault(struct chain *c, const char *fmt, ...)
{
	va_list ap;

	if (c->info->kind == BOW_DAMAGED)
		return;
	va_start(ap, fmt);
	vsnprintf(c->info->reason, sizeof(c->info->reason), fmt, ap);
	va_end(ap);
	c->info->kind = BOW_DAMAGED;
}

static void *need(size_t size)
{
	void *p = malloc(size);

	if (!p)
		error("out of memory: %zu bytes", size);
	return p;
}

struct mark *chain_mark(struct chain *c, const struct log_block *b, uint32_t i)
{
	return &c->marks[b->first + b->log.count - 1 - i];
}

/* ---- reading --------------------------------------------------------------
 */

/* Reads what will lie at pos when the entries so far are undone. */
static int read_through(struct chain *c, uint64_t pos, uint8_t *to,
			uint64_t len)
{
	while (len) {
		uint64_t run = len;
		uint64_t at = extmap_get(&c->where, pos, &run);

		if (dev_read(c->dev, bytes(at), to, bytes(run)))
			return -1;
		pos += run;
		to += bytes(run);
		len -= run;
	}
	return 0;
}

static int read_at(struct chain *c, uint64_t pos, uint8_t *to, uint64_t len)
{
	return dev_read(c->dev, bytes(pos), to, bytes(len));
}

/* *sum = the checksum that the step's data has at pos, read in one way. */
static int sum_of(struct chain *c, const struct bow_step *step, uint64_t pos,
		  int (*get)(struct chain *c, uint64_t pos, uint8_t *to,
			     uint64_t len),
		  uint32_t *sum)
{
	uint64_t left = step->size / BOWLINE_SECTOR;

	*sum = bow_checksum(step->source, c->info->block_size, NULL, 0);
	while (left) {
		uint64_t n = BOW_WINDOW / BOWLINE_SECTOR;

		if (n > left)
			n = left;
		if (get(c, pos, c->buf, n))
			return -1;
		*sum = plat_crc32(*sum, c->buf, bytes(n));
		pos += n;
		left -= n;
	}
	return 0;
}

/* ---- verdicts --------------------------------------------------------------
 */

/*
 * sum is what the backup has. One that fails needs no undo where the source
 * still holds what was to be saved: the write it was made for never came.
 */
static int judge(struct chain *c, const struct bow_log *log, uint32_t i,
		 struct mark *mark, uint32_t sum)
{
	struct bow_step step;
	uint32_t now;

	bow_log_entry(log, i, &step);
	mark->verdict = sum == step.checksum ? V_GOOD
			: step.checksum	     ? V_BAD
					     : V_NONE;
	if (mark->verdict != V_BAD)
		return 0;
	chain_fault(c,
		    "log block %u, entry %u: the backup of sector %llu has "
		    "checksum %08x, not %08x",
		    log->sequence, i, (unsigned long long)step.source, sum,
		    step.checksum);
	if (!i)
		return 0;
	if (sum_of(c, &step, step.source, read_at, &now))
		return -1;
	if (now == step.checksum)
		mark->verdict = V_IDLE;
	return 0;
}

/* An entry whose backup is to be looked at. */
struct job {
	uint64_t place;
	struct mark *mark;
	const struct bow_log *log;
	uint32_t entry;
	uint32_t size;
	uint32_t sum;
};

static int by_place(const void *a, const void *b)
{
	const struct job *x = a, *y = b;

	return x->place < y->place ? -1 : x->place > y->place;
}

/* Larger than the window: alone, in pieces. */
static int verify_large(struct chain *c, struct job *job)
{
	struct bow_step step;

	bow_log_entry(job->log, job->entry, &step);
	return sum_of(c, &step, job->place, read_at, &job->sum);
}

/* Sums the first jobs that one read covers; *n = how many. */
static int verify_window(struct chain *c, struct job *jobs, uint32_t left,
			 uint32_t *n)
{
	uint64_t start = bytes(jobs[0].place), end = start;
	struct bow_step step;

	*n = 0;
	while (*n < left && bytes(jobs[*n].place) <= end + GAP &&
	       bytes(jobs[*n].place) + jobs[*n].size <= start + BOW_WINDOW) {
		uint64_t last = bytes(jobs[*n].place) + jobs[*n].size;

		end = last > end ? last : end;
		++*n;
	}
	if (!*n) {
		*n = 1;
		return verify_large(c, jobs);
	}
	if (dev_read(c->dev, start, c->buf, end - start))
		return -1;
	for (uint32_t k = 0; k < *n; k++) {
		bow_log_entry(jobs[k].log, jobs[k].entry, &step);
		jobs[k].sum =
			bow_checksum(step.source, c->info->block_size,
				     c->buf + bytes(jobs[k].place) - start,
				     step.size);
	}
	return 0;
}

static int verify_batch(struct chain *c, struct job *jobs, uint32_t n_jobs,
			uint64_t *done)
{
	uint32_t n;

	qsort(jobs, n_jobs, sizeof(*jobs), by_place);
	for (; n_jobs; jobs += n, n_jobs -= n) {
		if (verify_window(c, jobs, n_jobs, &n))
			return -1;
		for (uint32_t k = 0; k < n; k++) {
			if (judge(c, jobs[k].log, jobs[k].entry, jobs[k].mark,
				  jobs[k].sum))
				return -1;
			*done += jobs[k].size;
		}
		if (c->show_progress)
			progress_update(*done);
	}
	return 0;
}

static bool add_job(struct chain *c, const struct log_block *b, uint32_t i,
		    struct job *job)
{
	struct mark *mark = chain_mark(c, b, i);
	struct bow_step step;

	if (mark->verdict != V_UNCHECKED)
		return false;
	bow_log_entry(&b->log, i, &step);
	*job = (struct job){ mark->place, mark, &b->log, i, step.size, 0 };
	return true;
}

int chain_verify(struct chain *c)
{
	struct job *jobs = need(BATCH * sizeof(*jobs));
	uint64_t done = 0;
	uint32_t n = 0;
	int err = jobs ? 0 : -1;

	if (c->show_progress)
		progress_start("checking", c->info->backed_up);
	for (uint32_t l = 0; !err && l < c->n_logs; l++) {
		struct log_block *b = &c->logs[l];

		for (uint32_t i = b->log.count; !err && i--;) {
			n += add_job(c, b, i, &jobs[n]);
			if (n < BATCH)
				continue;
			err = verify_batch(c, jobs, n, &done);
			n = 0;
		}
	}
	if (!err)
		err = verify_batch(c, jobs, n, &done);
	free(jobs);
	if (!err && c->show_progress)
		progress_end();
	return err;
}

/* ---- entries ----------------------------------------------------------------
 */

static struct mark *add_mark(struct chain *c)
{
	if (c->n_marks == c->room) {
		uint32_t room = c->room ? c->room * 2 : 256;
		struct mark *marks =
			reallocarray(c->marks, room, sizeof(*marks));

		if (!marks) {
			error("out of memory for %u log entries", room);
			return NULL;
		}
		c->marks = marks;
		c->room = room;
	}
	c->marks[c->n_marks] = (struct mark){ 0 };
	return &c->marks[c->n_marks++];
}

/* Moves contents in the map as undoing the step will. */
static int map_step(struct chain *c, const struct bow_step *step)
{
	uint64_t len = step->size / BOWLINE_SECTOR, done = 0;

	while (done < len) {
		uint64_t run = len - done;
		uint64_t from = extmap_get(&c->where, step->dest + done, &run);

		if (extmap_set(&c->where, step->source + done, run, from))
			return -1;
		done += run;
	}
	return extmap_unset(&c->where, step->dest, len);
}

/* Is this the live block 0 making way? Then neither place was in use before. */
static bool is_move(const struct chain *c, const struct bow_step *step)
{
	return !step->checksum && step->dest == c->live &&
	       step->size == c->info->block_size;
}

static int forget_move(struct chain *c, const struct bow_step *step)
{
	uint64_t len = step->size / BOWLINE_SECTOR;

	c->live = step->source;
	if (extmap_unset(&c->where, step->source, len))
		return -1;
	return extmap_unset(&c->where, step->dest, len);
}

/* Where is its backup? In pieces: then it is judged at once. */
static int locate(struct chain *c, const struct bow_log *log, uint32_t i,
		  const struct bow_step *step, struct mark *mark)
{
	uint64_t len = step->size / BOWLINE_SECTOR, run = len;
	uint32_t sum;

	mark->place = extmap_get(&c->where, step->dest, &run);
	if (run == len)
		return 0;
	mark->place = 0;
	if (!c->check_data)
		return 0;
	if (sum_of(c, step, step->dest, read_through, &sum))
		return -1;
	return judge(c, log, i, mark, sum);
}

static bool was_idle(const struct chain *c, uint32_t mark)
{
	return c->before && mark < c->n_before &&
	       c->before[mark].verdict == V_IDLE;
}

static int load_entry(struct chain *c, const struct bow_log *log, uint32_t i)
{
	struct mark *mark = add_mark(c);
	struct bow_step step;
	const char *why;

	if (!mark)
		return -1;
	c->info->entries++;
	bow_log_entry(log, i, &step);
	why = bow_log_check(log, i, &step);
	if (why) {
		mark->verdict = V_NONSENSE;
		chain_fault(c, "log block %u, entry %u: %s", log->sequence, i,
			    why);
		return 0;
	}
	c->info->backed_up += step.size;
	if (i && is_move(c, &step)) {
		mark->verdict = V_MOVE;
		return forget_move(c, &step);
	}
	if (i && was_idle(c, c->n_marks - 1)) {
		mark->verdict = V_IDLE;
		chain_fault(c, "log block %u, entry %u never took effect",
			    log->sequence, i);
		return extmap_unset(&c->where, step.dest,
				    step.size / BOWLINE_SECTOR);
	}
	if (locate(c, log, i, &step, mark))
		return -1;
	return i ? map_step(c, &step) : 0;
}

static int load_entries(struct chain *c)
{
	struct log_block *b = &c->logs[c->n_logs - 1];
	int err = 0;

	b->first = c->n_marks;
	for (uint32_t i = b->log.count; !err && i--;)
		err = load_entry(c, &b->log, i);
	return err;
}

/* ---- log blocks ---------------------------------------------------------- */

/*
 * A block that is not what its tail says was damaged somewhere; maybe in its
 * count. Whatever was written after the counted entries may be entries, too:
 * each has its own checksum.
 */
static void count_all(struct bow_log *log)
{
	static const struct bow_step none;
	struct bow_step step;

	uint32_t most = bow_log_capacity(log->block_size, log->header_size);

	while (log->count < most) {
		bow_log_entry(log, log->count, &step);
		if (!memcmp(&step, &none, sizeof(step)))
			return;
		log->count++;
	}
}

/*
 * Does the tail, or what a cut left out, belong to the contents before, which
 * entry 0 saved to c->buf? A block is begun header first.
 */
static bool has_begun(struct chain *c, struct log_block *b)
{
	if (b->log.header_size == BOW_HEADER_LONG)
		return bow_log_over(&b->log, b->block, c->buf);
	return b->log.header_size + b->log.count * BOW_ENTRY_SIZE <= BOW_HEAD &&
	       bow_log_tail(&b->log, c->buf) == bow_log_tail(&b->log, b->block);
}

/*
 * A tail that belongs to no state of the block may be explained by what lay
 * there before. A restore replaces block 0 with count 1, when only entry 0
 * matters.
 */
static int explain_tail(struct chain *c, struct log_block *b)
{
	struct bow_step step;

	if (b->log.tail != BOW_TAIL_OTHER ||
	    (b->log.magic == BOW_MAGIC_RESTORING && b->log.count == 1))
		return 0;
	bow_log_entry(&b->log, 0, &step);
	if (!bow_log_check(&b->log, 0, &step)) {
		if (read_through(c, step.dest, c->buf,
				 b->log.block_size / BOWLINE_SECTOR))
			return -1;
		if (has_begun(c, b))
			return 0;
	}
	b->fault = "does not match its checksum";
	if (b->log.magic == BOW_MAGIC)
		count_all(&b->log);
	return 0;
}

/* The next entry from i on that moved what lies at pos: follows it. */
static bool follow(const struct bow_log *log, uint32_t *i, uint64_t *pos)
{
	uint32_t n = bow_log_capacity(log->block_size, log->header_size);
	struct bow_step step;

	while (++*i < n) {
		bow_log_entry(log, *i, &step);
		if (bow_log_check(log, *i, &step) || *pos < step.source ||
		    *pos - step.source >= step.size / BOWLINE_SECTOR)
			continue;
		*pos += step.dest - step.source;
		return true;
	}
	return false;
}

/*
 * Is what entry 0 of a block saved where it says, or where later entries have
 * moved it? Then that is in c->buf. 1, 0, -1.
 */
static int is_saved(struct chain *c, struct bow_log *log)
{
	struct bow_step step;
	uint32_t i = 0;
	uint64_t pos;

	bow_log_entry(log, 0, &step);
	if (bow_log_check(log, 0, &step) || !step.checksum)
		return 0;
	pos = step.dest;
	do {
		if (read_at(c, pos, c->buf, log->block_size / BOWLINE_SECTOR))
			return -1;
		if (step.checksum ==
		    bow_checksum(0, log->block_size, c->buf, log->block_size))
			return 1;
	} while (follow(log, &i, &pos));
	return 0;
}

/* A header with this block size, as entry 0 and what it saved have it. */
static void guess(struct chain *c, struct bow_log *log, uint32_t size)
{
	struct bow_log older;
	const char *why;

	log->magic = log->magic == BOW_MAGIC_RESTORING ? log->magic : BOW_MAGIC;
	log->sequence = 0;
	log->count = 1;
	if (bow_log_is(c->buf) &&
	    !bow_log_header(&older, c->buf, log->sectors, &why))
		log->sequence = older.sequence + 1;
	if (log->sector0 % (size / BOWLINE_SECTOR) ||
	    log->sector0 >= log->sectors ||
	    log->sectors - log->sector0 < size / BOWLINE_SECTOR)
		log->sector0 = 0;
}

/* Does entry 0 prove these sizes? 1, 0, -1. */
static int try_sizes(struct chain *c, struct log_block *b, uint32_t block_size,
		     uint32_t header_size)
{
	struct bow_log *log = &b->log;
	int r;

	log->block = b->block;
	log->block_size = block_size;
	log->header_size = header_size;
	if (block_size > dev_size(c->dev))
		return 0;
	if (read_at(c, 0, b->block, block_size / BOWLINE_SECTOR))
		return -1;
	r = is_saved(c, log);
	if (r > 0) {
		guess(c, log, block_size);
		count_all(log);
	}
	return r;
}

/* The header of block 0 cannot be read: entry 0 may tell what it was. */
static int guess_header(struct chain *c, struct log_block *b)
{
	int r = 0;

	for (uint32_t size = BOW_BLOCK_MIN; !r && size <= BOW_BLOCK_MAX;
	     size *= 2) {
		r = try_sizes(c, b, size, BOW_HEADER_SIZE);
		if (!r)
			r = try_sizes(c, b, size, BOW_HEADER_LONG);
	}
	return r;
}

/* 1: the block can be used, 0: it cannot, -1. Faults of it are noted. */
static int load_block(struct chain *c, struct log_block *b, uint64_t at)
{
	const char *why;

	b->block = need(BOW_BLOCK_MAX);
	if (!b->block || read_through(c, at, b->block, 1))
		return -1;
	if (bow_log_header(&b->log, b->block, dev_size(c->dev) / BOWLINE_SECTOR,
			   &why)) {
		b->fault = why;
		chain_fault(c, "the log block at byte %llu: %s",
			    (unsigned long long)bytes(at), why);
		return at ? 0 : guess_header(c, b);
	}
	if (read_through(c, at, b->block, b->log.block_size / BOWLINE_SECTOR))
		return -1;
	bow_log_block(&b->log, b->block);
	if (explain_tail(c, b))
		return -1;
	b->proven = b->log.tail != BOW_TAIL_NONE && !b->fault;
	if (b->fault)
		chain_fault(c, "log block %u %s", b->log.sequence, b->fault);
	return 1;
}

/* An image of its own size, not of the largest. */
static int shrink(struct log_block *b)
{
	uint8_t *block = realloc(b->block, b->log.block_size);

	if (!block)
		return error("out of memory: %u bytes", b->log.block_size);
	b->block = block;
	b->log.block = block;
	return 0;
}

static int add_log(struct chain *c, uint64_t at)
{
	struct log_block *logs;
	int r;

	if (!(c->n_logs & (c->n_logs - 1))) {
		logs = reallocarray(c->logs, c->n_logs ? c->n_logs * 2 : 1,
				    sizeof(*logs));
		if (!logs)
			return error("out of memory for log block %u",
				     c->n_logs);
		c->logs = logs;
	}
	logs = &c->logs[c->n_logs++];
	*logs = (struct log_block){ 0 };
	r = load_block(c, logs, at);
	if (r > 0)
		return shrink(logs) ? -1 : 1;
	free(logs->block);
	c->n_logs--;
	return r;
}

/* Is this block the one that the newer block before it followed? */
static bool is_next(struct chain *c)
{
	struct bow_log *newer = &c->logs[c->n_logs - 2].log;
	struct log_block *b = &c->logs[c->n_logs - 1];

	if (b->log.magic == BOW_MAGIC &&
	    b->log.sequence + 1 == newer->sequence &&
	    b->log.block_size == newer->block_size && b->log.count)
		return true;
	chain_fault(c, "log block %u is followed by block %u", newer->sequence,
		    b->log.sequence);
	free(b->block);
	c->n_logs--;
	return false;
}

/* Entry 0 of the newest block loaded, unless it means nothing. */
static bool entry_0(struct chain *c, struct bow_step *step, struct mark **mark)
{
	struct log_block *b = &c->logs[c->n_logs - 1];

	*mark = chain_mark(c, b, 0);
	bow_log_entry(&b->log, 0, step);
	return (*mark)->verdict != V_NONSENSE;
}

/* The block before the newest loaded. 1: goes on, 0: cannot, -1. */
static int load_older(struct chain *c)
{
	struct log_block *b = &c->logs[c->n_logs - 1];
	struct bow_step step;
	struct mark *mark;
	uint32_t sum, size = c->info->block_size;
	int r;

	if (!entry_0(c, &step, &mark))
		return 0;
	if (read_through(c, step.dest, c->buf, size / BOWLINE_SECTOR))
		return -1;
	sum = bow_checksum(0, size, c->buf, size);
	if (judge(c, &b->log, 0, mark, step.checksum ? sum : 0))
		return -1;
	r = add_log(c, step.dest);
	if (r > 0 && !is_next(c))
		r = 0;
	if (r <= 0)
		return r;
	b = &c->logs[c->n_logs - 1];
	b->proven = step.checksum == sum;
	if (!b->proven && !b->fault)
		b->fault = "is not what was saved";
	if (extmap_unset(&c->where, step.dest, size / BOWLINE_SECTOR) ||
	    load_entries(c))
		return -1;
	return 1;
}

/* Entry 0 of the first log block: block 0 as it was. */
static int load_original(struct chain *c)
{
	uint32_t size = c->info->block_size;
	struct bow_step step;
	struct mark *mark;
	uint64_t run = 1;

	if (!entry_0(c, &step, &mark))
		return 0;
	c->original = need(size);
	if (!c->original ||
	    read_through(c, step.dest, c->original, size / BOWLINE_SECTOR) ||
	    judge(c, &c->logs[c->n_logs - 1].log, 0, mark,
		  step.checksum ? bow_checksum(0, size, c->original, size) : 0))
		return -1;
	c->complete = true;
	if (bow_log_is(c->original))
		chain_fault(c, "log block 0 does not save block 0 but another "
			       "log block");
	else if (mark->verdict == V_GOOD || !step.checksum)
		c->origin = extmap_get(&c->where, step.dest, &run);
	return extmap_unset(&c->where, step.dest, size / BOWLINE_SECTOR);
}

/* ---- the whole ----------------------------------------------------------- */

int bow_is_there(struct dev *dev)
{
	uint8_t head[BOW_HEAD];

	if (dev_size(dev) < sizeof(head))
		return 0;
	if (dev_read(dev, 0, head, sizeof(head)))
		return -1;
	return bow_log_is(head);
}

int chain_load_newest(struct chain *c)
{
	struct bow_info *info = c->info;
	const struct bow_log *log;
	int r;

	c->buf = need(BOW_WINDOW);
	if (!c->buf)
		return -1;
	r = add_log(c, 0);
	if (r <= 0)
		return r;
	c->known = true;
	log = &c->logs[0].log;
	if (c->limit) {
		c->beyond = log->count - c->limit;
		c->logs[0].log.count = c->limit;
	}
	info->block_size = log->block_size;
	info->sector0 = c->live = log->sector0;
	info->restoring = log->magic == BOW_MAGIC_RESTORING;
	if (info->kind != BOW_DAMAGED)
		info->kind = !log->count       ? BOW_KEEPING
			     : info->restoring ? BOW_RESTORING
					       : BOW_LOG;
	return 0;
}

/* ---- the count of a published log ------------------------------------------
 */

/* Do two places hold the same? 1, 0, -1. */
static int is_same(struct chain *c, uint64_t a, uint64_t b, uint64_t sectors)
{
	uint8_t one[BOWLINE_SECTOR], other[BOWLINE_SECTOR];

	for (uint64_t i = 0; i < sectors; i++) {
		if (read_at(c, a + i, one, 1) || read_at(c, b + i, other, 1))
			return -1;
		if (memcmp(one, other, sizeof(one)))
			return 0;
	}
	return 1;
}

/* The block before this one was full, and may have left its entry i here. */
static bool is_stale(const struct chain *c, uint32_t i)
{
	const struct bow_log *log = &c->logs[0].log;
	size_t at = log->header_size + i * BOW_ENTRY_SIZE;

	return c->n_logs > 1 &&
	       !memcmp(log->block + at, c->logs[1].log.block + at,
		       BOW_ENTRY_SIZE);
}

/* Did entry i, behind the last, count once? 1, 0, -1. */
static int was_counted(struct chain *c, uint32_t i)
{
	const struct bow_log *log = &c->logs[0].log;
	struct bow_step step;
	uint32_t sum;
	int r;

	bow_log_entry(log, i, &step);
	if (!step.checksum || bow_log_check(log, i, &step) || is_stale(c, i))
		return 0;
	if (sum_of(c, &step, step.dest, read_at, &sum))
		return -1;
	if (sum != step.checksum)
		return 0;
	r = is_same(c, step.source, step.dest, step.size / BOWLINE_SECTOR);
	return r < 0 ? r : !r;
}

/*
 * Nothing proves the header of a published log. But an entry behind the last
 * whose backup is good, and is not what its source holds by now, was one of
 * them when the source was overwritten.
 */
static int check_count(struct chain *c)
{
	const struct bow_log *log = &c->logs[0].log;
	uint32_t most = bow_log_capacity(log->block_size, log->header_size);

	if (log->tail != BOW_TAIL_NONE || log->magic != BOW_MAGIC)
		return 0;
	for (uint32_t i = log->count; i < most; i++) {
		int r = was_counted(c, i);

		if (r < 0)
			return -1;
		if (r)
			chain_fault(c,
				    "log block %u counts %u entries, but entry "
				    "%u is one of them",
				    log->sequence, log->count, i);
		if (r)
			return 0;
	}
	return 0;
}

static int load_once(struct chain *c)
{
	int r;

	memset(c->info, 0, sizeof(*c->info));
	r = bow_is_there(c->dev);
	if (r <= 0)
		return r;
	if (chain_load_newest(c))
		return -1;
	if (!c->known || c->info->kind == BOW_KEEPING)
		return 0;
	r = load_entries(c) ? -1 : 1;
	while (r > 0 && c->logs[c->n_logs - 1].log.sequence)
		r = load_older(c);
	if (r > 0)
		r = load_original(c);
	c->info->logs = c->n_logs;
	if (r < 0 || (c->check_data && check_count(c)))
		return -1;
	return c->check_data ? chain_verify(c) : 0;
}

/* Does the source of an entry hold what was to be saved? 1, 0, -1. */
static int is_void(struct chain *c, uint32_t i)
{
	struct log_block *b = &c->logs[0];
	enum verdict verdict = chain_mark(c, b, i)->verdict;
	struct bow_step step;
	uint32_t now;

	if (verdict != V_GOOD)
		return verdict == V_IDLE;
	bow_log_entry(&b->log, i, &step);
	if (sum_of(c, &step, step.source, read_at, &now))
		return -1;
	return now == step.checksum;
}

/*
 * The target writes the backups of a batch and their entries together, and what
 * they are for when both are durable. After a power cut some of the backups may
 * be missing; then no source of the whole batch has changed, nor of any entry
 * from the first of these on. Entries before the batch may look the same, when
 * their own backup was to be saved in it. *count = the entries before the first
 * one that is missing. 1, 0: none is, -1.
 */
static int cut_short(struct chain *c, uint32_t *count)
{
	uint32_t n = c->n_logs ? c->logs[0].log.count : 0, i = n;
	int r = 1;

	*count = n;
	while (r > 0 && i > 1) {
		r = is_void(c, --i);
		if (r > 0 && chain_mark(c, &c->logs[0], i)->verdict == V_IDLE)
			*count = i;
	}
	return r < 0 ? r : *count < n;
}

/* What looks damaged may be a cut, which only the data tells. */
int chain_load(struct chain *c)
{
	struct chain again = *c;
	int r = load_once(c);

	if (r || c->info->kind != BOW_DAMAGED)
		return r;
	again.check_data = true;
	if (c->check_data) {
		r = cut_short(c, &again.limit);
		if (r <= 0)
			return r;
	}
	chain_free(c);
	*c = again;
	return c->limit ? load_once(c) : chain_load(c);
}

void chain_free(struct chain *c)
{
	for (uint32_t i = 0; i < c->n_logs; i++)
		free(c->logs[i].block);
	free(c->logs);
	free(c->marks);
	free(c->original);
	free(c->buf);
	extmap_free(&c->where);
	extmap_free(&c->left);
}

/* ---- what is not proven -------------------------------------------------- */

static int find_left(struct chain *c, const struct log_block *b, uint32_t i)
{
	const struct mark *mark = chain_mark(c, b, i);
	uint64_t id = mark - c->marks;
	struct bow_step step;
	uint64_t len;

	bow_log_entry(&b->log, i, &step);
	len = step.size / BOWLINE_SECTOR;
	if (mark->verdict == V_NONSENSE)
		return 0;
	if (i && (mark->verdict == V_BAD || mark->verdict == V_NONE))
		return extmap_set(&c->left, step.source, len, id << 32) ||
		       extmap_unset(&c->left, step.dest, len);
	return extmap_unset(&c->left, step.source, len) ||
	       extmap_unset(&c->left, step.dest, len);
}

/* The oldest entry of a sector decides, as in chain_load(). */
int chain_find_left(struct chain *c)
{
	int err = 0;

	for (uint32_t l = 0; !err && l < c->n_logs; l++)
		for (uint32_t i = c->logs[l].log.count; !err && i--;)
			err = find_left(c, &c->logs[l], i);
	return err ? -1 : 0;
}
