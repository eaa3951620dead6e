// SPDX-License-Identifier: GPL-2.0-only
/*
 * I/O of the bow target to the lower device, and the order of log writes.
 *
 * Where the log block is larger than what the device writes as one, a cut can
 * tear it. Then
 *   - entries beyond the head go to disk before the head that counts them,
 *     under the tail of the head that does not;
 *   - then the head, which makes the new state; then the new tail;
 *   - a block that begins anew has entries in the head alone, and its entry 0
 *     says where the contents before lie, to which the tail belongs;
 *   - a commit empties the head before it touches the rest.
 */
#include <linux/blkdev.h>
#include <linux/ioprio.h>

#include "dm-bow.h"

static int transfer(struct bow *bow, blk_opf_t op, blk_opf_t flags, u64 sector,
		    u32 len, void *mem)
{
	struct dm_io_region where = {
		.bdev = bow->bdev,
		.sector = sector,
		.count = len >> SECTOR_SHIFT,
	};
	struct dm_io_request request = {
		COMPAT_DM_IO_OPF(op, flags | REQ_SYNC),
		.mem.type = DM_IO_KMEM,
		.mem.ptr.addr = mem,
		.client = bow->client,
	};

	return compat_dm_io(&request, 1, &where, NULL);
}

int bow_read(struct bow *bow, u64 sector, u32 len, void *to)
{
	return transfer(bow, REQ_OP_READ, 0, sector, len, to);
}

int bow_write(struct bow *bow, u64 sector, u32 len, void *from, blk_opf_t flags)
{
	return transfer(bow, REQ_OP_WRITE, flags, sector, len, from);
}

/* ---- many at once -------------------------------------------------------- */

static void put_io(struct bow_batch *batch)
{
	if (atomic_dec_and_test(&batch->left))
		complete(&batch->done);
}

static void io_done(unsigned long error, void *context)
{
	struct bow_batch *batch = context;

	if (error)
		WRITE_ONCE(batch->failed, true);
	put_io(batch);
}

void bow_start(struct bow *bow, blk_opf_t op, u64 sector, u32 len, void *mem,
	       bool vmalloced)
{
	struct dm_io_region where = {
		.bdev = bow->bdev,
		.sector = sector,
		.count = len >> SECTOR_SHIFT,
	};
	struct dm_io_request request = {
		COMPAT_DM_IO_OPF(op, 0),
		.mem.type = vmalloced ? DM_IO_VMA : DM_IO_KMEM,
		.mem.ptr.addr = mem,
		.notify.fn = io_done,
		.notify.context = bow->batch,
		.client = bow->client,
	};

	atomic_inc(&bow->batch->left);
	if (compat_dm_io(&request, 1, &where, NULL))
		io_done(1, bow->batch);
}

/* Between two calls `left` holds one for the worker itself. */
int bow_finish(struct bow *bow)
{
	struct bow_batch *batch = bow->batch;
	bool failed;

	put_io(batch);
	wait_for_completion(&batch->done);
	failed = batch->failed;
	atomic_set(&batch->left, 1);
	reinit_completion(&batch->done);
	batch->failed = false;
	return failed ? -EIO : 0;
}

/* ---- the log ------------------------------------------------------------- */

static bool one_write(const struct bow *bow)
{
	return bow->block_size <= bow->unit;
}

static int write_rest(struct bow *bow, void *block, blk_opf_t flags)
{
	return bow_write(bow, bow->unit >> SECTOR_SHIFT,
			 bow->block_size - bow->unit, block + bow->unit, flags);
}

static int write_head(struct bow *bow, void *block)
{
	return bow_write(bow, 0, bow->unit, block, REQ_PREFLUSH | REQ_FUA);
}

void bow_start_entries(struct bow *bow)
{
	u32 tail = bow->block_size - sizeof(bow->tail);

	if (one_write(bow) || bow_log_bytes(bow->image) <= bow->unit)
		return;
	/* The head on disk still counts without them: so does the tail. */
	memcpy(bow->scratch, bow->image, tail);
	memcpy(bow->scratch + tail, &bow->tail, sizeof(bow->tail));
	bow_start(bow, REQ_OP_WRITE, bow->unit >> SECTOR_SHIFT,
		  bow->block_size - bow->unit, bow->scratch + bow->unit, false);
}

int bow_write_log(struct bow *bow)
{
	int err;

	if (one_write(bow))
		return bow_write(bow, 0, bow->block_size, bow->image,
				 REQ_PREFLUSH | REQ_FUA);
	err = write_head(bow, bow->image);
	if (err)
		return err;
	memcpy(&bow->tail, bow->image + bow->block_size - sizeof(bow->tail),
	       sizeof(bow->tail));
	/* The head alone is enough; a tail that lags is understood. */
	if (write_rest(bow, bow->image, 0))
		DMWARN("cannot write the rest of the log block");
	return 0;
}

/* ---- changes of state ---------------------------------------------------- */

static int save_block0(struct bow *bow, u64 backup, u64 live)
{
	u32 size = bow->block_size;
	u64 dest = backup << bow->shift;
	u64 sector0 = live << bow->shift;
	int err;

	err = bow_read(bow, 0, size, bow->scratch);
	if (err)
		return err;
	if (bow_log_is(bow->scratch)) {
		DMERR("block 0 carries a bow log already");
		return -EEXIST;
	}
	err = bow_write(bow, dest, size, bow->scratch, 0);
	if (!err)
		err = bow_write(bow, sector0, size, bow->scratch, 0);
	bow_log_start(bow->image, size, sector0, dest,
		      bow_checksum(0, size, bow->scratch, size));
	return err;
}

/* A log that could not be written whole may be there all the same. */
static void take_back_log(struct bow *bow)
{
	if (bow_write(bow, 0, bow->block_size, bow->scratch,
		      REQ_PREFLUSH | REQ_FUA))
		DMERR("cannot write block 0 back: the device may carry a log");
}

static int start_log(struct bow *bow, u64 backup, u64 live)
{
	int err = save_block0(bow, backup, live);

	if (err)
		return err;
	err = bow_write_log(bow);
	if (err) {
		take_back_log(bow);
		return err;
	}
	memcpy(bow->log, bow->image, bow->block_size);
	spin_lock(&bow->lock);
	bow->sector0 = live << bow->shift;
	bow->logs = 1;
	bow->state = BOW_CHECKPOINT;
	spin_unlock(&bow->lock);
	return 0;
}

int bow_enter_checkpoint(struct bow *bow)
{
	u64 backup, live, len;
	int err;

	err = bow_claim(bow, 1, &backup, &len);
	if (err)
		return err;
	err = bow_claim(bow, 1, &live, &len);
	if (err)
		goto release_backup;
	err = start_log(bow, backup, live);
	if (err)
		goto release_live;
	return 0;

release_live:
	bow_release(bow, live, 1);
release_backup:
	bow_release(bow, backup, 1);
	return err;
}

static int put_live(struct bow *bow, void *live)
{
	int err;

	if (one_write(bow))
		return bow_write(bow, 0, bow->block_size, live,
				 REQ_PREFLUSH | REQ_FUA);
	memcpy(bow->image, bow->log, bow->block_size);
	bow_log_close(bow->image);
	err = write_head(bow, bow->image);
	if (!err)
		err = write_rest(bow, live, 0);
	return err ? err : write_head(bow, live);
}

int bow_commit(struct bow *bow)
{
	int err = bow_read(bow, bow->sector0, bow->block_size, bow->scratch);

	if (!err)
		err = put_live(bow, bow->scratch);
	spin_lock(&bow->lock);
	if (err)
		bow->log_dirty = true;
	else
		bow->state = BOW_COMMITTED;
	spin_unlock(&bow->lock);
	return err;
}
