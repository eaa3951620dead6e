/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The seam. Every byte the updater writes durably to a device or an image
 * file goes through these calls, so that a test can put its own struct io_ops
 * here and cut the power at every write and flush.
 *
 * Offsets and lengths are bytes. Calls return 0, or -1 after error() has said
 * what failed, with the name of the device. A dev may be a block device or a
 * regular file; its size never changes through these calls.
 */
#ifndef BOWLINE_IO_H
#define BOWLINE_IO_H

#include <stddef.h>
#include <stdint.h>

struct dev; /* owned by the ops that opened it */

enum dev_mode {
	DEV_READ,  /* read only */
	DEV_WRITE, /* read and write; O_EXCL on a block device: not in use */
	DEV_SHARED /* read and write, though somebody else has it open */
};

struct io_ops {
	struct dev *(*open)(const char *path, enum dev_mode mode);
	int (*read)(struct dev *dev, uint64_t offset, void *buf, size_t len);
	int (*write)(struct dev *dev, uint64_t offset, const void *buf,
		     size_t len);
	/* All completed writes are durable when this returns 0. */
	int (*flush)(struct dev *dev);
	/* Forget cached data, so that the next read comes from the medium. */
	int (*drop_cache)(struct dev *dev);
	uint64_t (*size)(struct dev *dev);
	const char *(*name)(struct dev *dev);
	/* 512 or 4096: the unit the medium writes atomically. */
	unsigned int (*sector)(struct dev *dev);
	void (*close)(struct dev *dev);
};

extern const struct io_ops *io; /* io_real unless a test put another here */
extern const struct io_ops io_real;

/* NULL after error(); a reading or writing past the end is an error. */
struct dev *dev_open(const char *path, enum dev_mode mode);
int dev_read(struct dev *dev, uint64_t offset, void *buf, size_t len);
int dev_write(struct dev *dev, uint64_t offset, const void *buf, size_t len);
int dev_flush(struct dev *dev);
int dev_drop_cache(struct dev *dev);
uint64_t dev_size(struct dev *dev);
const char *dev_name(struct dev *dev);
unsigned int dev_sector(struct dev *dev);
void dev_close(struct dev *dev); /* NULL is allowed */

#endif
