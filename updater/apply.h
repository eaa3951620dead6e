/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Update diffs of format 1 applied in user space: to another file, in place by
 * the durable order that the kernel target keeps to, or only proven. The kernel
 * target's twin, and its oracle in the tests. Calls return 0, or -1 after
 * error().
 */
#ifndef BOWLINE_APPLY_H
#define BOWLINE_APPLY_H

#include "io.h"
#include "v1.h"

/* @old holds the old image of the diff: by its SHA-256. */
int apply_base(const struct v1_reader *rd, struct dev *old);

/*
 * Writes the new image to @image, which has its size, or only looks whether it
 * would be the new image, with @image NULL.
 */
int apply_to(struct v1_reader *rd, struct dev *old, struct dev *image);

/*
 * Makes @system the new image. Progress and save area are on @stage from byte
 * @at on: begun, or gone on with, by what the records there say. Nothing is
 * written if @system is neither the old image nor one that was left half way.
 */
int apply_in_place(struct v1_reader *rd, struct dev *system, struct dev *stage,
		   uint64_t at);

/* The order of the merge in place is right, whenever it is cut. */
int apply_check_order(struct v1_reader *rd);

#endif
