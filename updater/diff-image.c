// SPDX-License-Identifier: GPL-2.0-or-later
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "diff-image.h"
#include "err.h"
#include "io.h"

#define IMAGES 2

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
	if (!image->size)
		return error("'%s' is empty", image->path);
	return 0;
}

int image_open(struct image *image, const char *path)
{
	void *bytes;
	int fd;

	*image = (struct image){ .path = path };
	if (size_of(image))
		return -1;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return error_errno("cannot open '%s'", path);
	bytes = mmap(NULL, image->size, PROT_READ, MAP_SHARED, fd, 0);
	close(fd);
	if (bytes == MAP_FAILED)
		return error_errno("cannot map '%s'", path);
	image->bytes = bytes;
	remember(image);
	return 0;
}

void image_close(struct image *image)
{
	for (int i = 0; i < IMAGES; i++)
		if (opened[i] == image)
			opened[i] = NULL;
	if (image->bytes)
		munmap((void *)image->bytes, image->size);
	image->bytes = NULL;
}
