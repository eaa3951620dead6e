/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One block of the bow log, in memory: build it, append to it, judge it. Pure:
 * no I/O, no allocation. docs/FORMAT.md is the prose.
 *
 * The tail. The last 4 bytes of a block that we wrote hold the CRC-32C of the
 * bytes before them, taken with every byte after the last entry as zero; a
 * published writer leaves zero there. It proves which entries belong to the
 * block even when header and tail come from two different writes, as after a
 * power cut on a device whose atomic unit is smaller than the block. There the
 * header carries sums too, which prove a state when the tail cannot.
 */
#ifndef DM_BOW_LOG_H
#define DM_BOW_LOG_H

#include "plat.h"
#include "bowline-format.h"

#define BOW_BLOCK_MIN 512
#define BOW_BLOCK_MAX 4096
#define BOW_HEAD      512 /* bytes that hold the whole header, for any block */

/* An entry in the machine's own byte order. */
struct bow_step {
	u64 source; /* sectors */
	u64 dest;
	u32 size; /* bytes */
	u32 checksum;
};

enum bow_tail {
	BOW_TAIL_NONE,	/* no checksum: written by the published target */
	BOW_TAIL_WHOLE, /* header, entries and tail of one write */
	BOW_TAIL_TORN,	/* of two writes; count and sector0 are the newer's */
	BOW_TAIL_OTHER, /* none of these: see bow_log_tail() */
};

struct bow_log {
	const u8 *block; /* set by bow_log_block(), not owned */
	u32 magic;
	u32 block_size;
	u32 header_size;
	u32 count; /* 0: a commit was cut short */
	u32 sequence;
	u64 sector0;
	u64 sectors; /* of the device */
	enum bow_tail tail;
};

/* ---- reading ------------------------------------------------------------ */

/* Does a device whose first 512 bytes these are carry a log? */
bool bow_log_is(const void *head);

/*
 * Reads the header from the first BOW_HEAD bytes of a block on a device of so
 * many sectors. 0, or -EINVAL with *why saying what does not add up.
 */
int bow_log_header(struct bow_log *log, const void *head, u64 sectors,
		   const char **why);

/*
 * Goes on with the whole block, which must stay: judges the tail, and with it
 * settles count and sector0. Nothing about single entries is known yet.
 */
void bow_log_block(struct bow_log *log, const void *block);

/*
 * Judges a block with sums and BOW_TAIL_OTHER once more, by what lay there
 * before it began, which entry 0 names: only the head of a block is written
 * when it begins, and a cut of the write with the next entries may leave any
 * sectors behind it as they were. True: so it is, and block is what had been
 * added before. Overwrites before; both have the size of the block.
 */
bool bow_log_over(struct bow_log *log, void *block, void *before);

/* The bytes in the place of the tail. */
u32 bow_log_tail(const struct bow_log *log, const void *block);

/* Entry i, below count. */
void bow_log_entry(const struct bow_log *log, u32 i, struct bow_step *step);

/* NULL, or what is wrong with entry i whatever its data is. */
const char *bow_log_check(const struct bow_log *log, u32 i,
			  const struct bow_step *step);

/* ---- building ----------------------------------------------------------- */

/* Entries that fit into a block of this size. */
u32 bow_log_capacity(u32 block_size, u32 header_size);

/*
 * The first block of a log: its one entry says where block 0 was saved.
 * header_size: BOW_HEADER_LONG where a cut can tear the block, else
 * BOW_HEADER_SIZE.
 */
void bow_log_start(void *block, u32 block_size, u32 header_size, u64 sector0,
		   const struct bow_step *first);

/* Turns a full block, a copy of which is at dest, into the next one. */
void bow_log_roll(void *block, u64 dest, u32 checksum);

/* The block is durable as it is: a cut of the next write leads back here. */
void bow_log_mark(void *block);

/* -ENOSPC when the block is full. Not sealed: bow_log_seal() after the last. */
int bow_log_add(void *block, const struct bow_step *step);
/* The same, sealed. */
int bow_log_append(void *block, const struct bow_step *step);

/* The live copy of block 0 moves; -ENOSPC when the block is full. */
int bow_log_move(void *block, u64 dest);

/* From here there is only forward: count becomes 0. */
void bow_log_close(void *block);

/* Puts the tail right after any change. */
void bow_log_seal(void *block);

u32 bow_log_room(const void *block); /* entries that still fit */

/* The checksum of an entry's data: len bytes that were at this sector. */
u32 bow_checksum(u64 source, u32 block_size, const void *data, size_t len);

#endif
