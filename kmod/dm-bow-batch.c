// SPDX-License-Identifier: GPL-2.0-only
/*
 * The worker of the bow target.
 *
 * A batch takes waiting writes, copies all that they would overwrite into
 * free blocks, writes the log once with an entry for each copy, durable
 * together with the copies, and only then lets the writes go.
 */
#include <linux/blkdev.h>
#include <linux/delay.h>
#include <linux/sched/mm.h>
#include <linux/vmalloc.h>

#include "dm-bow.h"

/* ---- the pool ------------------------------------------------------------ */

/* Gets the memory that setting this range will need. */
static void prepare(struct bow *bow, u64 start, u64 len, enum bow_type type)
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

static void set_range(struct bow *bow, u64 start, u64 len, enum bow_type type)
{
	prepare(bow, start, len, type);
	spin_lock(&bow->lock);
	bow_ranges_set(&bow->ranges, start, len, type);
	spin_unlock(&bow->lock);
}

int bow_claim(struct bow *bow, u64 max, u64 *start, u64 *len)
{
	u64 run;

	for (;;) {
		spin_lock(&bow->lock);
		if (!bow_ranges_find_free(&bow->ranges, max, start, len)) {
			spin_unlock(&bow->lock);
			return -ENOSPC;
		}
		spin_unlock(&bow->lock);
		prepare(bow, *start, *len, BOW_BACKUP);
		spin_lock(&bow->lock);
		/* A write may have taken some of it meanwhile. */
		run = *len;
		if (bow_ranges_find(&bow->ranges, *start, &run) == BOW_FREE)
			break;
		spin_unlock(&bow->lock);
	}
	*len = run;
	bow_ranges_set(&bow->ranges, *start, run, BOW_BACKUP);
	spin_unlock(&bow->lock);
	return 0;
}

void bow_release(struct bow *bow, u64 start, u64 len)
{
	set_range(bow, start, len, BOW_FREE);
}

/* ---- waiting ------------------------------------------------------------- */

/* Waits for every write that was let go before the call. */
static void drain_writes(struct bow *bow)
{
	unsigned int old;

	spin_lock(&bow->lock);
	old = bow->generation;
	bow->generation = !old;
	spin_unlock(&bow->lock);
	wait_event(bow->idle, !atomic_read(&bow->writes[old]));
}

static void drain_zeros(struct bow *bow)
{
	wait_event(bow->idle, !atomic_read(&bow->zeros));
}

/* ---- planning ------------------------------------------------------------ */

static u64 job_blocks(const struct bow *bow, const struct bow_job *job)
{
	return (job->step.size >> SECTOR_SHIFT) >> bow->shift;
}

/* May a free block be spent before it has to be? */
static bool is_roomy(struct bow *bow)
{
	bool roomy;

	spin_lock(&bow->lock);
	roomy = bow->ranges.count[BOW_FREE] > 2 * BOW_JOBS;
	spin_unlock(&bow->lock);
	return roomy;
}

/* A few entries are not worth a batch of their own. */
static bool is_full(struct bow *bow, u32 room, u32 n)
{
	return room < (is_roomy(bow) ? min(n, bow_head_entries(bow) - 1) : 1);
}

/* n: writes that wait for it. */
static void begin_batch(struct bow *bow, u32 n)
{
	struct bow_batch *batch = bow->batch;
	u64 start, len;

	batch->n = 0;
	batch->used = 0;
	batch->roll = false;
	batch->roll_alone = false;
	batch->ahead = 0;
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

static void release_batch(struct bow *bow)
{
	struct bow_batch *batch = bow->batch;

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
	job->move = job->step.source == bow->sector0;
	job->data = bow->buf + batch->used;
}

static int add_job(struct bow *bow, u64 pos, u64 *len)
{
	struct bow_batch *batch = bow->batch;
	u64 fits = (bow->buf_size - batch->used) / bow->block_size;
	u64 dest;

	if (!batch->room)
		return -ENOSPC;
	if (batch->n == min_t(unsigned int, batch->room, BOW_JOBS) || !fits)
		return -EAGAIN;
	if (bow_claim(bow, min(*len, fits), &dest, len))
		return -ENOSPC;
	prepare(bow, pos, *len, BOW_CHANGED);
	if (!goes_on(bow, pos, dest))
		new_job(bow, pos, dest);
	batch->jobs[batch->n - 1].step.size += *len * bow->block_size;
	batch->used += *len * bow->block_size;
	return 0;
}

/*
 * Plans the backups that a write needs. 0, -EAGAIN when some of them must wait
 * for the next batch, -ENOSPC when there is no room for them.
 */
static int plan(struct bow *bow, struct bio *bio)
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

static int read_jobs(struct bow *bow)
{
	struct blk_plug plug;
	unsigned int i;

	blk_start_plug(&plug);
	for (i = 0; i < bow->batch->n; i++) {
		struct bow_job *job = &bow->batch->jobs[i];

		bow_start(bow, REQ_OP_READ, 0, job->step.source, job->step.size,
			  job->data, true);
	}
	blk_finish_plug(&plug);
	return bow_finish(bow);
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
		job->step.checksum = bow_checksum(job->step.source, size,
						  job->data, job->step.size);
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
		bow_start(bow, REQ_OP_WRITE, flags, batch->jobs[i].step.dest,
			  size, batch->jobs[i].data, true);
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
static int write_in_order(struct bow *bow)
{
	struct bow_batch *batch = bow->batch;
	blk_opf_t flags = backup_flags(bow);
	int err;

	start_jobs(bow, flags);
	if (batch->roll && !bow->ahead)
		bow_start(bow, REQ_OP_WRITE, flags, batch->roll_dest,
			  bow->block_size, bow->log, false);
	err = bow_finish(bow);
	if (!err && !flags)
		err = bow_flush(bow);
	if (err) {
		release_batch(bow);
		return err;
	}
	err = batch->roll ? bow_begin_log(bow) : bow_append_log(bow);
	settle(bow, err);
	return err;
}

/* The log may have the entries of copies that are not there: take them out. */
static void disown(struct bow *bow)
{
	release_batch(bow);
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

	if (is_roomy(bow) && is_full(bow, room, bow->crowd) &&
	    !bow_claim(bow, 1, &start, &len))
		bow->batch->ahead = start << bow->shift;
}

/*
 * All at once. What a cut leaves of it may be entries without their copies, but
 * then what they cover is where it was, and has the entry's checksum: nothing
 * has to be undone.
 */
static int write_together(struct bow *bow)
{
	blk_opf_t flags = backup_flags(bow);
	int err;

	plan_ahead(bow);
	start_jobs(bow, flags);
	bow_start(bow, REQ_OP_WRITE, flags, 0, bow->block_size, bow->image,
		  false);
	if (bow->batch->ahead)
		bow_start(bow, REQ_OP_WRITE, flags, bow->batch->ahead,
			  bow->block_size, bow->image, false);
	err = bow_finish(bow);
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

static int copy_and_log(struct bow *bow, bool in_order)
{
	int err = read_jobs(bow);

	if (err) {
		release_batch(bow);
		return err;
	}
	build_log(bow);
	return in_order ? write_in_order(bow) : write_together(bow);
}

static void count_error(struct bow *bow, const char *what, int err)
{
	spin_lock(&bow->lock);
	bow->errors++;
	spin_unlock(&bow->lock);
	DMERR_LIMIT("cannot %s: error %d", what, err);
}

static int run_batch(struct bow *bow)
{
	bool moves = moves_block0(bow);
	int err;

	if (!bow->batch->n && !bow->batch->roll_alone) {
		release_batch(bow);
		return 0;
	}
	if (moves) {
		hold_block0(bow, true);
		drain_zeros(bow);
	}
	err = copy_and_log(bow, moves || bow->batch->roll);
	if (moves)
		hold_block0(bow, false);
	if (err)
		count_error(bow, "back up what a write overwrites", err);
	return err;
}

/* After a failed log write: makes the log on disk known again. */
static int clean_log(struct bow *bow)
{
	int err;

	if (!bow->log_dirty)
		return 0;
	err = bow_rewrite_log(bow);
	if (err) {
		count_error(bow, "write block 0", err);
		return err;
	}
	spin_lock(&bow->lock);
	bow->log_dirty = false;
	bow->commit_failed = false;
	spin_unlock(&bow->lock);
	return 0;
}

/* ---- changes of state ---------------------------------------------------- */

/* Past the commit nobody asks what a block is. */
static void forget_ranges(struct bow *bow)
{
	struct bow_ranges old;

	spin_lock(&bow->lock);
	old = bow->ranges;
	memset(&bow->ranges, 0, sizeof(bow->ranges));
	spin_unlock(&bow->lock);
	bow_ranges_free(&old);
	bow->ahead = 0;
	vfree(bow->buf);
	bow->buf = NULL;
}

static int change_state(struct bow *bow, unsigned int want)
{
	int err;

	spin_lock(&bow->lock);
	bow->frozen = true;
	spin_unlock(&bow->lock);
	drain_writes(bow);
	drain_zeros(bow);
	if (want == BOW_CHECKPOINT)
		err = bow_enter_checkpoint(bow);
	else
		err = bow_commit(bow);
	spin_lock(&bow->lock);
	bow->frozen = false;
	spin_unlock(&bow->lock);
	if (err)
		count_error(bow, "change the state", err);
	else if (want == BOW_COMMITTED)
		forget_ranges(bow);
	return err;
}

/* ---- letting go ---------------------------------------------------------- */

/* Gets the memory for the free blocks that the write takes. */
static void prepare_bio(struct bow *bow, struct bio *bio)
{
	enum bow_type type = bow_taken_type(bow);
	u64 pos = bow_first_block(bow, bio);
	u64 end = bow_end_block(bow, bio);
	enum bow_type found;
	u64 len;

	for (; pos < end; pos += len) {
		len = end - pos;
		spin_lock(&bow->lock);
		found = bow_ranges_find(&bow->ranges, pos, &len);
		spin_unlock(&bow->lock);
		if (found == BOW_FREE)
			prepare(bow, pos, len, type);
	}
}

static bool let_go(struct bow *bow, struct bio *bio)
{
	bool go;

	if (bow->state != BOW_COMMITTED && op_is_write(bio_op(bio)))
		prepare_bio(bow, bio);
	spin_lock(&bow->lock);
	go = bow_admit(bow, bio);
	spin_unlock(&bow->lock);
	if (go)
		submit_bio_noacct(bio);
	return go;
}

static void fail(struct bio *bio, blk_status_t status)
{
	bio->bi_status = status;
	bio_endio(bio);
}

/*
 * What the write takes of the pool it takes first, so that none of it becomes
 * the place of a backup that would have to make way at once.
 */
static int plan_whole(struct bow *bow, struct bio *bio)
{
	prepare_bio(bow, bio);
	spin_lock(&bow->lock);
	bow_take_free(bow, bio);
	spin_unlock(&bow->lock);
	return plan(bow, bio);
}

/*
 * Takes writes that fit into one batch. A write for whose backup there is no
 * room fails right here, unless that is the end of the way back: -ENOSPC.
 */
static int gather(struct bow *bow, struct bio_list *pending,
		  struct bio_list *taken)
{
	struct bio *bio;
	int r;

	begin_batch(bow, bow->careful ? 1 : bio_list_size(pending));
	while ((bio = bio_list_pop(pending))) {
		r = plan_whole(bow, bio);
		if (r == -ENOSPC && READ_ONCE(bow->policy.release)) {
			bio_list_add(taken, bio);
			return r;
		}
		if (r == -ENOSPC) {
			count_error(bow, "find free space for a backup", r);
			fail(bio, BLK_STS_NOSPC);
			continue;
		}
		/*
		 * Only the block that is to hold the full log can stand in
		 * the way of the first backup: the log rolls by itself then,
		 * and the next batch finds a backup there like any other.
		 */
		bow->batch->roll_alone = r == -EAGAIN && !bow->batch->n;
		bio_list_add(taken, bio);
		if (r || bow->careful)
			break;
	}
	return 0;
}

/* No room, and the device goes on without a way back. */
static void give_up(struct bow *bow)
{
	int err = change_state(bow, BOW_COMMITTED);

	spin_lock(&bow->lock);
	if (err)
		bow->policy.release = false;
	else
		bow->released = bow->event = true;
	spin_unlock(&bow->lock);
	if (!err)
		DMWARN("%s: out of space: the way back is given up",
		       dm_device_name(bow->md));
}

/* Backs up what a number of the pending writes overwrite. */
static int back_up(struct bow *bow, struct bio_list *pending,
		   struct bio_list *taken)
{
	if (!gather(bow, pending, taken))
		return run_batch(bow);
	release_batch(bow);
	give_up(bow);
	return 0;
}

/* What has come since; bytes of it no more than would fill a batch. */
static unsigned int waiting(struct bow *bow, u32 *bytes)
{
	unsigned int n = 0;
	struct bio *bio;

	*bytes = 0;
	spin_lock(&bow->lock);
	bio_list_for_each (bio, &bow->deferred) {
		n++;
		if (*bytes < bow->buf_size)
			*bytes += bio->bi_iter.bi_size;
	}
	spin_unlock(&bow->lock);
	return n;
}

/* How many writes wait for the worker at once, before it lets some go. */
static void count_crowd(struct bow *bow, unsigned int here)
{
	u32 bytes;

	bow->seen = max(bow->seen, here + waiting(bow, &bytes));
}

/*
 * What failed together is tried again one by one, so that a bad sector fails
 * only the write that needs it.
 */
static void write_batch(struct bow *bow, struct bio_list *pending)
{
	struct bio_list taken, again;
	struct blk_plug plug;
	struct bio *bio;
	bool alone;
	int err;

	bio_list_init(&taken);
	bio_list_init(&again);
	err = clean_log(bow);
	if (err || bow->state != BOW_CHECKPOINT)
		bio_list_add(&taken, bio_list_pop(pending));
	else
		err = back_up(bow, pending, &taken);
	alone = taken.head == taken.tail;
	count_crowd(bow, bio_list_size(&taken) + bio_list_size(pending));
	blk_start_plug(&plug);
	while ((bio = bio_list_pop(&taken))) {
		if (let_go(bow, bio))
			continue;
		if (err && alone)
			fail(bio, BLK_STS_IOERR);
		else
			bio_list_add(&again, bio);
	}
	blk_finish_plug(&plug);
	bow->careful = err || (bow->careful && !bio_list_empty(pending));
	bio_list_merge_head(pending, &again);
}

/* A discard in the checkpoint gives back what nobody needs any more. */
static void free_changed(struct bow *bow, u64 pos, u64 end)
{
	enum bow_type type;
	u64 len;

	for (; pos < end; pos += len) {
		len = end - pos;
		spin_lock(&bow->lock);
		type = bow_ranges_find(&bow->ranges, pos, &len);
		spin_unlock(&bow->lock);
		if (type == BOW_CHANGED)
			set_range(bow, pos, len, BOW_FREE);
	}
}

static void discard(struct bow *bow, struct bio *bio)
{
	u64 block = bow_block_sectors(bow);
	u64 pos = (bio->bi_iter.bi_sector + block - 1) >> bow->shift;
	u64 end = bio_end_sector(bio) >> bow->shift;

	if (!pos)
		pos = 1; /* block 0 is nobody's to give */
	if (pos < end && bow->state == BOW_TRIM)
		set_range(bow, pos, end - pos, BOW_FREE);
	else if (bow->state == BOW_CHECKPOINT)
		free_changed(bow, pos, end);
	bio_endio(bio);
}

static void hold_writes(struct bow *bow, u64 from, u64 to)
{
	spin_lock(&bow->lock);
	bow->hold_from = from;
	bow->hold_to = to;
	spin_unlock(&bow->lock);
}

/*
 * A block that is given back may hold a backup at once, so no write to it may
 * be under way, or begin meanwhile.
 */
static void run_discards(struct bow *bow, struct bio_list *discards)
{
	u64 from = U64_MAX, to = 0;
	struct bio *bio;

	if (bio_list_empty(discards))
		return;
	bio_list_for_each (bio, discards) {
		from = min(from, bow_first_block(bow, bio));
		to = max(to, bow_end_block(bow, bio));
	}
	hold_writes(bow, from, to);
	if (bow->state == BOW_CHECKPOINT)
		drain_writes(bow);
	while ((bio = bio_list_pop(discards)))
		discard(bow, bio);
	hold_writes(bow, 0, 0);
}

/*
 * Who writes many blocks at once comes back with others when his writes have
 * ended. To wait for them, half as long as the last batches took, makes one
 * batch of what would be two. Nobody waits who writes one by one.
 */
static void wait_for_company(struct bow *bow)
{
	ktime_t until = ktime_add(ktime_get(), bow->took / 2);
	unsigned int n;
	u32 bytes;

	for (;;) {
		n = waiting(bow, &bytes);
		if (!n || n >= bow->crowd || bytes >= bow->buf_size ||
		    READ_ONCE(bow->want) || ktime_after(ktime_get(), until))
			break;
		usleep_range(50, 200);
	}
}

/*
 * A log block without room for as many again makes way for the next while the
 * writes of this batch are under way: nobody waits for it.
 */
static void roll_ahead(struct bow *bow)
{
	if (bow->state != BOW_CHECKPOINT || bow->log_dirty || !is_roomy(bow))
		return;
	begin_batch(bow, bow->crowd);
	bow->batch->roll_alone = bow->batch->roll;
	run_batch(bow);
}

static void back_up_all(struct bow *bow, struct bio_list *pending)
{
	ktime_t start = ktime_get();

	bow->seen = 0;
	while (!bio_list_empty(pending))
		write_batch(bow, pending);
	bow->careful = false;
	bow->took = ktime_sub(ktime_get(), start);
	bow->crowd = max(bow->seen, (bow->seen + bow->crowd) / 2);
	roll_ahead(bow);
}

static void run_bios(struct bow *bow, struct bio_list *bios)
{
	struct bio_list discards, pending;
	struct bio *bio;

	bio_list_init(&discards);
	bio_list_init(&pending);
	while ((bio = bio_list_pop(bios))) {
		if (bio_op(bio) == REQ_OP_DISCARD)
			bio_list_add(&discards, bio);
		else if (!let_go(bow, bio))
			bio_list_add(&pending, bio);
	}
	run_discards(bow, &discards);
	if (!bio_list_empty(&pending))
		back_up_all(bow, &pending);
}

/* ---- the worker ---------------------------------------------------------- */

/* A commit for want of room may have come before the one that is asked for. */
static void obey(struct bow *bow)
{
	unsigned int want = READ_ONCE(bow->want);

	if (!want)
		return;
	bow->result = want == bow->state ? 0 : change_state(bow, want);
	WRITE_ONCE(bow->want, 0);
	complete(&bow->changed);
}

/*
 * At rest the whole log block is as it should be. The next entries would see
 * to that, and who brings them should not have to wait: not at once, then.
 */
void bow_tidy(struct work_struct *work)
{
	struct bow *bow = container_of(to_delayed_work(work), struct bow, tidy);
	unsigned int noio = memalloc_noio_save();

	if (bow->state == BOW_CHECKPOINT && !bow->log_dirty &&
	    bow->rest_stale && !bow_write_rest(bow))
		bow->rest_stale = false;
	memalloc_noio_restore(noio);
}

static void tell_event(struct bow *bow)
{
	bool event;

	spin_lock(&bow->lock);
	bow_watch_room(bow);
	event = bow->event;
	bow->event = false;
	spin_unlock(&bow->lock);
	if (!event)
		return;
	mutex_lock(&bow->table_mutex);
	if (bow->table)
		dm_table_event(bow->table);
	mutex_unlock(&bow->table_mutex);
}

void bow_work(struct work_struct *work)
{
	struct bow *bow = container_of(work, struct bow, work);
	unsigned int noio = memalloc_noio_save();
	struct bio_list bios;

	obey(bow);
	for (;;) {
		wait_for_company(bow);
		bio_list_init(&bios);
		spin_lock(&bow->lock);
		bio_list_merge(&bios, &bow->deferred);
		bio_list_init(&bow->deferred);
		spin_unlock(&bow->lock);
		if (bio_list_empty(&bios))
			break;
		run_bios(bow, &bios);
		obey(bow);
	}
	if (bow->rest_stale)
		mod_delayed_work(bow->wq, &bow->tidy, HZ / 2);
	tell_event(bow);
	memalloc_noio_restore(noio);
}
