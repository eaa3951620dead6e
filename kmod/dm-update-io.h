/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Bytes of block devices for the update target: synchronous, through dm-io, at
 * any offset for reads. All of it may sleep; nothing of it allocates memory
 * that it could not get by waiting.
 */
#ifndef BOWLINE_DM_UPDATE_IO_H
#define BOWLINE_DM_UPDATE_IO_H

#include <linux/blkdev.h>
#include <linux/completion.h>
#include <linux/dm-io.h>

/* What a buffer needs to read @len bytes at any offset of @bdev. */
size_t update_read_room(struct block_device *bdev, u32 len);

/*
 * Reads @len bytes at @offset, which need no alignment, by way of @buf: from
 * the beginning of a sector of memory of kvmalloc(), update_read_room(len)
 * bytes. Returns where in it they are, or an ERR_PTR.
 */
void *update_read(struct dm_io_client *io, struct block_device *bdev,
		  u64 offset, u32 len, void *buf);

/* Writes @len bytes of the kvmalloc'ed @buf; both are whole sectors. @flags:
 * REQ_FUA and the like.
 */
int update_write(struct dm_io_client *io, struct block_device *bdev, u64 offset,
		 u32 len, void *buf, blk_opf_t flags);

/*
 * Reads that are under way at once:
 *
 *	update_reads_init(&reads);
 *	found = update_reads_begin(&reads, ...);	as update_read()
 *	...
 *	r = update_reads_wait(&reads);	0, or the error of one of them
 *
 * What was found may be used after the wait. Then more may be begun.
 */
struct update_reads {
	atomic_t left;
	int error;
	struct completion done;
};

void update_reads_init(struct update_reads *reads);
void *update_reads_begin(struct update_reads *reads, struct dm_io_client *io,
			 struct block_device *bdev, u64 offset, u32 len,
			 void *buf);
int update_reads_wait(struct update_reads *reads);

#endif
