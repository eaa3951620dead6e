/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the updater does to the running machine, as against what it writes
 * durably: device-mapper devices, mounts, the watchdog, a reboot. A test puts
 * its own struct machine here. Calls return 0, or -1 after error().
 */
#ifndef BOWLINE_MACHINE_H
#define BOWLINE_MACHINE_H

#include <stdbool.h>
#include <stdint.h>

#include "board.h"
#include "dm.h"
#include "stage.h"

enum system_mode {
	SYSTEM_PLAIN, /* the system partition */
	SYSTEM_TRIAL, /* the update over it, nothing is written to it */
	SYSTEM_MERGE, /* the update over it, being copied into it */
};

struct system_table {
	struct dm_table dm;
	char params[2 * BOARD_VALUE_MAX + 96]; /* dm.params points here */
};

/*
 * Pure: what the root device becomes in a mode: the system partition, which has
 * so many sectors, or the image of an update. An update of the kernel alone has
 * no image: then it is the partition in every mode.
 */
void machine_system_table(struct system_table *table, const struct board *board,
			  const struct stage_record *rec, uint64_t sectors,
			  enum system_mode mode);

/* What the update target says of its merge. */
struct merge_status {
	bool exists;	      /* else there is no update under the root */
	uint64_t done, total; /* blocks; equal = finished and durable */
	char phase[16];	      /* "running", "paused", "failed", ... */
	uint64_t errors;
	char reason[32]; /* of a failure, else "-" */
};

/* Pure: reads the status line. */
int machine_merge_status(struct merge_status *status, const char *line);

struct bow_table {
	struct dm_table dm;
	char params[BOARD_VALUE_MAX + 96]; /* dm.params points here */
	unsigned int block_size;
};

/*
 * Pure: what the data device becomes in a trial. logical: the size of its own
 * blocks in bytes. The block size is the board's where it fits the device, or
 * the largest that does.
 */
void machine_bow_table(struct bow_table *table, const struct board *board,
		       uint64_t sectors, unsigned int logical);

/* What the record says when a trial has no way back for its data any more. */
#define ROOM_RELEASED "data not restored: no room"

/* What the bow target says of itself. */
struct bow_status {
	bool exists;
	unsigned int state;
	uint64_t free, backed_up, logs, errors;
	char space[16]; /* "ok", "low", "full", "released" */
};

/* Pure: reads the status line; space is "ok" where the target has no word. */
int machine_bow_status(struct bow_status *status, const char *line);

struct machine {
	/* Makes the root device and mounts it read-only at sysroot. */
	int (*mount_system)(const struct board *board,
			    const struct stage_record *rec,
			    enum system_mode mode, const char *sysroot);
	/* Mounts data at sysroot + DATA_MOUNT; bow: under a new log. */
	int (*mount_data)(const struct board *board, const char *sysroot,
			  bool bow);
	/* Puts another table under the root device, in use as it is. */
	int (*swap_system)(const struct board *board,
			   const struct stage_record *rec,
			   enum system_mode mode);
	/*
	 * Checks and mends the file system of DATA, which is not mounted, with
	 * the tools of the system mounted at sysroot. Says what came of it.
	 */
	int (*check_data)(const struct board *board, const char *sysroot);
	/* Of the data device; exists: false when no bow target is there. */
	int (*bow_status)(struct bow_status *status);
	/* Gives up the way back: the log of the data device goes. */
	int (*release_data)(void);
	/* Of the root device. */
	int (*merge_status)(struct merge_status *status);
	int (*arm_watchdog)(const struct board *board);
	bool (*watchdog_fired)(const struct board *board);
	/* Does not return on a real machine. */
	int (*reboot)(void);
};

extern const struct machine *machine; /* machine_real outside of tests */
extern const struct machine machine_real;

#endif
