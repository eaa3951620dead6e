/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The offline side of the bow target: what a data device carries in block 0,
 * and how to go back (restore) or forward (keep). docs/FORMAT.md has the
 * format and says what is proven of a damaged log.
 *
 * Everything here works through the seam of io.h. Each call checks all it
 * relies on before its first write, may be cut at any write and simply called
 * again, and leaves the device open. Memory: 4 MiB and at most 160 bytes for
 * each entry of the log, whatever it says.
 */
#ifndef BOWLINE_BOW_H
#define BOWLINE_BOW_H

#include <stdbool.h>
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
	bool restoring;	     /* a restore has begun, damaged or not */
	char reason[160];    /* BOW_DAMAGED: one clause, the first fault */
};

/* Does block 0 carry a log, of any kind? 1, 0, or -1 after error(). */
int bow_is_there(struct dev *dev);

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

/* What became of block 0 of a device whose log was damaged. */
enum bow_block0 {
	BOW_BLOCK0_OLD,	 /* as it was when state 1 began */
	BOW_BLOCK0_LIVE, /* as the trial left it */
	BOW_BLOCK0_LOST, /* neither is known: only the log's magic went */
};

struct bow_salvage {
	enum bow_kind kind; /* of the log that was there */
	uint64_t undone;    /* bytes that are as at state 1 again */
	uint64_t left;	    /* bytes known to have been saved, not undone */
	uint32_t unknown;   /* entries and log blocks of unknown meaning */
	enum bow_block0 block0;
};

/*
 * Like bow_restore(), but undoes of a log that does not add up what is proven,
 * leaves the rest as it is, and says on `to`, with at most `lines` lines, what
 * that is and why. The log is gone afterwards.
 */
int bow_salvage(struct dev *dev, FILE *to, unsigned int lines,
		struct bow_salvage *result);

/*
 * Like bow_keep(), but a log that does not add up is dropped too; block 0
 * becomes the best that is known. A restore in progress is refused.
 */
int bow_drop(struct dev *dev, struct bow_salvage *result);

/*
 * Explains the log, one line an entry, newest first, with the verdict on each
 * checksum, and a last line with the verdict on the whole, also in *info.
 * Writes nothing to the device. 0, also for a damaged log; -1 after error()
 * when the device could not be read.
 */
int bow_inspect(struct dev *dev, FILE *to, struct bow_info *info);

#endif
