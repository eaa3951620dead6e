/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The copy of the changed blocks into the system device, in the background:
 * epoch by epoch, each with large writes of which several are under way.
 *
 * When an epoch is written, its blocks are no longer changed ones for readers
 * (update_source_merged()). A diff of format version 0 never reads what it
 * overwrites: after a power cut the merge begins again at the first block, and
 * readers see the new image all the time.
 */
#ifndef BOWLINE_DM_UPDATE_MERGE_H
#define BOWLINE_DM_UPDATE_MERGE_H

#include <linux/device-mapper.h>

#include "dm-update-chunk.h"

struct update_merge; /* opaque */

struct update_merge_state {
	u64 done;  /* blocks written; all of them only when they are durable */
	u64 bytes; /* written, what had to be written again included */
	const char *phase;  /* a word: stopped, running, paused, failed, done */
	const char *reason; /* a word: why it failed, else "-" */
	unsigned long errors;
};

/*
 * @ti: whose table gets an event when the merge has finished or failed.
 * @system: open for writing. @paused: it waits for update_merge_pause(false).
 * Nothing runs before update_merge_start(). Returns an ERR_PTR.
 */
struct update_merge *update_merge_create(struct dm_target *ti,
					 struct dm_dev *system,
					 struct update_reader *reader,
					 bool paused);
void update_merge_destroy(struct update_merge *merge); /* stops it first */

/* Runs, or goes on, or tries again after a failure. */
void update_merge_start(struct update_merge *merge);
/* No I/O is under way when this returns. May sleep. */
void update_merge_stop(struct update_merge *merge);

void update_merge_pause(struct update_merge *merge, bool paused);
bool update_merge_is_paused(const struct update_merge *merge);
/* At most so many bytes a second; 0 = as fast as it goes. */
void update_merge_rate(struct update_merge *merge, u64 rate);
/* Whether it makes way for reads; it does unless told otherwise. */
void update_merge_yield(struct update_merge *merge, bool yield);
/* Somebody reads from the device. Cheap, does not sleep. */
void update_merge_note_read(struct update_merge *merge);

void update_merge_state(struct update_merge *merge,
			struct update_merge_state *state);
/* Bytes of memory that it takes. */
size_t update_merge_memory(const struct update_merge *merge);

#endif
