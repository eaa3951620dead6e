/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The durable progress of a merge: two records on a device, which the table
 * names; behind them, for format version 1, the save area.
 */
#ifndef BOWLINE_DM_UPDATE_STORE_H
#define BOWLINE_DM_UPDATE_STORE_H

#include "dm-update-source.h"

/* Checks the place and takes memory; reads nothing. -EINVAL or -ENOMEM. */
int update_store_init(struct update_source *source, const char **why);
void update_store_exit(struct update_source *source);

/* Fills store.progress with what the records say. An error of the I/O. */
int update_store_load(struct update_source *source);
/*
 * Makes it durable that @done epochs are merged; before, if @saved, what was
 * written to the save area. What was written to the system device has to be
 * durable already.
 */
int update_store_write(struct update_source *source, u32 done, bool saved);

#endif
