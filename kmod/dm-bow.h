/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The bow target, inside.
 *
 * One struct bow stands for one lower device under one mapped device; tables
 * that are loaded one after the other share it, so a reload keeps the state.
 *
 * Bios that need nothing pass in dm-bow-target.c. All others wait in a list
 * for the one worker, which also carries out changes of state: so whatever
 * writes the log does it alone. The spinlock is never held across I/O.
 *
 *   dm-bow-target.c  the target's calls, sysfs, which bio may go
 *   dm-bow-work.c    the worker: what waits, in which order
 *   dm-bow-batch.c   copies and log entries of many writes together
 *   dm-bow-disk.c    I/O to the lower device, log writes in a safe order
 */
#ifndef DM_BOW_H
#define DM_BOW_H

#include <linux/bio.h>
#include <linux/completion.h>
#include <linux/device-mapper.h>
#include <linux/dm-io.h>
#include <linux/kobject.h>
#include <linux/mutex.h>
#include <linux/spinlock.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "dm-bow-log.h"
#include "dm-bow-ranges.h"

#define DM_MSG_PREFIX "bow"

#define BOW_JOBS    128		/* backups made together, at most */
#define BOW_PARTS   8		/* ... read in so many parts */
#define BOW_BUF_MIN (512 << 10) /* bytes of them in memory */
#define BOW_BUF_MAX (4 << 20)

enum bow_state { BOW_TRIM = 0, BOW_CHECKPOINT = 1, BOW_COMMITTED = 2 };

/* How much room there is for backups; each step down is an event. */
enum bow_level { BOW_OK, BOW_LOW, BOW_FULL };

/* What may differ between tables that follow each other. */
struct bow_policy {
	u64 low_water; /* bytes; below it room is low */
	bool release;  /* without room the way back is given up */
};

/* What a bio in flight is counted as. */
enum bow_count { BOW_PLAIN, BOW_WRITE_0, BOW_WRITE_1, BOW_ZERO };

struct bow_bio {
	enum bow_count count;
};

/* One backup, and its log entry to be. */
struct bow_job {
	struct bow *bow;
	struct bow_step step;
	bool move; /* the live copy of block 0 goes to step.dest */
	u32 read;  /* bytes of it whose read has begun */
	u32 part;  /* ... with this part of the batch */
	void *data;
};

/* I/O that is waited for together. */
struct bow_io {
	atomic_t left; /* under way, and one for who waits */
	struct completion done;
	bool failed;
};

struct bow_batch {
	struct bow_job jobs[BOW_JOBS];
	unsigned int n;
	unsigned int room; /* log entries it may make */
	u32 used;	   /* bytes of the buffer */
	bool roll;	   /* the log block is full: begin the next */
	u64 roll_dest;	   /* sector for the full one */
	bool roll_alone;   /* a write waits for that sector itself */
	u64 ahead;	   /* sector for a copy of the log it fills, or 0 */
	u32 part;	   /* of what is read, the one that begins next */
	struct bow_io reads[BOW_PARTS];
	struct bow_io io;
};

struct bow {
	struct list_head list;
	unsigned int users; /* tables */
	struct mapped_device *md;
	struct block_device *bdev;
	u64 sectors;
	u32 block_size;
	u32 shift; /* block = sector >> shift */
	u32 unit;  /* bytes that the device writes as one */

	spinlock_t lock; /* for all up to the next blank line */
	enum bow_state state;
	bool frozen;	/* writes and block 0 wait: the state changes */
	bool moving;	/* block 0 waits: its live copy moves */
	bool log_dirty; /* nobody knows which log is on disk */
	bool released;	/* the way back was given up for want of room */
	bool event;	/* to be told */
	enum bow_level level;
	struct bow_policy policy;
	u64 hold_from; /* writes to these blocks wait for a discard */
	u64 hold_to;
	u64 sector0; /* of the live block 0 */
	unsigned int generation;
	u64 errors;
	u32 logs;
	struct bow_ranges ranges;
	struct bio_list deferred;
	unsigned int awaited; /* more of them, or as many bytes */
	u32 awaited_bytes;

	atomic_t writes[2]; /* in flight, by generation */
	atomic_t zeros;	    /* in flight on block 0, reads too */
	wait_queue_head_t idle;
	wait_queue_head_t company; /* all that the worker waits for are there */

	/* the worker's own */
	struct workqueue_struct *wq;
	struct work_struct work;
	struct delayed_work tidy;
	struct dm_io_client *client;
	struct bow_batch *batch;
	unsigned int crowd; /* writes that the last batches were for */
	unsigned int seen;  /* ... and those of now */
	ktime_t took;	    /* and how long they took, without */
	ktime_t waited;	    /* what was waited for company */
	bool careful;	    /* after a failure: one bio a batch */
	void *buf;	    /* for backups, until the commit */
	u32 buf_size;
	void *log;	/* the log block as it is on disk */
	void *image;	/* ... as it is to be */
	void *scratch;	/* one block */
	u64 ahead;	/* sector of a copy of the log block, or 0 */
	bool beginning; /* its head may not have come to disk yet */
	bool rolling;	/* ... and is on its way, as roll_io */
	struct bow_io roll_io;
	bool rest_stale;    /* behind the head lies what was there before */
	bool commit_failed; /* ... and nobody knows how far it came */

	struct mutex state_mutex; /* one change of state at a time */
	unsigned int want;	  /* 0, or the state asked for */
	int result;
	struct completion changed;

	struct mutex table_mutex;
	struct dm_table *table; /* the live one, whose event it is */

	struct kobject kobj;
	struct completion kobj_gone;
	bool kobj_added;
	bool suspended;
};

static inline u64 bow_block_sectors(const struct bow *bow)
{
	return 1ull << bow->shift;
}

static inline u64 bow_first_block(const struct bow *bow, struct bio *bio)
{
	return bio->bi_iter.bi_sector >> bow->shift;
}

/* The block after the last one that the bio touches. */
static inline u64 bow_end_block(const struct bow *bow, struct bio *bio)
{
	return (bio_end_sector(bio) + bow_block_sectors(bow) - 1) >> bow->shift;
}

/* ---- dm-bow-target.c ------------------------------------------------------
 */

/*
 * May a read or write go as things are? Then counts and remaps it, and
 * accounts for the free blocks it takes. False: it needs the worker. Lock
 * held.
 */
bool bow_admit(struct bow *bow, struct bio *bio);

/* What a write makes of a free block. */
enum bow_type bow_taken_type(const struct bow *bow);

/* It does so with all that it touches; their memory is there. Lock held. */
void bow_take_free(struct bow *bow, struct bio *bio);

/* Looks whether there is less room than before. Lock held. */
void bow_watch_room(struct bow *bow);

/* ---- dm-bow-work.c --------------------------------------------------------
 */

void bow_work(struct work_struct *work);
void bow_tidy(struct work_struct *work);

/* ---- dm-bow-batch.c: the worker's; may sleep ------------------------------
 */

/* Gets the memory that setting this range will need. */
void bow_prepare(struct bow *bow, u64 start, u64 len, enum bow_type type);
void bow_set_range(struct bow *bow, u64 start, u64 len, enum bow_type type);

/* Takes up to max blocks from the pool, in one piece. 0 or -ENOSPC. */
int bow_claim(struct bow *bow, u64 max, u64 *start, u64 *len);
void bow_release(struct bow *bow, u64 start, u64 len);

/* May a free block be spent before it has to be? */
bool bow_is_roomy(struct bow *bow);

/* Wait for what was let go before the call: all writes; all on block 0. */
void bow_drain_writes(struct bow *bow);
void bow_drain_zeros(struct bow *bow);

/*
 * A batch is begun, for n writes that wait; then backups are planned for one
 * write after the other (0; -EAGAIN when some must wait for the next batch;
 * -ENOSPC when there is no room for them), and what they overwrite may be read
 * ahead in between; then it is run (0 or -errno, and nothing that the writes
 * cover has changed) or released.
 */
void bow_begin_batch(struct bow *bow, u32 n);
int bow_plan(struct bow *bow, struct bio *bio);
void bow_read_ahead(struct bow *bow);
/* Bytes of backups that the batch still takes. */
u32 bow_batch_room(const struct bow *bow);
int bow_run_batch(struct bow *bow);
void bow_release_batch(struct bow *bow);

/*
 * A log block without room for as many writes as came of late makes way for
 * the next while those writes are under way: nobody waits for it but, by
 * bow_end_roll(), whoever writes the log next. 0 or -errno, and then nobody
 * knows which log is on disk.
 */
void bow_roll_ahead(struct bow *bow);
int bow_end_roll(struct bow *bow);

/* Makes the log on disk known again, if a write of it failed. 0 or -errno. */
int bow_clean_log(struct bow *bow);

void bow_count_error(struct bow *bow, const char *what, int err);

/* ---- dm-bow-disk.c: sectors and bytes of the lower device; may sleep ------
 */

int bow_read(struct bow *bow, u64 sector, u32 len, void *to);
/* flags: REQ_FUA. */
int bow_write(struct bow *bow, u64 sector, u32 len, void *from,
	      blk_opf_t flags);

/* Makes durable all that was written before. */
int bow_flush(struct bow *bow);

void bow_init_io(struct bow_io *io);
/* Starts I/O. flags: REQ_FUA; vmalloced: where the memory is from. */
void bow_start(struct bow *bow, struct bow_io *io, blk_opf_t op,
	       blk_opf_t flags, u64 sector, u32 len, void *mem, bool vmalloced);
/* Waits for all that was started. 0 or -EIO. */
int bow_finish(struct bow_io *io);

/* Entries that the head of a log block holds. */
u32 bow_head_entries(const struct bow *bow);

/*
 * Writes bow->image to block 0, durable: as a new log block, whose entries are
 * all in the head, or as the one that is there, bow->log, with more entries.
 * Then the same again, after one of these or a change of state has failed. What
 * they rely on is durable before. 0 or -errno, and then the disk has the one
 * log or the other.
 */
int bow_begin_log(struct bow *bow);
void bow_start_log(struct bow *bow, struct bow_io *io);
int bow_append_log(struct bow *bow);
int bow_rewrite_log(struct bow *bow);

/* Writes the rest of a block that has begun. 0 or -errno. */
int bow_write_rest(struct bow *bow);

/* The two changes of state; everything is drained. 0 or -errno. */
int bow_enter_checkpoint(struct bow *bow);
int bow_commit(struct bow *bow);

#endif
