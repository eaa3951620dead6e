/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Finds out who reads changed blocks one after the other, so that chunks can
 * be decompressed whole, and before they are asked for. Of several who read the
 * same, the first one is kept so near that the others find its chunks.
 */
#ifndef BOWLINE_DM_UPDATE_AHEAD_H
#define BOWLINE_DM_UPDATE_AHEAD_H

#include <linux/spinlock.h>
#include <linux/wait.h>

#include "dm-update-chunk.h"

#define UPDATE_STREAMS 8

/* Somebody who has read up to changed block @next, if anybody. */
struct update_stream {
	u64 next;
	u64 chunk; /* key of the last read's; the ones behind are under way */
	unsigned long used;
	unsigned long last; /* read, in jiffies */
	bool in_row;
};

struct update_ahead {
	struct update_reader *reader;
	u64 lead;  /* blocks that one may be before another ... */
	u64 reach; /* ... and farther, so that they have nothing in common */
	wait_queue_head_t wait; /* a stream went on */
	spinlock_t lock;
	unsigned long clock;
	struct update_stream stream[UPDATE_STREAMS];
};

void update_ahead_init(struct update_ahead *ahead,
		       struct update_reader *reader);

/*
 * Blocks @block to @end, all changed, are about to be read. Returns whether it
 * is one read of many in a row, and then begins to read ahead. Whoever begins
 * with the first changed block is taken to go on. Does not sleep.
 */
bool update_ahead_note(struct update_ahead *ahead, u64 block, u64 end);
/*
 * The same blocks, when their first chunk is being read: begins with the other
 * ones, so that a long read does not wait for one after the other.
 */
void update_ahead_inside(struct update_ahead *ahead, u64 block, u64 end,
			 bool in_row);
/*
 * Whoever reads @block, in a row, waits here until those who follow are near,
 * but not for long. May sleep.
 */
void update_ahead_wait(struct update_ahead *ahead, u64 block);

#endif
