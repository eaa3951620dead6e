// SPDX-License-Identifier: GPL-2.0-or-later
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "err.h"
#include "io.h"
#include "../kmod/bowline-format.h"

struct dev {
	int fd;
	uint64_t size;
	unsigned int sector;
	char name[];
};

static int measure(struct dev *dev)
{
	struct stat st;
	int sector = BOWLINE_SECTOR;

	if (fstat(dev->fd, &st))
		return error_errno("cannot examine '%s'", dev->name);
	if (S_ISREG(st.st_mode)) {
		dev->size = st.st_size;
	} else if (!S_ISBLK(st.st_mode)) {
		return error("'%s' is neither a block device nor a file",
			     dev->name);
	} else if (ioctl(dev->fd, BLKGETSIZE64, &dev->size) ||
		   ioctl(dev->fd, BLKSSZGET, &sector)) {
		return error_errno("cannot measure '%s'", dev->name);
	}
	dev->sector = sector;
	return 0;
}

static struct dev *real_open(const char *path, enum dev_mode mode)
{
	struct dev *dev = malloc(sizeof(*dev) + strlen(path) + 1);
	int flags = O_CLOEXEC | (mode == DEV_READ ? O_RDONLY : O_RDWR);
	struct stat st;

	if (!dev) {
		error("out of memory opening '%s'", path);
		return NULL;
	}
	strcpy(dev->name, path);
	if (mode == DEV_WRITE && !stat(path, &st) && S_ISBLK(st.st_mode))
		flags |= O_EXCL;
	dev->fd = open(path, flags);
	if (dev->fd < 0) {
		if (errno == EBUSY)
			error("'%s' is in use: unmount it first", path);
		else
			error_errno("cannot open '%s'", path);
		goto free_dev;
	}
	if (measure(dev))
		goto close_fd;
	return dev;

close_fd:
	close(dev->fd);
free_dev:
	free(dev);
	return NULL;
}

static int real_read(struct dev *dev, uint64_t offset, void *buf, size_t len)
{
	char *p = buf;

	while (len) {
		ssize_t n = pread(dev->fd, p, len, offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_errno("cannot read '%s' at byte %llu",
					   dev->name,
					   (unsigned long long)offset);
		if (!n)
			return error("'%s' ended at byte %llu", dev->name,
				     (unsigned long long)offset);
		p += n;
		offset += n;
		len -= n;
	}
	return 0;
}

static int real_write(struct dev *dev, uint64_t offset, const void *buf,
		      size_t len)
{
	const char *p = buf;

	while (len) {
		ssize_t n = pwrite(dev->fd, p, len, offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return error_errno("cannot write '%s' at byte %llu",
					   dev->name,
					   (unsigned long long)offset);
		p += n;
		offset += n;
		len -= n;
	}
	return 0;
}

static int real_flush(struct dev *dev)
{
	if (fsync(dev->fd))
		return error_errno("cannot flush '%s'", dev->name);
	return 0;
}

static int real_drop_cache(struct dev *dev)
{
	int err = posix_fadvise(dev->fd, 0, 0, POSIX_FADV_DONTNEED);

	/* Whoever asks for the medium reads it front to back. */
	if (!err)
		err = posix_fadvise(dev->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	if (err) {
		errno = err;
		return error_errno("cannot drop the cache of '%s'", dev->name);
	}
	return 0;
}

static uint64_t real_size(struct dev *dev)
{
	return dev->size;
}

static const char *real_name(struct dev *dev)
{
	return dev->name;
}

static unsigned int real_sector(struct dev *dev)
{
	return dev->sector;
}

static void real_close(struct dev *dev)
{
	close(dev->fd);
	free(dev);
}

const struct io_ops io_real = {
	.open = real_open,
	.read = real_read,
	.write = real_write,
	.flush = real_flush,
	.drop_cache = real_drop_cache,
	.size = real_size,
	.name = real_name,
	.sector = real_sector,
	.close = real_close,
};

const struct io_ops *io = &io_real;

static int in_range(struct dev *dev, const char *what, uint64_t offset,
		    size_t len)
{
	uint64_t size = dev_size(dev);

	if (offset > size || len > size - offset)
		return error("'%s' is too small: %s of %zu bytes at byte %llu, "
			     "it has %llu",
			     dev_name(dev), what, len,
			     (unsigned long long)offset,
			     (unsigned long long)size);
	return 0;
}

struct dev *dev_open(const char *path, enum dev_mode mode)
{
	return io->open(path, mode);
}

int dev_read(struct dev *dev, uint64_t offset, void *buf, size_t len)
{
	if (in_range(dev, "read", offset, len))
		return -1;
	return io->read(dev, offset, buf, len);
}

int dev_write(struct dev *dev, uint64_t offset, const void *buf, size_t len)
{
	if (in_range(dev, "write", offset, len))
		return -1;
	return io->write(dev, offset, buf, len);
}

int dev_flush(struct dev *dev)
{
	return io->flush(dev);
}

int dev_drop_cache(struct dev *dev)
{
	return io->drop_cache(dev);
}

uint64_t dev_size(struct dev *dev)
{
	return io->size(dev);
}

const char *dev_name(struct dev *dev)
{
	return io->name(dev);
}

unsigned int dev_sector(struct dev *dev)
{
	return io->sector(dev);
}

void dev_close(struct dev *dev)
{
	if (dev)
		io->close(dev);
}
