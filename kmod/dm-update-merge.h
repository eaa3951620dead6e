/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The background copy of the changed blocks into the system device, in block
 * order, with large writes and one flush at the end.
 *
 * update_merge_done() tells which blocks of the system device are already new,
 * so that readers need no chunk for them. A diff of format version 0 never
 * reads what it overwrites: after a power cut the merge begins again at the
 * first block, and readers see the new image all the time.
 */
#ifndef BOWLINE_DM_UPDATE_MERGE_H
#define BOWLINE_DM_UPDATE_MERGE_H

#include <linux/device-mapper.h>

#include "dm-update-chunk.h"

struct update_merge; /* opaque */

/*
 * @ti: whose table gets an event when the merge has finished or failed; its
 * length is the size of the image. @system: open for writing. Nothing runs
 * before update_merge_start(). Returns an ERR_PTR.
 */
struct update_merge *update_merge_create(struct dm_target *ti,
					 struct dm_dev *system,
					 struct update_reader *reader);
void update_merge_destroy(struct update_merge *merge); /* stops it first */

/* Runs, or goes on, or tries again after a failure. */
void update_merge_start(struct update_merge *merge);
/* No I/O is under way when this returns. May sleep. */
void update_merge_stop(struct update_merge *merge);

/* Entries of the directory whose blocks can be read from the system device. */
u32 update_merge_done(const struct update_merge *merge);
/* The same for the status: all of them only when they are durable. */
u32 update_merge_reported(const struct update_merge *merge);
/* One word: "running", "stopped", "failed" or "done". */
const char *update_merge_state(const struct update_merge *merge);

#endif
