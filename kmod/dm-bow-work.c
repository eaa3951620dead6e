// SPDX-License-Identifier: GPL-2.0-only
/*
 * The worker of the bow target: what it does with the bios that wait for it,
 * and when. Reads and writes that can go by now go; of the others as many as
 * fit make a batch; discards give back; changes of state come in between.
 */
#include <linux/blkdev.h>
#include <linux/sched/mm.h>
#include <linux/vmalloc.h>

#include "dm-bow.h"

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

	bow_end_roll(bow);
	spin_lock(&bow->lock);
	bow->frozen = true;
	spin_unlock(&bow->lock);
	bow_drain_writes(bow);
	bow_drain_zeros(bow);
	if (want == BOW_CHECKPOINT)
		err = bow_enter_checkpoint(bow);
	else
		err = bow_commit(bow);
	spin_lock(&bow->lock);
	bow->frozen = false;
	spin_unlock(&bow->lock);
	if (err)
		bow_count_error(bow, "change the state", err);
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

	if (bow->state == BOW_COMMITTED)
		return;
	for (; pos < end; pos += len) {
		len = end - pos;
		spin_lock(&bow->lock);
		found = bow_ranges_find(&bow->ranges, pos, &len);
		spin_unlock(&bow->lock);
		if (found == BOW_FREE)
			bow_prepare(bow, pos, len, type);
	}
}

static bool let_go(struct bow *bow, struct bio *bio)
{
	bool go;

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
	return bow_plan(bow, bio);
}

/*
 * Plans what a pending write needs. 0; 1 when the batch takes no more; -ENOSPC
 * when there is no room for the backup and that is the end of the way back:
 * otherwise the write fails right here.
 */
static int plan_pending(struct bow *bow, struct bio *bio,
			struct bio_list *taken)
{
	int r = plan_whole(bow, bio);

	if (r == -ENOSPC && !READ_ONCE(bow->policy.release)) {
		bow_count_error(bow, "find free space for a backup", r);
		fail(bio, BLK_STS_NOSPC);
		return 0;
	}
	bio_list_add(taken, bio);
	if (r == -ENOSPC)
		return r;
	/*
	 * Only the block that is to hold the full log can stand in the way of
	 * the first backup: the log rolls by itself then, and the next batch
	 * finds a backup there like any other.
	 */
	bow->batch->roll_alone = r == -EAGAIN && !bow->batch->n;
	return r || bow->careful;
}

/* What has come since; bytes of it no more than fill a batch. Lock held. */
static unsigned int waiting(struct bow *bow, u32 *bytes)
{
	unsigned int n = 0;
	struct bio *bio;

	*bytes = 0;
	bio_list_for_each (bio, &bow->deferred) {
		n++;
		if (*bytes < bow->buf_size)
			*bytes += bio->bi_iter.bi_size;
	}
	return n;
}

/*
 * Are more writes to come, behind those of the batch that are here? Then the
 * worker is called when half of them are there, so that it has something to
 * do before the last one comes.
 */
static bool expect_company(struct bow *bow, unsigned int here)
{
	u32 bytes, room = bow_batch_room(bow);
	unsigned int n, more;

	if (here >= bow->crowd || !room || READ_ONCE(bow->want))
		return false;
	more = DIV_ROUND_UP(bow->crowd - here, 2);
	spin_lock(&bow->lock);
	n = waiting(bow, &bytes);
	if (n < more && bytes < room) {
		bow->awaited = more - n;
		bow->awaited_bytes = room - bytes;
	}
	spin_unlock(&bow->lock);
	return true;
}

/* What came meanwhile goes, or is pending; discards wait for the batch. */
static void collect(struct bow *bow, struct bio_list *pending)
{
	struct bio_list bios, discards;
	struct bio *bio;

	bio_list_init(&discards);
	spin_lock(&bow->lock);
	bow->awaited = 0;
	bios = bow->deferred;
	bio_list_init(&bow->deferred);
	spin_unlock(&bow->lock);
	while ((bio = bio_list_pop(&bios))) {
		if (bio_op(bio) == REQ_OP_DISCARD)
			bio_list_add(&discards, bio);
		else if (!let_go(bow, bio))
			bio_list_add(pending, bio);
	}
	spin_lock(&bow->lock);
	bio_list_merge_head(&bow->deferred, &discards);
	spin_unlock(&bow->lock);
}

/*
 * Who writes many blocks at once comes back with others when his writes have
 * ended. To wait for them, as long as the last batches took, makes one batch
 * of what would be two. Nobody waits who writes one by one. False: nobody came.
 */
static bool wait_for_company(struct bow *bow, struct bio_list *pending,
			     unsigned int here, ktime_t until)
{
	ktime_t start = ktime_get();

	if (ktime_after(start, until) || !expect_company(bow, here))
		return false;
	wait_event_hrtimeout(bow->company,
			     !READ_ONCE(bow->awaited) || READ_ONCE(bow->want),
			     ktime_sub(until, start));
	bow->waited = ktime_add(bow->waited, ktime_sub(ktime_get(), start));
	collect(bow, pending);
	return !bio_list_empty(pending);
}

/*
 * Takes writes that fit into one batch, and reads what the first of them
 * overwrite while it waits for the others. 0 or -ENOSPC, as above.
 */
static int gather(struct bow *bow, struct bio_list *pending,
		  struct bio_list *taken)
{
	ktime_t until = ktime_add(ktime_get(), bow->took);
	unsigned int all = max(bow->crowd, bio_list_size(pending));
	unsigned int here = 0;
	struct bio *bio;
	int r = 0;

	bow_begin_batch(bow, bow->careful ? 1 : all);
	do {
		while (!r && (bio = bio_list_pop(pending))) {
			r = plan_pending(bow, bio, taken);
			here++;
		}
		bow_read_ahead(bow);
	} while (!r && wait_for_company(bow, pending, here, until));
	return min(r, 0);
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
		return bow_run_batch(bow);
	bow_release_batch(bow);
	give_up(bow);
	return 0;
}

/* How many writes wait for the worker at once, before it lets some go. */
static void count_crowd(struct bow *bow, unsigned int here)
{
	u32 bytes;

	spin_lock(&bow->lock);
	bow->seen = max(bow->seen, here + waiting(bow, &bytes));
	spin_unlock(&bow->lock);
}

/* The next of the pending bios, which needs no backup or cannot have one. */
static void take_next(struct bow *bow, struct bio_list *pending,
		      struct bio_list *taken)
{
	struct bio *bio = bio_list_pop(pending);

	if (op_is_write(bio_op(bio)))
		prepare_bio(bow, bio);
	bio_list_add(taken, bio);
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
	err = bow_clean_log(bow);
	if (err || bow->state != BOW_CHECKPOINT)
		take_next(bow, pending, &taken);
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
			bow_set_range(bow, pos, len, BOW_FREE);
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
		bow_set_range(bow, pos, end - pos, BOW_FREE);
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
		bow_drain_writes(bow);
	while ((bio = bio_list_pop(discards)))
		discard(bow, bio);
	hold_writes(bow, 0, 0);
}

static void back_up_all(struct bow *bow, struct bio_list *pending)
{
	ktime_t start = ktime_get();

	bow->seen = 0;
	bow->waited = 0;
	while (!bio_list_empty(pending))
		write_batch(bow, pending);
	bow->careful = false;
	bow->took = ktime_sub(ktime_sub(ktime_get(), start), bow->waited);
	bow->crowd = max(bow->seen, (bow->seen + bow->crowd) / 2);
	bow_roll_ahead(bow);
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
	bow_end_roll(bow);
	if (bow->rest_stale)
		mod_delayed_work(bow->wq, &bow->tidy, HZ / 2);
	tell_event(bow);
	memalloc_noio_restore(noio);
}
