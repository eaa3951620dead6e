/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A bow log in memory: what bow-load.c finds on the device, and what bow.c,
 * bow-plan.c and bow-show.c make of it. Places and lengths are sectors unless
 * they say bytes.
 */
#ifndef BOWLINE_BOW_CHAIN_H
#define BOWLINE_BOW_CHAIN_H

#include "bow.h"
#include "extmap.h"
#include "../kmod/dm-bow-log.h"

#define BOW_WINDOW (1u << 20) /* bytes read or written at once */

/* In c->left, for the mark of an entry: proven, and nowhere to save it. */
#define LEFT_FOR_SPACE (0xffffffffull << 32)

enum verdict {
	V_UNCHECKED,
	V_GOOD,
	V_MOVE,	    /* the live block 0 moved: nothing to undo */
	V_NONE,	    /* has no checksum */
	V_BAD,	    /* the backup is not what was saved */
	V_IDLE,	    /* nor that, but the source still is: nothing to undo */
	V_NONSENSE, /* means nothing */
};

/* What is known about an entry beside what it says. */
struct mark {
	uint64_t place : 56; /* of its backup; 0: in pieces, checked already */
	uint64_t verdict : 8;
};

struct log_block {
	struct bow_log log;
	uint8_t *block;
	uint32_t first;	   /* mark of its last entry; the others follow */
	const char *fault; /* NULL, or what is wrong with the block itself */
	bool proven;	   /* by a checksum: its entries are as written */
};

struct chain {
	struct dev *dev;
	struct bow_info *info;
	bool check_data;
	bool show_progress;
	uint8_t *buf; /* BOW_WINDOW */

	struct log_block *logs; /* newest first */
	uint32_t n_logs;
	struct mark *marks; /* of all entries, newest first */
	uint32_t n_marks;
	uint32_t room;
	/*
	 * Sectors that were in use when state 1 began and were saved since, to
	 * where those contents are now.
	 */
	struct extmap where;
	uint64_t live;	 /* where the live block 0 was before what is loaded */
	bool known;	 /* the header of block 0 could be read or guessed */
	bool complete;	 /* the chain goes back to the first log block */
	uint64_t origin; /* where block 0 as it was is now; 0: not known */
	uint8_t *original; /* block 0 as it was, with origin */

	uint32_t limit;	 /* of entries in the newest log block; 0: none */
	uint32_t beyond; /* the entries there that do not count for it */
	/* Of an earlier load: its V_IDLE entries are left out of the map. */
	const struct mark *before;
	uint32_t n_before;
	/*
	 * A damaged log is being salvaged: sectors that stay as they are, to
	 * the mark of the entry that saved them, in the upper 32 bits.
	 */
	bool salvage;
	struct extmap left;
	uint64_t undone; /* bytes put back */
};

/* 0 with *c->info filled, damaged or not; -1 after error(). Reads only. */
int chain_load(struct chain *c);
/* Only the log block in block 0, for which there must be one. */
int chain_load_newest(struct chain *c);
void chain_free(struct chain *c);

/* The mark of entry i of a log block. */
struct mark *chain_mark(struct chain *c, const struct log_block *b, uint32_t i);
/* Checks the contents that every mark stands for. */
int chain_verify(struct chain *c);
/* Notes the first fault; the log is damaged from here on. */
void chain_fault(struct chain *c, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* Fills c->left: what is saved by entries that prove nothing. */
int chain_find_left(struct chain *c);

/*
 * bow-plan.c: undoes the log and removes it; where and origin say how. 0: done
 * (without origin all but block 0), 1: there is a new log, whole and smaller:
 * load and undo that; -1 after error().
 */
int chain_undo(struct chain *c);
/* Whether the device writes a log block whole or not at all. */
bool chain_atomic(struct chain *c);
/* One write, durable. */
int chain_put(struct chain *c, uint64_t byte, const void *p, size_t len);

/* bow-show.c: what a salvage leaves, and why; counts it in *result. */
void chain_report(struct chain *c, FILE *to, unsigned int lines,
		  struct bow_salvage *result);

#endif
