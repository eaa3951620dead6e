// SPDX-License-Identifier: GPL-2.0-only
#include <linux/mm.h>

#include "dm-update-io.h"

size_t update_read_room(struct block_device *bdev, u32 len)
{
	return round_up(len, SECTOR_SIZE) + 2 * bdev_logical_block_size(bdev);
}

static int transfer(struct dm_io_request *request, struct block_device *bdev,
		    u64 offset, u32 len, void *buf)
{
	struct dm_io_region where = {
		.bdev = bdev,
		.sector = offset >> SECTOR_SHIFT,
		.count = len >> SECTOR_SHIFT,
	};

	if (is_vmalloc_addr(buf)) {
		request->mem.type = DM_IO_VMA;
		request->mem.ptr.vma = buf;
	} else {
		request->mem.type = DM_IO_KMEM;
		request->mem.ptr.addr = buf;
	}
	return compat_dm_io(request, 1, &where, NULL);
}

/* As update_read(); if @request has a function to notify, it waits not. */
static int read_into(struct dm_io_request *request, struct block_device *bdev,
		     u64 offset, u32 len, void *buf, void **found)
{
	u32 align = bdev_logical_block_size(bdev);
	u64 begin = offset & ~(u64)(align - 1);
	u64 end = (offset + len + align - 1) & ~(u64)(align - 1);

	*found = buf + (offset - begin);
	return transfer(request, bdev, begin, end - begin, buf);
}

void *update_read(struct dm_io_client *io, struct block_device *bdev,
		  u64 offset, u32 len, void *buf)
{
	struct dm_io_request request = {
		COMPAT_DM_IO_OPF(REQ_OP_READ, 0),
		.client = io,
	};
	void *found;
	int r = read_into(&request, bdev, offset, len, buf, &found);

	return r ? ERR_PTR(r) : found;
}

void update_reads_init(struct update_reads *reads)
{
	atomic_set(&reads->left, 1); /* one for the wait */
	reads->error = 0;
	init_completion(&reads->done);
}

static void read_done(unsigned long error, void *context)
{
	struct update_reads *reads = context;

	if (error)
		WRITE_ONCE(reads->error, -EIO);
	if (atomic_dec_and_test(&reads->left))
		complete(&reads->done);
}

void *update_reads_begin(struct update_reads *reads, struct dm_io_client *io,
			 struct block_device *bdev, u64 offset, u32 len,
			 void *buf)
{
	struct dm_io_request request = {
		COMPAT_DM_IO_OPF(REQ_OP_READ, 0),
		.client = io,
		.notify.fn = read_done,
		.notify.context = reads,
	};
	void *found;

	atomic_inc(&reads->left);
	if (read_into(&request, bdev, offset, len, buf, &found))
		read_done(1, reads);
	return found;
}

int update_reads_wait(struct update_reads *reads)
{
	int r;

	read_done(0, reads);
	wait_for_completion(&reads->done);
	r = READ_ONCE(reads->error);
	update_reads_init(reads);
	return r;
}

int update_write(struct dm_io_client *io, struct block_device *bdev, u64 offset,
		 u32 len, void *buf, blk_opf_t flags)
{
	struct dm_io_request request = {
		COMPAT_DM_IO_OPF(REQ_OP_WRITE, flags),
		.client = io,
	};

	return transfer(&request, bdev, offset, len, buf);
}
