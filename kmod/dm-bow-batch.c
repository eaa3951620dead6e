// SPDX-License-Identifier: GPL-2.0-only
/*
 * A batch: copies all that a number of writes would overwrite into free
 * blocks, and writes the log once with an entry for each copy, durable together
 * with the copies. Then the writes may go.
 */
#include <linux/blkdev.h>
#include <linux/delay.h>

#include "dm-bow.h"

/* ---- the pool ------------------------------------------------------------ */

void bow_prepare(struct bow *bow, u64 start, u64 len, enum bow_type type)
{
	u64 *memory = NULL;
	u32 leaf;

	for (;;) {
		spin_lock(&bow->lock);
		while (bow_ranges_missing(&bow->ranges, start, len, type,
					  &leaf) &&
		       memory) {
			if (bow_ranges_add_leaf(&bow->ranges, leaf, memory))
				memory = NULL;
		}
		if (!bow_ranges_missing(&bow->ranges, start, len, type, &leaf))
			break;
		spin_unlock(&bow->lock);
		memory = plat_alloc(BOW_LEAF_BYTES);
		if (!memory)
			msleep(20);
	}
	spin_unlock(&bow->lock);
	plat_free(memory);
}

void bow_set_range(struct bow *bow, u64 start, u64 len, enum bow_type type)
{
	bow_prepare(bow, start, len, type);
	spin_lock(&bow->lock);
	bow_ranges_set(&bow->ranges, start, len, type);
	spin_unlock(&bow->lock);
}

int bow_claim(struct bow *bow, u64 max, u64 *start, u64 *len)
{
	bool missing;
	u32 leaf;

	for (;;) {
		spin_lock(&bow->lock);
		if (!bow_ranges_find_free(&bow->ranges, max, start, len)) {
			spin_unlock(&bow->lock);
			return -ENOSPC;
		}
		missing = bow_ranges_missing(&bow->ranges, *start, *len,
					     BOW_BACKUP, &leaf);
		if (!missing)
			bow_ranges_set(&bow->ranges, *start, *len, BOW_BACKUP);
		spin_unlock(&bow->lock);
		if (!missing)
			return 0;
		bow_prepare(bow, *start, *len, BOW_BACKUP);
	}
}

void bow_release(struct bow *bow, u64 start, u64 len)
{
	bow_set_range(bow, start, len, BOW_FREE);
}

/* ---- waiting ------------------------------------------------------------- */

void bow_drain_writes(struct bow *bow)
{
	unsigned int old;

	spin_lock(&bow->lock);
	old = bow->generation;
	bow->generation = !old;
	spin_unlock(&bow->lock);
	wait_event(bow->idle, !atomic_read(&bow->writes[old]));
}

void bow_drain_zeros(struct bow *bow)
{
	wait_event(bow->idle, !atomic_read(&bow->zeros));
}

/* ---- planning ------------------------------------------------------------ */

static u64 job_blocks(const struct bow *bow, const struct bow_job *job)
{
	return (job->step.size >> SECTOR_SHIFT) >> bow->shift;
}

bool bow_is_roomy(struct bow *bow)
{
	bool roomy;

	spin_lock(&bow->lock);
	roomy = bow->ranges.count[BOW_FREE] > 2 * BOW_JOBS;
	spin_unlock(&bow->lock);
	return roomy;
}

/*
 * Room for fewer than n entries is not worth a batch of its own, unless it is
 * much of the block.
 */
static bool is_full(struct bow *bow, u32 room, u32 n)
{
	u32 much = max(bow_head_entries(bow) - 1,
		       bow->block_size / BOW_ENTRY_SIZE / 4);

	return room < (bow_is_roomy(bow) ? min(n, much) : 1);
}

void bow_begin_batch(struct bow *bow, u32 n)
{
	struct bow_batch *batch = bow->batch;
	u64 start, len;

	batch->n = 0;
	batch->used = 0;
	batch->roll = false;
	batch->roll_alone = false;
	batch->ahead = 0;
	batch->part = 0;
	batch->room = bow_log_room(bow->log);
	if (!is_full(bow, batch->room, n))
		return;
	if (!bow->ahead && bow_claim(bow, 1, &start, &len))
		return;
	batch->roll = true;
	batch->roll_dest = bow->ahead ?: start << bow->shift;
	/* A new block goes to disk head first, so all must fit there. */
	batch->room = bow_head_entries(bow) - 1;
}

static void release_jobs(struct bow *bow, unsigned int from)
{
	struct bow_batch *batch = bow->batch;

	while (batch->n > from) {
		struct bow_job *job = &batch->jobs[--batch->n];

		bow_release(bow, job->step.dest >> bow->shift,
			    job_blocks(bow, job));
		batch->used -= job->step.size;
	}
}

static void finish_reads(struct bow *bow)
{
	u32 part;

	for (part = 0; part < BOW_PARTS; part++)
		bow_finish(&bow->batch->reads[part]);
}

void bow_release_batch(struct bow *bow)
{
	struct bow_batch *batch = bow->batch;

	finish_reads(bow);
	release_jobs(bow, 0);
	if (batch->roll && batch->roll_dest != bow->ahead)
		bow_release(bow, batch->roll_dest >> bow->shift, 1);
	if (batch->ahead)
		bow_release(bow, batch->ahead >> bow->shift, 1);
	batch->roll = false;
	batch->ahead = 0;
}

/* Must what lies at pos be saved before it is overwritten? Clips *len. */
static bool is_needed(struct bow *bow, u64 pos, u64 *len)
{
	u64 live = bow->sector0 >> bow->shift;
	enum bow_type type;

	spin_lock(&bow->lock);
	type = bow_ranges_find(&bow->ranges, pos, len);
	spin_unlock(&bow->lock);
	if (pos == live)
		*len = 1;
	else if (pos < live && live - pos < *len)
		*len = live - pos;
	return type == BOW_UNCHANGED || type == BOW_BACKUP;
}

/*
 * Where is pos against [start, start + n)? Inside: true, and *len is clipped
 * to its end. Before: *len is clipped to its start.
 */
static bool inside(u64 pos, u64 *len, u64 start, u64 n)
{
	if (pos < start) {
		*len = min(*len, start - pos);
		return false;
	}
	if (pos - start >= n)
		return false;
	*len = min(*len, start + n - pos);
	return true;
}

/*
 * Is pos the concern of the batch already? 1: being saved; -EAGAIN: it is
 * about to hold a backup, whose backup must wait for the next batch.
 */
static int look_up(struct bow *bow, u64 pos, u64 *len)
{
	struct bow_batch *batch = bow->batch;
	unsigned int i;

	if (batch->roll && inside(pos, len, batch->roll_dest >> bow->shift, 1))
		return -EAGAIN;
	for (i = 0; i < batch->n; i++) {
		struct bow_step *step = &batch->jobs[i].step;
		u64 n = job_blocks(bow, &batch->jobs[i]);

		if (inside(pos, len, step->source >> bow->shift, n))
			return 1;
		if (inside(pos, len, step->dest >> bow->shift, n))
			return -EAGAIN;
	}
	return 0;
}

/* Does a backup of pos at dest go on where the last one ended? */
static bool goes_on(struct bow *bow, u64 pos, u64 dest)
{
	struct bow_batch *batch = bow->batch;
	struct bow_job *last = &batch->jobs[batch->n - 1];
	u64 n;

	if (!batch->n || last->move || pos == bow->sector0 >> bow->shift)
		return false;
	n = job_blocks(bow, last);
	return pos == (last->step.source >> bow->shift) + n &&
	       dest == (last->step.dest >> bow->shift) + n;
}

static void new_job(struct bow *bow, u64 pos, u64 dest)
{
	struct bow_batch *batch = bow->batch;
	struct bow_job *job = &batch->jobs[batch->n++];

	job->bow = bow;
	job->step.source = pos << bow->shift;
	job->step.dest = dest << bow->shift;
	job->step.size = 0;
	job->step.checksum = 0;
	job->read = 0;
	job->move = job->step.source == bow->sector0;
	job->data = bow->buf + batch->used;
}

u32 bow_batch_room(const struct bow *bow)
{
	const struct bow_batch *batch = bow->batch;

	if (batch->n >= min_t(unsigned int, batch->room, BOW_JOBS))
		return 0;
	return bow->buf_size - batch->used;
}

static int add_job(struct bow *bow, u64 pos, u64 *len)
{
	struct bow_batch *batch = bow->batch;
	u64 fits = bow_batch_room(bow) / bow->block_size;
	u64 dest;

	if (!batch->room)
		return -ENOSPC;
	if (!fits)
		return -EAGAIN;
	if (bow_claim(bow, min(*len, fits), &dest, len))
		return -ENOSPC;
	bow_prepare(bow, pos, *len, BOW_CHANGED);
	if (!goes_on(bow, pos, dest))
		new_job(bow, pos, dest);
	batch->jobs[batch->n - 1].step.size += *len * bow->block_size;
	batch->used += *len * bow->block_size;
	return 0;
}

int bow_plan(struct bow *bow, struct bio *bio)
{
	unsigned int before = bow->batch->n;
	u64 pos = bow_first_block(bow, bio);
	u64 end = bow_end_block(bow, bio);
	u64 len;
	int r;

	for (; pos && pos < end; pos += len) {
		len = end - pos;
		if (!is_needed(bow, pos, &len))
			continue;
		r = look_up(bow, pos, &len);
		if (!r)
			r = add_job(bow, pos, &len);
		if (r == -ENOSPC)
			release_jobs(bow, before);
		if (r < 0)
			return r;
	}
	return 0;
}

/* ---- carrying out -------------------------------------------------------- */

static void hold_block0(struct bow *bow, bool hold)
{
	spin_lock(&bow->lock);
	bow->moving = hold;
	spin_unlock(&bow->lock);
}

static bool moves_block0(struct bow *bow)
{
	unsigned int i;

	for (i = 0; i < bow->batch->n; i++)
		if (bow->batch->jobs[i].move)
			return true;
	return false;
}

/* A job may have grown since the last time. */
static void start_read(struct bow *bow, struct bow_job *job)
{
	struct bow_batch *batch = bow->batch;
	u32 from = job->read;

	if (from == job->step.size)
		return;
	job->read = job->step.size;
	job->part = batch->part;
	bow_start(bow, &batch->reads[job->part], REQ_OP_READ, 0,
		  job->step.source + (from >> SECTOR_SHIFT), job->read - from,
		  job->data + from, true);
}

static void start_reads(struct bow *bow, bool all)
{
	struct bow_batch *batch = bow->batch;
	struct blk_plug plug;
	unsigned int i;

	blk_start_plug(&plug);
	for (i = 0; i < batch->n; i++)
		if (all || !batch->jobs[i].move)
			start_read(bow, &batch->jobs[i]);
	blk_finish_plug(&plug);
}

/* The live copy of block 0 changes until it is held. */
void bow_read_ahead(struct bow *bow)
{
	start_reads(bow, false);
	if (bow->batch->part < BOW_PARTS - 1)
		bow->batch->part++;
}

static void sum_part(struct bow *bow, u32 part)
{
	unsigned int i;

	for (i = 0; i < bow->batch->n; i++) {
		struct bow_job *job = &bow->batch->jobs[i];

		if (job->part == part && !job->move)
			job->step.checksum =
				bow_checksum(job->step.source, bow->block_size,
					     job->data, job->step.size);
	}
}

/* What was read first is summed while the rest comes; the last is not yet. */
static int read_jobs(struct bow *bow)
{
	int err = 0;
	u32 part;

	start_reads(bow, true);
	for (part = 0; part < bow->batch->part; part++) {
		if (bow_finish(&bow->batch->reads[part]))
			err = -EIO;
		else
			sum_part(bow, part);
	}
	return bow_finish(&bow->batch->reads[part]) ?: err;
}

/* Makes bow->image, the log block with the batch's entries. */
static void build_log(struct bow *bow)
{
	struct bow_batch *batch = bow->batch;
	u32 size = bow->block_size;
	unsigned int i;

	memcpy(bow->image, bow->log, size);
	bow_log_mark(bow->image);
	if (batch->roll)
		bow_log_roll(bow->image, batch->roll_dest,
			     bow_checksum(0, size, bow->log, size));
	for (i = 0; i < batch->n; i++) {
		struct bow_job *job = &batch->jobs[i];

		if (job->move) {
			bow_log_move(bow->image, job->step.dest);
			continue;
		}
		bow_log_add(bow->image, &job->step);
	}
	bow_log_seal(bow->image);
}

/* The backups lie in memory one after the other, and mostly on the disk. */
static unsigned int end_of_run(struct bow *bow, unsigned int i, u32 *size)
{
	struct bow_job *first = &bow->batch->jobs[i];

	*size = 0;
	do {
		*size += bow->batch->jobs[i++].step.size;
	} while (i < bow->batch->n &&
		 bow->batch->jobs[i].step.dest ==
			 first->step.dest + (*size >> SECTOR_SHIFT));
	return i;
}

/*
 * One write of backups is forced to the medium, which is quicker than a flush
 * behind it; several wait for one flush.
 */
static blk_opf_t backup_flags(struct bow *bow)
{
	u32 size;

	if (!bow->batch->n || end_of_run(bow, 0, &size) == bow->batch->n)
		return REQ_FUA;
	return 0;
}

static void start_jobs(struct bow *bow, blk_opf_t flags)
{
	struct bow_batch *batch = bow->batch;
	unsigned int i = 0, end;
	u32 size;

	for (; i < batch->n; i = end) {
		end = end_of_run(bow, i, &size);
		bow_start(bow, &bow->batch->io, REQ_OP_WRITE, flags,
			  batch->jobs[i].step.dest, size, batch->jobs[i].data,
			  true);
	}
}

/* Another log block than the one that was copied is on disk now. */
static void drop_ahead(struct bow *bow)
{
	u64 pos = bow->ahead >> bow->shift;
	enum bow_type type;
	u64 len = 1;

	if (!bow->ahead)
		return;
	bow->ahead = 0;
	spin_lock(&bow->lock);
	type = bow_ranges_find(&bow->ranges, pos, &len);
	spin_unlock(&bow->lock);
	/* Else it has been overwritten, and what lies there is the user's. */
	if (type == BOW_BACKUP)
		bow_release(bow, pos, 1);
}

/*
 * The log on disk has the batch's entries, or may have them: which are true,
 * for the copies are durable, and nothing they cover was overwritten yet.
 */
static void settle(struct bow *bow, int err)
{
	struct bow_batch *batch = bow->batch;
	unsigned int i;

	memcpy(bow->log, bow->image, bow->block_size);
	spin_lock(&bow->lock);
	bow->log_dirty = err;
	bow->logs += batch->roll;
	for (i = 0; i < batch->n; i++) {
		struct bow_step *step = &batch->jobs[i].step;

		if (batch->jobs[i].move)
			bow->sector0 = step->dest;
		if (!err)
			bow_ranges_set(&bow->ranges, step->source >> bow->shift,
				       job_blocks(bow, &batch->jobs[i]),
				       BOW_CHANGED);
	}
	spin_unlock(&bow->lock);
	if (!batch->roll)
		drop_ahead(bow);
	bow->ahead = batch->ahead;
}

/* The copies first, then the log: where no reader could tell what is lost. */
static int write_in_order(struct bow *bow, blk_opf_t flags)
{
	struct bow_batch *batch = bow->batch;
	int err;

	if (batch->roll && !bow->ahead)
		bow_start(bow, &bow->batch->io, REQ_OP_WRITE, flags,
			  batch->roll_dest, bow->block_size, bow->log, false);
	err = bow_finish(&bow->batch->io);
	if (!err && !flags)
		err = bow_flush(bow);
	if (err) {
		bow_release_batch(bow);
		return err;
	}
	err = batch->roll ? bow_begin_log(bow) : bow_append_log(bow);
	settle(bow, err);
	return err;
}

/* The log may have the entries of copies that are not there: take them out. */
static void disown(struct bow *bow)
{
	bow_release_batch(bow);
	spin_lock(&bow->lock);
	bow->log_dirty = true;
	spin_unlock(&bow->lock);
}

/*
 * A batch that fills the log block writes the block twice, the second time to
 * where the next block will look for it: so the next begins with one write.
 */
static void plan_ahead(struct bow *bow)
{
	u32 room = bow_log_room(bow->image);
	u64 start, len;

	if (bow_is_roomy(bow) && is_full(bow, room, bow->crowd) &&
	    !bow_claim(bow, 1, &start, &len))
		bow->batch->ahead = start << bow->shift;
}

/*
 * All at once. What a cut leaves of it may be entries without their copies, but
 * then what they cover is where it was, and has the entry's checksum: nothing
 * has to be undone.
 */
static int write_together(struct bow *bow, blk_opf_t flags)
{
	int err;

	plan_ahead(bow);
	bow_start(bow, &bow->batch->io, REQ_OP_WRITE, flags, 0, bow->block_size,
		  bow->image, false);
	if (bow->batch->ahead)
		bow_start(bow, &bow->batch->io, REQ_OP_WRITE, flags,
			  bow->batch->ahead, bow->block_size, bow->image,
			  false);
	err = bow_finish(&bow->batch->io);
	if (!err && !flags)
		err = bow_flush(bow);
	if (err) {
		disown(bow);
		return err;
	}
	bow->rest_stale = false;
	settle(bow, 0);
	return 0;
}

/* The copies are on their way while the last of them are summed. */
static int copy_and_log(struct bow *bow, bool in_order)
{
	blk_opf_t flags = backup_flags(bow);
	int err = read_jobs(bow);

	if (!err) {
		start_jobs(bow, flags);
		sum_part(bow, bow->batch->part);
		err = bow_end_roll(bow);
		if (err)
			bow_finish(&bow->batch->io);
	}
	if (err) {
		bow_release_batch(bow);
		return err;
	}
	build_log(bow);
	return in_order ? write_in_order(bow, flags)
			: write_together(bow, flags);
}

void bow_count_error(struct bow *bow, const char *what, int err)
{
	spin_lock(&bow->lock);
	bow->errors++;
	spin_unlock(&bow->lock);
	DMERR_LIMIT("cannot %s: error %d", what, err);
}

int bow_run_batch(struct bow *bow)
{
	bool moves = moves_block0(bow);
	int err;

	if (!bow->batch->n && !bow->batch->roll_alone) {
		bow_release_batch(bow);
		return 0;
	}
	if (moves) {
		hold_block0(bow, true);
		bow_drain_zeros(bow);
	}
	err = copy_and_log(bow, moves || bow->batch->roll);
	if (moves)
		hold_block0(bow, false);
	if (err)
		bow_count_error(bow, "back up what a write overwrites", err);
	return err;
}

int bow_clean_log(struct bow *bow)
{
	int err;

	if (!bow->log_dirty)
		return 0;
	err = bow_rewrite_log(bow);
	if (err) {
		bow_count_error(bow, "write block 0", err);
		return err;
	}
	spin_lock(&bow->lock);
	bow->log_dirty = false;
	bow->commit_failed = false;
	spin_unlock(&bow->lock);
	return 0;
}

/* ---- the next log block, ahead of time ----------------------------------- */

/* The copy of the full one is on disk: one write is left to do. */
static void start_roll(struct bow *bow)
{
	build_log(bow);
	bow_start_log(bow, &bow->roll_io);
	bow->rolling = true;
	settle(bow, 0);
}

void bow_roll_ahead(struct bow *bow)
{
	if (bow->state != BOW_CHECKPOINT || bow_end_roll(bow) ||
	    bow->log_dirty || !bow_is_roomy(bow))
		return;
	bow_begin_batch(bow, bow->crowd);
	bow->batch->roll_alone = bow->batch->roll;
	if (bow->batch->roll && bow->ahead)
		start_roll(bow);
	else
		bow_run_batch(bow);
}

int bow_end_roll(struct bow *bow)
{
	int err;

	if (!bow->rolling)
		return 0;
	bow->rolling = false;
	err = bow_finish(&bow->roll_io);
	if (!err) {
		bow->beginning = false;
		return 0;
	}
	spin_lock(&bow->lock);
	bow->log_dirty = true;
	spin_unlock(&bow->lock);
	bow_count_error(bow, "begin a log block", err);
	return bow_clean_log(bow);
}
