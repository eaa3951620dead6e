/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Device-mapper devices, through libdevmapper. Every device here has one
 * target that starts at sector 0. Sizes are in sectors of 512 bytes. Calls
 * return 0, or -1 after error().
 */
#ifndef BOWLINE_DM_H
#define BOWLINE_DM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DM_SYSTEM "bowline-system" /* the root: update or linear */
#define DM_STAGE  "bowline-stage"  /* the payload on the stage: linear */
#define DM_DATA	  "bowline-data"   /* in a trial: bow */

struct dm_table {
	const char *target;
	uint64_t sectors;
	const char *params;
	bool read_only;
};

struct dm_state {
	bool exists;
	char target[32];
	char status[256]; /* the target's status line, cut if longer */
	unsigned int major, minor;
};

/* Whether the running kernel knows the target; an error line when not. */
int dm_require(const char *target);
int dm_make(const char *name, const struct dm_table *table);
/* Puts another table under a device in use: load, suspend, resume. */
int dm_swap(const char *name, const struct dm_table *table);
int dm_drop(const char *name);
/* No such device is not an error: exists = false. */
int dm_look(const char *name, struct dm_state *state);

#endif
