// SPDX-License-Identifier: GPL-2.0-only
/*
 * I/O of the bow target to the lower device, and the order of log writes.
 *
 * Where the log block is larger than what the device writes as one, a cut can
 * tear it. Then
 *   - entries are added by one write of the whole block: a reader sees which
 *     are missing, and the writes they are for have not been let go;
 *   - a block that begins anew has entries in the head alone, and only that is
 *     written: its entry 0 says where a copy of the contents before lies, by
 *     which a reader tells what of them is still there when the next entries,
 *     or time, bring the rest;
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

/*
 * A flush that fails as part of a write that carries data is not reported where
 * the lower device is a mapped one itself; a flush alone always is.
 */
int bow_flush(struct bow *bow)
{
	return transfer(bow, REQ_OP_WRITE, REQ_PREFLUSH, 0, 0, bow->image);
}

/* ---- many at once -------------------------------------------------------- */

void bow_init_io(struct bow_io *io)
{
	atomic_set(&io->left, 1);
	init_completion(&io->done);
	io->failed = false;
}

static void put_io(struct bow_io *io)
{
	if (atomic_dec_and_test(&io->left))
		complete(&io->done);
}

static void io_done(unsigned long error, void *context)
{
	struct bow_io *io = context;

	if (error)
		WRITE_ONCE(io->failed, true);
	put_io(io);
}

void bow_start(struct bow *bow, struct bow_io *io, blk_opf_t op,
	       blk_opf_t flags, u64 sector, u32 len, void *mem, bool vmalloced)
{
	struct dm_io_region where = {
		.bdev = bow->bdev,
		.sector = sector,
		.count = len >> SECTOR_SHIFT,
	};
	struct dm_io_request request = {
		COMPAT_DM_IO_OPF(op, flags),
		.mem.type = vmalloced ? DM_IO_VMA : DM_IO_KMEM,
		.mem.ptr.addr = mem,
		.notify.fn = io_done,
		.notify.context = io,
		.client = bow->client,
	};

	atomic_inc(&io->left);
	if (compat_dm_io(&request, 1, &where, NULL))
		io_done(1, io);
}

int bow_finish(struct bow_io *io)
{
	bool failed;

	put_io(io);
	wait_for_completion(&io->done);
	failed = io->failed;
	atomic_set(&io->left, 1);
	reinit_completion(&io->done);
	io->failed = false;
	return failed ? -EIO : 0;
}

/* ---- the log ------------------------------------------------------------- */

static bool one_write(const struct bow *bow)
{
	return bow->block_size <= bow->unit;
}

static u32 header_size(const struct bow *bow)
{
	return one_write(bow) ? BOW_HEADER_SIZE : BOW_HEADER_LONG;
}

u32 bow_head_entries(const struct bow *bow)
{
	return min(bow_log_capacity(bow->block_size, header_size(bow)),
		   (bow->unit - header_size(bow)) / BOW_ENTRY_SIZE);
}

static int write_rest(struct bow *bow, void *block, blk_opf_t flags)
{
	return bow_write(bow, bow->unit >> SECTOR_SHIFT,
			 bow->block_size - bow->unit, block + bow->unit, flags);
}

static int write_head(struct bow *bow, void *block)
{
	return bow_write(bow, 0, bow->unit, block, REQ_FUA);
}

static int write_whole(struct bow *bow, void *block)
{
	return bow_write(bow, 0, bow->block_size, block, REQ_FUA);
}

int bow_begin_log(struct bow *bow)
{
	int err;

	if (one_write(bow))
		return write_whole(bow, bow->image);
	bow->rest_stale = true;
	bow->beginning = true;
	err = write_head(bow, bow->image);
	if (!err)
		bow->beginning = false;
	return err;
}

void bow_start_log(struct bow *bow, struct bow_io *io)
{
	bow->rest_stale = !one_write(bow);
	bow->beginning = !one_write(bow);
	bow_start(bow, io, REQ_OP_WRITE, REQ_FUA, 0,
		  min(bow->unit, bow->block_size), bow->image, false);
}

int bow_append_log(struct bow *bow)
{
	int err = write_whole(bow, bow->image);

	if (!err)
		bow->rest_stale = false;
	return err;
}

int bow_write_rest(struct bow *bow)
{
	return write_rest(bow, bow->log, REQ_FUA);
}

/*
 * What a commit that failed left on disk is the log, or already the live block
 * 0, or the one's head and the other's rest. The empty head is true for all of
 * them, so a cut in between has the commit finished after all.
 */
static int reopen_log(struct bow *bow)
{
	int err;

	if (one_write(bow))
		return write_whole(bow, bow->log);
	memcpy(bow->image, bow->log, bow->block_size);
	bow_log_close(bow->image);
	err = write_head(bow, bow->image);
	if (!err)
		err = write_rest(bow, bow->log, REQ_FUA);
	return err ? err : write_head(bow, bow->log);
}

int bow_rewrite_log(struct bow *bow)
{
	if (bow->state == BOW_TRIM)
		return write_whole(bow, bow->log);
	if (bow->commit_failed)
		return reopen_log(bow);
	memcpy(bow->image, bow->log, bow->block_size);
	return bow->beginning ? bow_begin_log(bow) : bow_append_log(bow);
}

/* ---- changes of state ---------------------------------------------------- */

static int save_block0(struct bow *bow, u64 backup, u64 live)
{
	u32 size = bow->block_size;
	u64 dest = backup << bow->shift;
	u64 sector0 = live << bow->shift;
	struct bow_step first = { 0, dest, size, 0 };
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
	first.checksum = bow_checksum(0, size, bow->scratch, size);
	bow_log_start(bow->image, size, header_size(bow), sector0, &first);
	return err;
}

/*
 * A log that could not be written whole may be there all the same. Until block
 * 0 is back nothing may be written, or a restore would mix two times.
 */
static void take_back_log(struct bow *bow)
{
	memcpy(bow->log, bow->scratch, bow->block_size);
	if (!write_whole(bow, bow->log))
		return;
	DMERR("cannot write block 0 back: writes wait until that is done");
	spin_lock(&bow->lock);
	bow->log_dirty = true;
	spin_unlock(&bow->lock);
}

static int start_log(struct bow *bow, u64 backup, u64 live)
{
	int err = save_block0(bow, backup, live);

	if (!err)
		err = bow_flush(bow);
	if (err)
		return err;
	err = bow_begin_log(bow);
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
		return write_whole(bow, live);
	memcpy(bow->image, bow->log, bow->block_size);
	bow_log_close(bow->image);
	err = write_head(bow, bow->image);
	if (!err)
		err = write_rest(bow, live, REQ_FUA);
	return err ? err : write_head(bow, live);
}

int bow_commit(struct bow *bow)
{
	int err = bow_read(bow, bow->sector0, bow->block_size, bow->scratch);

	if (!err)
		err = bow_flush(bow);
	if (!err)
		err = put_live(bow, bow->scratch);
	spin_lock(&bow->lock);
	bow->log_dirty = err;
	bow->commit_failed = err;
	if (!err)
		bow->state = BOW_COMMITTED;
	spin_unlock(&bow->lock);
	return err;
}
