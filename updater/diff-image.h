/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A system image as memory: a file or block device, mapped for reading. Holes
 * of a file read as zeros. A medium that cannot be read ends the program with
 * a line that names the image.
 */
#ifndef BOWLINE_DIFF_IMAGE_H
#define BOWLINE_DIFF_IMAGE_H

#include <stdint.h>

struct image {
	const char *path; /* the caller's */
	const uint8_t *bytes;
	uint64_t size;
};

/* 0, or -1 after error(); an empty image is refused. */
int image_open(struct image *image, const char *path);
/* Not one that was never opened; a second time is allowed. */
void image_close(struct image *image);

#endif
