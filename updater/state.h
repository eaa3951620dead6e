/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The decision: what the initramfs does with the facts it found. PURE: no
 * device, no library; the whole space of facts is walked by a test. The slot
 * was already chosen by the boot script (slots.h); this decides about system
 * and data. docs/STATES.md shows the table.
 */
#ifndef BOWLINE_STATE_H
#define BOWLINE_STATE_H

#include <stdbool.h>

/* Each fact is one bit, so that a row of the table can name several. */
enum fact {
	/* the environment */
	F_KNOWN = 1 << 0, /* at least one copy was readable */
	F_LOST = 1 << 1,
	/* bowline_phase */
	F_IDLE = 1 << 2,
	F_TRIAL = 1 << 3,
	F_COMMIT = 1 << 4,
	F_ROLLBACK = 1 << 5,
	/* the slot whose kernel runs, against bowline_trial */
	F_ON_TRIAL = 1 << 6,
	F_ON_OTHER = 1 << 7,
	F_NO_TRIAL = 1 << 8, /* bowline_trial names no slot */
	/* the record on the stage */
	F_EMPTY = 1 << 9,    /* nothing staged */
	F_STAGED = 1 << 10,  /* staged; the system partition is untouched */
	F_MERGING = 1 << 11, /* the system partition may be half merged */
	/* the staged update */
	F_GOOD = 1 << 12, /* the one of bowline_update, every byte checked */
	F_BAD = 1 << 13,  /* damaged, unreadable or another one */
	/* the bow log on the data device */
	F_NO_LOG = 1 << 14,
	F_LOG = 1 << 15,       /* whole, no restore has begun */
	F_RESTORING = 1 << 16, /* a restore has begun and was cut short */
	F_TORN = 1 << 17,      /* there, and does not add up */
	F_KEEPING = 1 << 18,   /* being dropped: data is the new one */
	/* how the kernel was started */
	F_ASKED = 1 << 19,  /* chosen by the boot script */
	F_RESCUE = 1 << 20, /* nothing else was left to boot */
};

/* The values of one fact, for whoever walks the space. */
static const unsigned int fact_groups[] = {
	F_KNOWN | F_LOST,
	F_IDLE | F_TRIAL | F_COMMIT | F_ROLLBACK,
	F_ON_TRIAL | F_ON_OTHER | F_NO_TRIAL,
	F_EMPTY | F_STAGED | F_MERGING,
	F_GOOD | F_BAD,
	F_NO_LOG | F_LOG | F_RESTORING | F_TORN | F_KEEPING,
	F_ASKED | F_RESCUE,
};

/* Each may be repeated: a power cut inside one leads back to the table. */
enum step {
	STEP_END,
	STEP_STORE_COMMIT,   /* env: phase commit */
	STEP_STORE_ROLLBACK, /* env: phase rollback, with the reason */
	STEP_STORE_UNDONE,   /* env: phase idle, the old slot first */
	STEP_STORE_DONE,     /* env: phase idle, the update is kept */
	STEP_STORE_CLEAR,    /* env: phase idle, there was no update */
	STEP_RECORD_ATTEMPT, /* stage: this attempt has begun */
	STEP_RECORD_COMMIT,  /* stage: the merge may begin */
	STEP_RECORD_EMPTY,   /* stage: nothing staged */
	STEP_UNDO,	     /* data: restore from the log, if there is one */
	STEP_KEEP,	     /* data: drop the log, if there is one */
	STEP_SYSTEM_PLAIN,   /* root: the system partition */
	STEP_SYSTEM_TRIAL,   /* root: the update over it, nothing is written */
	STEP_SYSTEM_MERGE,   /* root: the update over it, being merged */
	STEP_DATA_PLAIN,     /* data: the partition itself */
	STEP_DATA_BOW,	     /* data: under a new log */
	STEP_WATCHDOG,	     /* a system that hangs is reset */
	STEP_REBOOT,	     /* into the other slot */
	STEP_COUNT
};

#define PLAN_MAX 8

struct row {
	unsigned int facts; /* a group without a bit here matches any value */
	const char *why;    /* one line, for console, tests and docs */
	enum step plan[PLAN_MAX];
};

/* The row that decides; never NULL for facts with one bit of every group. */
const struct row *decide(unsigned int facts);

/* The table itself, for tests and documentation. */
extern const struct row decision_table[];
extern const unsigned int decision_rows;

const char *step_name(enum step step);
const char *fact_name(unsigned int bit);

#endif
