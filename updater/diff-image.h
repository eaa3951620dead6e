/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A system image as memory: a file or block device, mapped for reading. Holes
 * of a file read as zeros. A medium that cannot be read ends the program with
 * a line that names the image.
 */
#ifndef BOWLINE_DIFF_IMAGE_H
#define BOWLINE_DIFF_IMAGE_H

#include <stdbool.h>
#include <stdint.h>

/* Bytes of an image that are not a hole. */
struct image_part {
	uint64_t from, to;
};

struct image {
	const char *path; /* the caller's */
	const uint8_t *bytes;
	uint64_t size;
	struct image_part *parts; /* by offset, apart from each other */
	uint32_t n_parts, parts_room;
};

/* 0, or -1 after error(). */
int image_open(struct image *image, const char *path);
/* Refuses an empty image, in the same way. */
int image_filled(const struct image *image);
/* The first byte from @at on that is in no hole, or the image's size. */
uint64_t image_data(const struct image *image, uint64_t at);
/* Bytes in no hole. */
uint64_t image_data_size(const struct image *image);
static inline bool image_hole(const struct image *image, uint64_t at,
			      uint64_t len)
{
	return image_data(image, at) >= at + len;
}

/* Not one that was never opened; a second time is allowed. */
void image_close(struct image *image);

/*
 * Bounds the memory of the process, as far as what is resident of the images
 * can: whoever reads them calls images_trim(), before every MiB and every place
 * elsewhere, also from several threads, which drops it if there are @most
 * bytes. It comes back when it is read; a byte may bring 2 MiB along, for that
 * is what the kernel maps at once. 0, or -1 after error().
 */
int images_limit(uint64_t most);
void images_trim(void);

#endif
