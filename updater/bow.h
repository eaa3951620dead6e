/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The offline side of the bow target: what a data device carries in block 0,
 * and how to go back (restore) or forward (keep). docs/FORMAT.md has the
 * format.
 *
 * Everything here works through the seam of io.h. Each call checks all it
 * relies on before its first write, may be cut at any write and simply called
 * again, and leaves the device open. Memory grows with the number of log
 * entries, about 100 bytes each.
 */
#ifndef BOWLINE_BOW_H
#define BOWLINE_BOW_H

#include <stdint.h>
#include <stdio.h>

#include "io.h"

enum bow_kind {
	BOW_NONE,      /* no log: an ordinary device */
	BOW_LOG,       /* a log that can be restored or kept */
	BOW_RESTORING, /* a restore was cut short: only bow_restore() goes on */
	BOW_KEEPING,   /* a commit was cut short: only bow_keep() goes on */
	BOW_DAMAGED,   /* a log that does not add up; see reason */
};

struct bow_info {
	enum bow_kind kind;
	uint32_t block_size; /* bytes; 0 for BOW_NONE, as all below */
	uint32_t logs;	     /* log blocks in the chain */
	uint64_t entries;    /* in all of them */
	uint64_t backed_up;  /* bytes that the entries cover */
	uint64_t sector0;    /* sector of the live contents of block 0 */
	char reason[160];    /* BOW_DAMAGED: one clause that names the fault */
};

/*
 * Reads block 0 and, when it is a log, every log block back to the first, and
 * checks their structure; not the checksums of the backed-up data, which
 * restore and inspect read. Writes nothing. Returns 0 with *info filled for
 * every kind, or -1 after error() when the device could not be read.
 */
int bow_probe(struct dev *dev, struct bow_info *info);

/* The same with the checksums of all backed-up data: reads every backup. */
int bow_check(struct dev *dev, struct bow_info *info);

/*
 * Puts every block back as it was when state 1 began and removes the log. What
 * was free then has no defined contents afterwards. No log: 0, nothing done. A
 * log that does not add up, data included, or a commit in progress: -1 after
 * error(), nothing changed. Durable on return. Shows progress.
 */
int bow_restore(struct dev *dev);

/*
 * Finishes a commit: the live contents of block 0 go back from sector0, the
 * log is gone, the changed data stays. Relies on the log's header only, so it
 * also works where a restore is refused. No log: 0, nothing done. A restore in
 * progress, or a header that does not add up: -1 after error(), nothing
 * changed. Durable on return.
 */
int bow_keep(struct dev *dev);

/*
 * Explains the log, one line an entry, newest first, with the verdict on each
 * checksum, and a last line with the verdict on the whole. Writes nothing to
 * the device. 0, also for a damaged log; -1 after error() when the device
 * could not be read.
 */
int bow_inspect(struct dev *dev, FILE *to);

#endif
