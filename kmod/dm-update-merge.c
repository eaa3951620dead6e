// SPDX-License-Identifier: GPL-2.0-only
#include <linux/mm.h>
#include <linux/vmalloc.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "dm-update-cursor.h"
#include "dm-update-io.h"
#include "dm-update-merge.h"
#include "dm-update-old.h"
#include "dm-update-stock.h"
#include "dm-update-store.h"

#define DM_MSG_PREFIX "update"

#define WRITE_BYTES (1u << 20) /* most that one write carries */
#define JOBS	    3	       /* writes that are made or under way at once */
#define MAX_RETRIES 3	       /* of an I/O error, 1, 2 and 4 seconds apart */
#define NO_EPOCH    U32_MAX

/*
 * Reads within so many jiffies make a write wait, but not for longer than
 * YIELD_JIFFIES. Then so much is written without another wait: a megabyte, or
 * sixteen small writes. Else a device that is read all the time would never
 * be through.
 */
#define READ_JIFFIES  msecs_to_jiffies(20)
#define YIELD_JIFFIES msecs_to_jiffies(200)
#define YIELD_CREDIT  WRITE_BYTES
#define WRITE_COST    (WRITE_BYTES / 16)

/* Old bytes of one epoch whose rooms follow each other. */
struct save_row {
	u32 first;  /* save */
	u64 from;   /* byte of it */
	u64 room;   /* byte of the store's device */
	u32 bytes;  /* whole blocks */
	u32 next;   /* save behind the row, or one that the row had no room */
	u64 behind; /* for, and the byte of it to go on with */
};

/* May a row that has been read be written? */
enum leave { LEAVE_WAIT, LEAVE_GIVEN, LEAVE_DENIED };

/* One write: a row of blocks of the new image, or of old ones to be saved. */
struct job {
	struct list_head list; /* while idle, or in ahead */
	struct work_struct work;
	struct update_merge *merge;
	u64 begin; /* byte of the new image */
	u32 bytes;
	u32 blocks; /* 0: it saves */
	enum leave leave;
	struct save_row saves;
	void *buf;
	struct update_stock *stock; /* or NULL */
};

/* How far the rows of an epoch have been given out. */
struct place {
	u32 epoch; /* NO_EPOCH: of none */
	u32 piece;
	u32 used; /* blocks of it */
	u32 end;  /* piece */
};

struct update_merge {
	struct dm_target *ti;
	struct dm_dev *system;
	struct update_reader *reader;
	struct update_source *source;
	struct workqueue_struct *wq;   /* the conductor, who waits for jobs */
	struct workqueue_struct *jobs; /* so these have threads of their own */
	struct delayed_work work;      /* the conductor */
	u32 buf_bytes;

	u32 epoch; /* that is being written; the conductor's */
	struct place place;
	struct list_head ahead; /* jobs of the next epoch, read already */
	unsigned int n_ahead;
	u64 base;	/* blocks of the epochs before it */
	u64 next_write; /* in ns: when the rate allows it */
	s64 credit;	/* bytes to write before the next wait for reads */
	bool saved;	/* something, in this step */
	unsigned int retries;

	spinlock_t lock;	/* of what follows */
	wait_queue_head_t wait; /* something of it changed */
	struct list_head idle;	/* jobs */
	unsigned int n_idle;
	u64 written; /* blocks of this epoch */
	u64 bytes;
	unsigned long errors;
	int error; /* the first of the jobs of this epoch */
	const char *reason;

	unsigned long last_read; /* jiffies */
	u64 rate;
	bool yield;
	bool paused;
	bool stop;
	bool failed;
	bool durable; /* all is written and flushed */
	struct job job[JOBS];
};

/* ---- one write ---------------------------------------------------------- */

/*
 * In parts. Each has a view of its own, for the next epoch waits until nobody
 * has one of the epoch before.
 */
static int read_row(struct job *job)
{
	u32 done, n, most = job->merge->source->chunk_bytes;
	struct update_cursor cursor;
	int r = 0;

	if (job->stock)
		update_stock_begin(job->stock, job->begin + job->bytes);
	for (done = 0; !r && done < job->bytes; done += n) {
		n = min(job->bytes - done, most);
		update_cursor_init(&cursor, job->merge->reader,
				   job->begin + done, n);
		cursor.whole = true;
		cursor.room = true;
		cursor.stock = job->stock;
		r = update_cursor_read(&cursor, job->buf + done, n);
		update_cursor_exit(&cursor);
	}
	return r;
}

/* A row of the next epoch waits here until the one before is durable. */
static int write_row(struct job *job)
{
	struct update_merge *merge = job->merge;
	struct update_source *source = merge->source;
	int r = read_row(job);

	wait_event(merge->wait, READ_ONCE(job->leave) != LEAVE_WAIT);
	if (READ_ONCE(job->leave) == LEAVE_DENIED)
		return -EINTR;
	if (r)
		return r;
	return update_write(source->io, source->system, job->begin, job->bytes,
			    job->buf, 0);
}

/* Bytes of old blocks; of the last one only what is inside the old image. */
static int read_saved(struct update_source *source, u64 from, u32 n, void *to)
{
	u64 left = source->v1.g.old_size - min(source->v1.g.old_size, from);
	u32 real = min_t(u64, n, left);
	/* It has not been overwritten yet: it is in its place. */
	int r = update_old_read(source, UPDATE_NOT_BEGUN, from, real, to);

	memset(to + real, 0, n - real);
	return r;
}

static int write_save(struct job *job)
{
	struct update_source *source = job->merge->source;
	const struct save_row *row = &job->saves;
	u32 i = row->first, done, n;
	struct update1_save save;
	u64 from = row->from;
	int r = 0;

	update1_save(&source->v1, i, &save);
	for (done = 0; !r && done < row->bytes; done += n, from = 0) {
		n = min_t(u64, row->bytes - done,
			  ((u64)save.blocks << source->block_bits) - from);
		r = read_saved(source, (save.old << source->block_bits) + from,
			       n, job->buf + done);
		i = update1_save_next(&source->v1, save.epoch, i + 1);
		if (i < source->v1.g.n_saves)
			update1_save(&source->v1, i, &save);
	}
	if (r)
		return r;
	return update_write(source->io, source->store.bdev, row->room,
			    row->bytes, job->buf, 0);
}

static void run_job(struct work_struct *work)
{
	struct job *job = container_of(work, struct job, work);
	struct update_merge *merge = job->merge;
	int r = job->blocks ? write_row(job) : write_save(job);

	spin_lock(&merge->lock);
	if (!r) {
		merge->written += job->blocks;
		merge->bytes += job->bytes;
	} else if (!merge->error) {
		merge->error = r;
	}
	list_add(&job->list, &merge->idle);
	merge->n_idle++;
	wake_up_all(&merge->wait);
	spin_unlock(&merge->lock);
}

static struct job *take_job(struct update_merge *merge)
{
	struct job *job;

	wait_event(merge->wait, READ_ONCE(merge->n_idle));
	spin_lock(&merge->lock);
	job = list_first_entry(&merge->idle, struct job, list);
	list_del(&job->list);
	merge->n_idle--;
	spin_unlock(&merge->lock);
	return job;
}

/* ---- when to write ------------------------------------------------------ */

static bool stopped(struct update_merge *merge)
{
	return READ_ONCE(merge->stop) || READ_ONCE(merge->error);
}

static void rest(struct update_merge *merge, long jiffies_left)
{
	wait_event_timeout(merge->wait, stopped(merge), jiffies_left);
}

static bool reads_are_recent(const struct update_merge *merge)
{
	return time_before(jiffies, READ_ONCE(merge->last_read) + READ_JIFFIES);
}

static void yield_to_reads(struct update_merge *merge, u32 bytes)
{
	unsigned long end = jiffies + YIELD_JIFFIES;

	if (merge->credit <= 0) {
		while (READ_ONCE(merge->yield) && !stopped(merge) &&
		       time_before(jiffies, end) && reads_are_recent(merge))
			rest(merge, 1 + READ_JIFFIES / 4);
		merge->credit = YIELD_CREDIT;
	}
	merge->credit -= max_t(s64, bytes, WRITE_COST);
}

/* Sleeps until @bytes more may be written. */
static void keep_rate(struct update_merge *merge, u32 bytes)
{
	u64 rate, now;

	for (;;) {
		rate = READ_ONCE(merge->rate);
		now = ktime_get_ns();
		if (!rate || stopped(merge) || now >= merge->next_write)
			break;
		/* In steps, so that another rate counts at once. */
		rest(merge,
		     min_t(u64, HZ / 5,
			   1 + nsecs_to_jiffies(merge->next_write - now)));
	}
	if (rate)
		merge->next_write =
			now + div64_u64((u64)bytes * NSEC_PER_SEC, rate);
}

static int may_write(struct update_merge *merge, u32 bytes)
{
	wait_event(merge->wait, !READ_ONCE(merge->paused) || stopped(merge));
	keep_rate(merge, bytes);
	yield_to_reads(merge, bytes);
	return READ_ONCE(merge->stop) ? -EINTR : READ_ONCE(merge->error);
}

/* ---- one epoch ---------------------------------------------------------- */

/* The next row of blocks of the epoch, as long as a write may be. */
static bool next_row(const struct update_source *source, struct place *place,
		     u64 *block, u32 *n)
{
	u32 most = WRITE_BYTES >> source->block_bits, part;
	struct update_piece piece;

	most = max(most, 1u);
	for (*n = 0; place->piece < place->end && *n < most; place->piece++) {
		update_source_piece(source, place->piece, &piece);
		if (piece.epoch != place->epoch) {
			if (*n)
				break;
			continue;
		}
		if (!*n)
			*block = piece.block + place->used;
		if (piece.block + place->used != *block + *n)
			break;
		part = min(piece.n - place->used, most - *n);
		*n += part;
		place->used += part;
		if (place->used < piece.n)
			break;
		place->used = 0;
	}
	return *n;
}

static struct job *start_row(struct update_merge *merge, u64 block, u32 n,
			     enum leave leave)
{
	const struct update_source *source = merge->source;
	struct job *job = take_job(merge);

	job->leave = leave;
	job->begin = block << source->block_bits;
	job->blocks = n;
	/* The image may end inside a block. */
	job->bytes = min_t(u64, (u64)n << source->block_bits,
			   source->image_bytes - job->begin);
	queue_work(merge->jobs, &job->work);
	return job;
}

/* Goes on in the rows of @epoch, or begins with them. */
static struct place *go_to(struct update_merge *merge, u32 epoch)
{
	struct place *place = &merge->place;

	if (place->epoch != epoch) {
		*place = (struct place){ .epoch = epoch };
		update_source_epoch(merge->source, epoch, &place->piece,
				    &place->end);
	}
	return place;
}

/* What was read before its time comes first. */
static int write_ahead(struct update_merge *merge)
{
	struct job *job, *next;
	int r;

	list_for_each_entry_safe (job, next, &merge->ahead, list) {
		r = may_write(merge, job->bytes);
		if (r)
			return r;
		list_del(&job->list);
		merge->n_ahead--;
		WRITE_ONCE(job->leave, LEAVE_GIVEN);
		wake_up_all(&merge->wait);
	}
	return 0;
}

static int write_rows(struct update_merge *merge)
{
	struct place *place = go_to(merge, merge->epoch);
	int r = write_ahead(merge);
	u64 block;
	u32 n;

	while (!r && next_row(merge->source, place, &block, &n)) {
		r = may_write(merge, n << merge->source->block_bits);
		if (!r)
			start_row(merge, block, n, LEAVE_GIVEN);
	}
	return r;
}

/*
 * While the last writes of an epoch are under way, and while they become
 * durable, rows of the next one are read. They are what they will be: what the
 * epoch overwrites of their old bytes is saved.
 */
static bool read_ahead(struct update_merge *merge, u32 epoch)
{
	struct job *job;
	u64 block;
	u32 n;

	if (epoch == merge->source->n_epochs || stopped(merge) ||
	    READ_ONCE(merge->paused) ||
	    (READ_ONCE(merge->yield) && reads_are_recent(merge)) ||
	    !next_row(merge->source, go_to(merge, epoch), &block, &n))
		return false;
	job = start_row(merge, block, n, LEAVE_WAIT);
	list_add_tail(&job->list, &merge->ahead);
	merge->n_ahead++;
	return true;
}

static void drop_ahead(struct update_merge *merge)
{
	struct job *job, *next;

	merge->place.epoch = NO_EPOCH;
	list_for_each_entry_safe (job, next, &merge->ahead, list) {
		list_del(&job->list);
		merge->n_ahead--;
		WRITE_ONCE(job->leave, LEAVE_DENIED);
	}
	wake_up_all(&merge->wait);
	wait_event(merge->wait, READ_ONCE(merge->n_idle) == JOBS);
}

static bool all_written(const struct update_merge *merge)
{
	return READ_ONCE(merge->n_idle) + merge->n_ahead == JOBS;
}

/* Waits for the writes that may go, and reads meanwhile for epoch @next. */
static int wait_for_jobs(struct update_merge *merge, u32 next)
{
	bool ahead = true;

	for (;;) {
		wait_event(merge->wait,
			   all_written(merge) ||
				   (ahead && READ_ONCE(merge->n_idle)));
		if (!ahead || !READ_ONCE(merge->n_idle))
			break;
		ahead = read_ahead(merge, next);
	}
	/* The last one is through with the lock when we have it. */
	spin_lock(&merge->lock);
	spin_unlock(&merge->lock);
	return merge->error;
}

/* The next row of saves of @epoch, as long as a write may be. */
static bool next_save_row(const struct update_source *source, u32 epoch,
			  struct save_row *row)
{
	const struct update1_dir *dir = &source->v1;
	struct update1_save save;
	u64 size, room;
	u32 n;

	row->first = row->next;
	row->from = row->behind;
	row->bytes = 0;
	while (row->next < dir->g.n_saves && row->bytes < WRITE_BYTES) {
		update1_save(dir, row->next, &save);
		size = (u64)save.blocks << source->block_bits;
		room = source->store.at + row->behind +
		       update1_room_at(&dir->g, save.room);
		if (!row->bytes)
			row->room = room;
		else if (room != row->room + row->bytes)
			break;
		n = min_t(u64, size - row->behind, WRITE_BYTES - row->bytes);
		row->bytes += n;
		row->behind += n;
		if (row->behind < size)
			break;
		row->next = update1_save_next(dir, epoch, row->next + 1);
		row->behind = 0;
	}
	return row->bytes;
}

static void start_saves(struct update_merge *merge, const struct save_row *row)
{
	struct job *job = take_job(merge);

	job->saves = *row;
	job->blocks = 0;
	job->bytes = row->bytes;
	queue_work(merge->jobs, &job->work);
}

/* What @epoch overwrites and somebody still needs. */
static int write_saves(struct update_merge *merge, u32 epoch)
{
	const struct update1_dir *dir = &merge->source->v1;
	struct save_row row = {};
	int r = 0;

	if (!merge->source->version || epoch == merge->source->n_epochs)
		return 0;
	row.next = update1_save_next(dir, epoch, 0);
	while (!r && next_save_row(merge->source, epoch, &row)) {
		merge->saved = true;
		r = may_write(merge, row.bytes);
		if (!r)
			start_saves(merge, &row);
	}
	return r;
}

static u64 blocks_before(const struct update_source *source, u32 epoch)
{
	struct update_piece piece;
	u64 blocks = 0;
	u32 i;

	for (i = 0; i < source->n_pieces; i++) {
		update_source_piece(source, i, &piece);
		if (piece.epoch < epoch)
			blocks += piece.n;
	}
	return blocks;
}

/* Nothing is under way: everybody goes on from @epoch. */
static void set_epoch(struct update_merge *merge, u32 epoch)
{
	u64 base = blocks_before(merge->source, epoch);

	spin_lock(&merge->lock);
	merge->epoch = epoch;
	merge->base = base;
	merge->written = 0;
	spin_unlock(&merge->lock);
}

static void begin_writes(struct update_merge *merge)
{
	spin_lock(&merge->lock);
	merge->written = 0;
	merge->error = 0;
	spin_unlock(&merge->lock);
	merge->saved = false;
}

/*
 * Without records the last epoch is flushed, for all of them. If that fails it
 * is not known what was written; of version 0 nothing depends on it.
 */
static int flush_system(struct update_merge *merge)
{
	struct update_source *source = merge->source;
	int r = blkdev_issue_flush(source->system);

	if (r && !source->store.bdev) {
		update_source_set_done(source, 0);
		set_epoch(merge, 0);
	}
	return r;
}

/*
 * The order of writes: what belongs to the step, in any order; flush the
 * system device; the record, forced, which also flushes what was saved. Only
 * then may the next step write, and only when nobody reads by the view before.
 */
static int end_writes(struct update_merge *merge, int r, bool flush, u32 done)
{
	struct update_source *source = merge->source;
	bool saved = merge->saved;

	r = wait_for_jobs(merge, r ? source->n_epochs : done) ?: r;
	if (!r && flush) {
		r = flush_system(merge);
		/* Partitions of one disk have one cache. */
		if (source->store.bdev &&
		    source->store.bdev->bd_disk == source->system->bd_disk)
			saved = false;
	}
	if (!r && source->store.bdev)
		r = update_store_write(source, done, saved);
	if (!r)
		update_view_set(&source->view, UPDATE_DONE(done));
	else
		drop_ahead(merge);
	return r;
}

/* The first step: nothing is overwritten, but what will be is saved. */
static int begin_merge(struct update_merge *merge)
{
	int r;

	begin_writes(merge);
	r = may_write(merge, 0);
	if (!r)
		r = write_saves(merge, 0);
	return end_writes(merge, r, false, 0);
}

static int merge_epoch(struct update_merge *merge)
{
	struct update_source *source = merge->source;
	u32 next = merge->epoch + 1;
	int r;

	begin_writes(merge);
	r = write_rows(merge);
	if (!r)
		r = write_saves(merge, next);
	/* Without records the end alone has to be durable. */
	r = end_writes(merge, r, source->store.bdev || next == source->n_epochs,
		       next);
	if (r)
		return r;
	update_source_merged(source, merge->epoch);
	spin_lock(&merge->lock);
	merge->base += merge->written;
	merge->written = 0;
	merge->epoch = next;
	spin_unlock(&merge->lock);
	merge->retries = 0;
	return 0;
}

/* ---- the whole copy ----------------------------------------------------- */

static int copy_all(struct update_merge *merge)
{
	struct update_source *source = merge->source;
	int r = 0;

	if (source->view.at == UPDATE_NOT_BEGUN)
		r = begin_merge(merge);
	while (!r && merge->epoch < source->n_epochs) {
		r = merge_epoch(merge);
		cond_resched();
	}
	return r;
}

/* An I/O error may pass, so it is tried again. A damaged chunk stays damaged.
 */
static void copy_failed(struct update_merge *merge, int r)
{
	struct update_merge_state state;

	merge->errors++;
	if (r != -EBADMSG && merge->retries < MAX_RETRIES) {
		queue_delayed_work(merge->wq, &merge->work,
				   HZ << merge->retries++);
		return;
	}
	update_merge_state(merge, &state);
	WRITE_ONCE(merge->reason, r == -EBADMSG ? "damaged_chunk" : "io_error");
	WRITE_ONCE(merge->failed, true);
	DMERR("merge into %s stopped after %llu of %llu blocks: %s (%d)",
	      merge->system->name, state.done, merge->source->n_changed,
	      r == -EBADMSG ? "damaged chunk" : "I/O error", r);
	dm_table_event(merge->ti->table);
}

static void conduct(struct work_struct *work)
{
	struct update_merge *merge =
		container_of(to_delayed_work(work), struct update_merge, work);
	int r;

	r = copy_all(merge);
	if (READ_ONCE(merge->stop) && r)
		return;
	if (r) {
		copy_failed(merge, r);
		return;
	}
	/* Whoever reads the system device itself must not see old pages. */
	invalidate_bdev(merge->system->bdev);
	WRITE_ONCE(merge->durable, true);
	DMINFO("merge into %s finished: %llu blocks", merge->system->name,
	       merge->source->n_changed);
	dm_table_event(merge->ti->table);
}

void update_merge_start(struct update_merge *merge)
{
	struct update_source *source = merge->source;

	if (merge->durable)
		return;
	if (source->store.bdev)
		set_epoch(merge, source->store.progress.done);
	merge->retries = 0;
	merge->reason = "-";
	WRITE_ONCE(merge->failed, false);
	WRITE_ONCE(merge->stop, false);
	queue_delayed_work(merge->wq, &merge->work, 0);
}

void update_merge_stop(struct update_merge *merge)
{
	WRITE_ONCE(merge->stop, true);
	wake_up_all(&merge->wait);
	cancel_delayed_work_sync(&merge->work);
}

/* ---- what others ask and tell ------------------------------------------- */

void update_merge_pause(struct update_merge *merge, bool paused)
{
	WRITE_ONCE(merge->paused, paused);
	wake_up_all(&merge->wait);
}

bool update_merge_is_paused(const struct update_merge *merge)
{
	return READ_ONCE(merge->paused);
}

void update_merge_rate(struct update_merge *merge, u64 rate)
{
	WRITE_ONCE(merge->rate, rate);
}

void update_merge_yield(struct update_merge *merge, bool yield)
{
	WRITE_ONCE(merge->yield, yield);
}

void update_merge_note_read(struct update_merge *merge)
{
	unsigned long now = jiffies;

	if (READ_ONCE(merge->last_read) != now)
		WRITE_ONCE(merge->last_read, now);
}

static const char *phase(const struct update_merge *merge)
{
	if (READ_ONCE(merge->durable))
		return "done";
	if (READ_ONCE(merge->failed))
		return "failed";
	if (READ_ONCE(merge->stop))
		return "stopped";
	return READ_ONCE(merge->paused) ? "paused" : "running";
}

void update_merge_state(struct update_merge *merge,
			struct update_merge_state *state)
{
	spin_lock(&merge->lock);
	state->done = merge->base + merge->written;
	state->bytes = merge->bytes;
	state->errors = merge->errors;
	spin_unlock(&merge->lock);
	state->phase = phase(merge);
	state->reason = READ_ONCE(merge->reason);
	if (state->done && state->done == merge->source->n_changed &&
	    !READ_ONCE(merge->durable))
		state->done--;
}

size_t update_merge_memory(const struct update_merge *merge)
{
	size_t size = merge->buf_bytes;

	if (merge->job[0].stock)
		size += update_stock_memory(merge->source);
	return sizeof(*merge) + JOBS * size;
}

/* ---- making and ending -------------------------------------------------- */

static int make_jobs(struct update_merge *merge)
{
	unsigned int i;

	for (i = 0; i < JOBS; i++) {
		struct job *job = &merge->job[i];

		/* In one piece if it can be had: fewer segments a write. */
		job->buf = kvmalloc(merge->buf_bytes, GFP_KERNEL);
		if (!job->buf)
			return -ENOMEM;
		job->stock = update_stock_create(merge->source);
		job->merge = merge;
		INIT_WORK(&job->work, run_job);
		list_add(&job->list, &merge->idle);
		merge->n_idle++;
	}
	return 0;
}

static int make_queues(struct update_merge *merge)
{
	merge->wq = alloc_ordered_workqueue("dm-update-merge", WQ_MEM_RECLAIM);
	merge->jobs = alloc_workqueue("dm-update-write",
				      WQ_MEM_RECLAIM | WQ_UNBOUND, JOBS);
	return merge->wq && merge->jobs ? 0 : -ENOMEM;
}

static void free_merge(struct update_merge *merge)
{
	unsigned int i;

	if (merge->wq)
		destroy_workqueue(merge->wq);
	if (merge->jobs)
		destroy_workqueue(merge->jobs);
	for (i = 0; i < JOBS; i++) {
		update_stock_destroy(merge->job[i].stock);
		kvfree(merge->job[i].buf);
	}
	kfree(merge);
}

struct update_merge *update_merge_create(struct dm_target *ti,
					 struct dm_dev *system,
					 struct update_reader *reader,
					 bool paused)
{
	struct update_merge *merge = kzalloc(sizeof(*merge), GFP_KERNEL);

	if (!merge)
		return ERR_PTR(-ENOMEM);
	merge->ti = ti;
	merge->system = system;
	merge->reader = reader;
	merge->source = update_reader_source(reader);
	merge->buf_bytes = update_old_room(
		merge->source,
		max(WRITE_BYTES, 1u << merge->source->block_bits));
	merge->reason = "-";
	merge->yield = true;
	merge->paused = paused;
	merge->stop = true;
	merge->last_read = jiffies - HZ;
	spin_lock_init(&merge->lock);
	init_waitqueue_head(&merge->wait);
	INIT_LIST_HEAD(&merge->idle);
	INIT_LIST_HEAD(&merge->ahead);
	merge->place.epoch = NO_EPOCH;
	INIT_DELAYED_WORK(&merge->work, conduct);
	if (!make_jobs(merge) && !make_queues(merge))
		return merge;
	free_merge(merge);
	return ERR_PTR(-ENOMEM);
}

void update_merge_destroy(struct update_merge *merge)
{
	update_merge_stop(merge);
	free_merge(merge);
}
