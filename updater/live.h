/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the running system does about the update it runs: commit, merge. The
 * next boot finishes whatever a power cut interrupts here (docs/STATES.md).
 */
#ifndef BOWLINE_LIVE_H
#define BOWLINE_LIVE_H

#include "boot.h"

/*
 * board, cmd, env and rec of the running system; facts stay 0. board: a path
 * or NULL. 0, or -1 after error().
 */
int live_load(struct boot *boot, const char *board);

/* Whether this system is the one on trial, running in its slot. */
bool live_on_trial(const struct boot *boot);

/*
 * The durable order of a commit: the store of the environment is the decision;
 * then the record, the log of the data device, and last the merge, which is
 * the first to write to the system partition.
 */
int live_commit(struct boot *boot);

/*
 * Follows the merge; wait: until it is done and finished (live_finish), with
 * progress. Returns 0 finished, 1 still going on (only without wait), -1.
 */
int live_merge(struct boot *boot, bool wait);

#endif
