/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The stage: where an update waits.
 *
 *   byte 0      record, copy 0   (4 KiB each; the valid one with the higher
 *   byte 4096   record, copy 1    sequence counts, a write goes to the other)
 *   64 KiB      the head of the bundle: header, manifest, signature
 *   2 MiB       the diff, byte for byte as in the bundle, and behind it the
 *               records of its merge and the save area
 *
 * The record is the second copy of the decision (docs/STATES.md) and says what
 * is true of the disks: whether the staged update may be half merged into the
 * system partition. All of it is little-endian with a CRC-32C, see
 * docs/FORMAT.md.
 */
#ifndef BOWLINE_STAGE_H
#define BOWLINE_STAGE_H

#include <stdint.h>

#include "env.h"
#include "io.h"

#define STAGE_RECORD_SIZE 4096
#define STAGE_HEAD	  (64u << 10)
#define STAGE_HEAD_MAX	  ((2u << 20) - STAGE_HEAD)
#define STAGE_PAYLOAD	  (2u << 20)

enum stage_phase {
	STAGE_EMPTY,  /* nothing staged, or done with */
	STAGE_TRIAL,  /* staged whole; the system partition is untouched */
	STAGE_COMMIT, /* decided: the system partition may be half merged */
};

struct stage_record {
	enum stage_phase phase;
	char id[UPDATE_ID_LEN + 1];
	char base;	  /* the slot that was running at install */
	uint64_t payload; /* bytes of the diff at STAGE_PAYLOAD */
	uint64_t image;	  /* bytes of the new system image */
	uint32_t attempt; /* the last attempt the initramfs saw, 0 = none */
	char reason[64];  /* why the last attempt ended, or "" */
	uint64_t
		progress; /* byte where the merge keeps its records, 0 = none */
};

/*
 * Reads the newest valid record; none valid = STAGE_EMPTY with id "". 0, or -1
 * after error() when the device cannot be read.
 */
int stage_read(struct dev *stage, struct stage_record *rec);

/*
 * Writes the record over the older copy and flushes; power lost inside leaves
 * the newer old copy. Everything the record vouches for must be flushed first.
 */
int stage_write(struct dev *stage, const struct stage_record *rec);
/* The same to the stage at path, which others may have open. */
int stage_note(const char *path, const struct stage_record *rec);

#endif
