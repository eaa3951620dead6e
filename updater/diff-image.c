// SPDX-License-Identifier: GPL-2.0-or-later
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "diff-image.h"
#include "err.h"
#include "io.h"

#define IMAGES	   2
#define LEAST_HOLE 4096 /* bytes; a smaller one is not worth a question */

/* The images that are open, for the handler. */
static struct image *opened[IMAGES];

static int inside(const struct image *image, const uint8_t *at)
{
	return at >= image->bytes && at < image->bytes + image->size;
}

/*
 * A page of an image could not be read, or the file was cut short meanwhile.
 * The result, still under its other name, is left behind: nothing here may
 * find out that name.
 */
static void cannot_read(int signal, siginfo_t *info, void *context)
{
	static const char text[] = "bowline: cannot read image '";

	(void)context;
	for (int i = 0; i < IMAGES; i++) {
		const struct image *image = opened[i];

		if (!image || !inside(image, info->si_addr))
			continue;
		if (write(STDERR_FILENO, text, sizeof(text) - 1) < 0 ||
		    write(STDERR_FILENO, image->path, strlen(image->path)) <
			    0 ||
		    write(STDERR_FILENO, "'\n", 2) < 0)
			_exit(1);
		_exit(1);
	}
	_exit(128 + signal);
}

static void remember(struct image *image)
{
	const struct sigaction action = { .sa_sigaction = cannot_read,
					  .sa_flags = SA_SIGINFO };

	opened[opened[0] != NULL] = image;
	sigaction(SIGBUS, &action, NULL);
}

/* The size is what the seam says: the same for files and block devices. */
static int size_of(struct image *image)
{
	struct dev *dev = dev_open(image->path, DEV_READ);

	if (!dev)
		return -1;
	image->size = dev_size(dev);
	dev_close(dev);
	return 0;
}

/* ---- holes --------------------------------------------------------------- */

static int add_part(struct image *image, uint64_t from, uint64_t to)
{
	struct image_part *last = &image->parts[image->n_parts], *more;

	if (image->n_parts && from - last[-1].to < LEAST_HOLE) {
		last[-1].to = to;
		return 0;
	}
	if (image->n_parts == image->parts_room) {
		image->parts_room = 2 * image->parts_room + 16;
		more = reallocarray(image->parts, image->parts_room,
				    sizeof(*more));
		if (!more)
			return error("out of memory for the holes of '%s'",
				     image->path);
		image->parts = more;
	}
	image->parts[image->n_parts++] = (struct image_part){ from, to };
	return 0;
}

/* A file system, or a device, that knows nothing of holes has none. */
static int find_parts(struct image *image, int fd)
{
	uint64_t at = 0, size = image->size;

	while (at < size) {
		off_t from = lseek(fd, at, SEEK_DATA), to;

		if (from < 0 && errno == ENXIO)
			break;
		to = from < 0 ? -1 : lseek(fd, from, SEEK_HOLE);
		if (to < 0)
			return add_part(image, at, size);
		at = (uint64_t)to < size ? (uint64_t)to : size;
		if (add_part(image, from, at))
			return -1;
	}
	return 0;
}

/* The first part that ends behind @at, or n_parts. */
static uint32_t part_behind(const struct image *image, uint64_t at)
{
	uint32_t from = 0, to = image->n_parts;

	while (from < to) {
		uint32_t middle = (from + to) / 2;

		if (image->parts[middle].to > at)
			to = middle;
		else
			from = middle + 1;
	}
	return from;
}

uint64_t image_data(const struct image *image, uint64_t at)
{
	uint32_t i = part_behind(image, at);

	if (i == image->n_parts)
		return image->size;
	return image->parts[i].from > at ? image->parts[i].from : at;
}

uint64_t image_data_size(const struct image *image)
{
	uint64_t size = 0;

	for (uint32_t i = 0; i < image->n_parts; i++)
		size += image->parts[i].to - image->parts[i].from;
	return size;
}

/* ---- the image ----------------------------------------------------------- */

static int map(struct image *image, int fd)
{
	void *bytes = mmap(NULL, image->size, PROT_READ, MAP_SHARED, fd, 0);

	if (bytes == MAP_FAILED)
		return error_errno("cannot map '%s'", image->path);
	image->bytes = bytes;
	remember(image);
	return find_parts(image, fd);
}

int image_open(struct image *image, const char *path)
{
	int fd, r;

	*image = (struct image){ .path = path };
	if (size_of(image))
		return -1;
	if (!image->size)
		return 0;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return error_errno("cannot open '%s'", path);
	r = map(image, fd);
	close(fd);
	return r;
}

int image_filled(const struct image *image)
{
	return image->size ? 0 : error("'%s' is empty", image->path);
}

void image_close(struct image *image)
{
	for (int i = 0; i < IMAGES; i++)
		if (opened[i] == image)
			opened[i] = NULL;
	if (image->bytes)
		munmap((void *)image->bytes, image->size);
	image->bytes = NULL;
	free(image->parts);
	image->parts = NULL;
	image->n_parts = image->parts_room = 0;
}

/* ---- memory -------------------------------------------------------------- */

static struct {
	uint64_t most; /* pages, 0 = any */
	int statm;
} limit;

int images_limit(uint64_t most)
{
	limit.statm = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	if (limit.statm < 0)
		return error_errno("cannot open '/proc/self/statm'");
	limit.most = most / sysconf(_SC_PAGESIZE);
	return 0;
}

void images_trim(void)
{
	unsigned long long resident = 0;
	char text[128] = "";

	if (!limit.most)
		return;
	if (pread(limit.statm, text, sizeof(text) - 1, 0) > 0)
		sscanf(text, "%*u %llu", &resident);
	if (resident <= limit.most)
		return;
	for (int i = 0; i < IMAGES; i++)
		if (opened[i])
			madvise((void *)opened[i]->bytes, opened[i]->size,
				MADV_DONTNEED);
}
