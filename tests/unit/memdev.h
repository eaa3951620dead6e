/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A device in memory behind the seam of io.h, whose power can be cut. What was
 * written since the last flush is lost, kept or torn sector by sector at a
 * cut, as dice fall.
 */
#ifndef BOWLINE_MEMDEV_H
#define BOWLINE_MEMDEV_H

#include <stdbool.h>
#include <stdint.h>

#include "../../updater/io.h"

extern const struct io_ops memdev_ops;

/* A copy of size bytes; sector is what the medium writes as one. */
struct dev *memdev_new(const void *data, uint64_t size, unsigned int sector);
void memdev_free(struct dev *dev);

/* The n-th write or flush from now, counted from 1, does not return: it and
 * all calls after it fail. 0: never. */
void memdev_cut(struct dev *dev, unsigned int n);
bool memdev_is_cut(struct dev *dev);
/* Power comes back. */
void memdev_reboot(struct dev *dev, unsigned int dice);

unsigned int memdev_ops_done(struct dev *dev); /* writes and flushes */
unsigned int memdev_flushes(struct dev *dev);
uint8_t *memdev_data(struct dev *dev);
/* What was put into memdev_data() is durable. */
void memdev_settle(struct dev *dev);

/* Runs without what the code under test has to say on standard error. */
void memdev_quiet(void);

#endif
