// SPDX-License-Identifier: GPL-2.0-only
#include <linux/dm-io.h>
#include <linux/vmalloc.h>
#include <linux/workqueue.h>

#include "dm-update-merge.h"

#define DM_MSG_PREFIX "update"

#define WRITE_BYTES (1u << 20) /* most that one write carries */
#define MAX_RETRIES 3	       /* of an I/O error, 1, 2 and 4 seconds apart */

struct update_merge {
	struct dm_target *ti;
	struct dm_dev *system;
	struct update_reader *reader;
	const struct update_dir *dir;
	struct dm_io_client *io;
	struct workqueue_struct *wq;
	struct delayed_work work;
	void *buf; /* one write */
	u32 buf_bytes;
	u32 done; /* entries written; stored with release */
	unsigned int retries;
	bool stop;
	bool failed;
	bool durable; /* and flushed */
};

/* ---- one write ---------------------------------------------------------- */

/* Blocks in a row from entry @first on that fit into one write. */
static u32 run_length(const struct update_merge *merge, u32 first)
{
	const struct update_dir *dir = merge->dir;
	u64 dest = update_dir_dest(dir, first);
	u32 most = merge->buf_bytes >> dir->block_bits, n = 1;

	while (n < most && first + n < dir->n &&
	       update_dir_dest(dir, first + n) == dest + n)
		n++;
	return n;
}

/* Gathers the blocks of entries @first to @first + @n in merge->buf. */
static int gather(struct update_merge *merge, u32 first, u32 n)
{
	const struct update_dir *dir = merge->dir;
	u32 block = 1u << dir->block_bits;
	u32 c = update_dir_chunk(dir, first), i = first;

	while (i < first + n) {
		u32 end = min(dir->chunks[c + 1].first, first + n);
		const void *data = update_chunk_get(merge->reader, c);
		u32 bytes;

		if (IS_ERR(data))
			return PTR_ERR(data);
		for (; i < end; i++) {
			/* The last block of an image may be a part of one. */
			bytes = min(block, dir->chunks[c].need -
						   update_dir_offset(dir, i));
			memcpy(merge->buf + ((i - first) << dir->block_bits),
			       data + update_dir_offset(dir, i), bytes);
		}
		update_chunk_put(merge->reader, data);
		c++;
	}
	return 0;
}

static int write_run(struct update_merge *merge, u32 first, u32 n)
{
	u32 shift = merge->dir->block_bits - SECTOR_SHIFT;
	sector_t begin = (sector_t)update_dir_dest(merge->dir, first) << shift;
	struct dm_io_region where = {
		.bdev = merge->system->bdev,
		.sector = begin,
		.count = min_t(sector_t, (sector_t)n << shift,
			       merge->ti->len - begin),
	};
	struct dm_io_request request = {
		COMPAT_DM_IO_OPF(REQ_OP_WRITE, 0),
		.mem.type = DM_IO_VMA,
		.mem.ptr.vma = merge->buf,
		.client = merge->io,
	};

	return compat_dm_io(&request, 1, &where, NULL);
}

/* Readers use the system device for these blocks as soon as they are there. */
static int copy_run(struct update_merge *merge)
{
	u32 first = merge->done;
	u32 n = run_length(merge, first);
	int r = gather(merge, first, n);

	if (!r)
		r = write_run(merge, first, n);
	if (!r)
		smp_store_release(&merge->done, first + n);
	return r;
}

/* ---- the whole copy ----------------------------------------------------- */

static int copy_all(struct update_merge *merge)
{
	while (merge->done < merge->dir->n) {
		int r;

		if (READ_ONCE(merge->stop))
			return -EINTR;
		r = copy_run(merge);
		if (r)
			return r;
		cond_resched();
	}
	return blkdev_issue_flush(merge->system->bdev);
}

/*
 * An I/O error may pass, so it is tried again. A damaged chunk stays damaged.
 * After a failed flush it is not known what was written: begin again.
 */
static void copy_failed(struct update_merge *merge, int r)
{
	u32 done = merge->done;

	if (done == merge->dir->n)
		smp_store_release(&merge->done, 0);
	if (r != -EBADMSG && merge->retries < MAX_RETRIES) {
		queue_delayed_work(merge->wq, &merge->work,
				   HZ << merge->retries++);
		return;
	}
	WRITE_ONCE(merge->failed, true);
	DMERR("merge into %s stopped after %u of %u blocks: %s (%d)",
	      merge->system->name, done, merge->dir->n,
	      r == -EBADMSG ? "damaged chunk" : "I/O error", r);
	dm_table_event(merge->ti->table);
}

static void merge_work(struct work_struct *work)
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
	WRITE_ONCE(merge->durable, true);
	DMINFO("merge into %s finished: %u blocks", merge->system->name,
	       merge->dir->n);
	dm_table_event(merge->ti->table);
}

void update_merge_start(struct update_merge *merge)
{
	if (merge->durable)
		return;
	merge->retries = 0;
	WRITE_ONCE(merge->failed, false);
	WRITE_ONCE(merge->stop, false);
	queue_delayed_work(merge->wq, &merge->work, 0);
}

void update_merge_stop(struct update_merge *merge)
{
	WRITE_ONCE(merge->stop, true);
	cancel_delayed_work_sync(&merge->work);
}

u32 update_merge_done(const struct update_merge *merge)
{
	return smp_load_acquire(&merge->done);
}

u32 update_merge_reported(const struct update_merge *merge)
{
	u32 done = update_merge_done(merge);

	if (done && done == merge->dir->n && !READ_ONCE(merge->durable))
		done--;
	return done;
}

const char *update_merge_state(const struct update_merge *merge)
{
	if (READ_ONCE(merge->durable))
		return "done";
	if (READ_ONCE(merge->failed))
		return "failed";
	return READ_ONCE(merge->stop) ? "stopped" : "running";
}

/* ---- making and ending -------------------------------------------------- */

static int merge_init(struct update_merge *merge)
{
	merge->buf = vmalloc(merge->buf_bytes);
	if (!merge->buf)
		return -ENOMEM;
	merge->wq = alloc_ordered_workqueue("dm-update-merge", WQ_MEM_RECLAIM);
	if (!merge->wq)
		goto free_buf;
	merge->io = dm_io_client_create();
	if (IS_ERR(merge->io))
		goto destroy_wq;
	return 0;

destroy_wq:
	destroy_workqueue(merge->wq);
free_buf:
	vfree(merge->buf);
	return -ENOMEM;
}

struct update_merge *update_merge_create(struct dm_target *ti,
					 struct dm_dev *system,
					 struct update_reader *reader)
{
	struct update_merge *merge = kzalloc(sizeof(*merge), GFP_KERNEL);
	int r;

	if (!merge)
		return ERR_PTR(-ENOMEM);
	merge->ti = ti;
	merge->system = system;
	merge->reader = reader;
	merge->dir = update_reader_dir(reader);
	merge->buf_bytes = max(WRITE_BYTES, 1u << merge->dir->block_bits);
	merge->stop = true;
	INIT_DELAYED_WORK(&merge->work, merge_work);
	r = merge_init(merge);
	if (!r)
		return merge;
	kfree(merge);
	return ERR_PTR(r);
}

void update_merge_destroy(struct update_merge *merge)
{
	update_merge_stop(merge);
	dm_io_client_destroy(merge->io);
	destroy_workqueue(merge->wq);
	vfree(merge->buf);
	kfree(merge);
}
