/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reading an update diff of format 1 in user space: the pure parts of
 * kmod/dm-update-v1.h with a device, memory and zstd. Calls return 0, or -1
 * after error().
 */
#ifndef BOWLINE_V1_H
#define BOWLINE_V1_H

#include <stdbool.h>

#include "io.h"
#include "../kmod/dm-update-v1.h"

/* Where the old image is, when @done epochs are merged. */
struct v1_old {
	struct dev *system;
	struct dev *stage; /* with the records; NULL: nothing is merged */
	uint64_t at;	   /* of the first record */
	uint32_t done;	   /* or UPDATE1_NOT_BEGUN */
};

struct v1_reader {
	struct dev *dev;
	struct update1_dir dir;
	struct ZSTD_DCtx_s *zstd;
	struct update1_chunk chunk; /* that at loaded */
	uint64_t loaded;	    /* byte of the file; 0: none */
	bool ready;		    /* and it is decoded */
	uint8_t *stored;	    /* the chunk as in the file */
	uint8_t *frame;
	uint8_t *decoded; /* prefix and chunk */
};

/* 0, 1, or -1 after error(): the format of the diff. */
int v1_format(struct dev *dev);

/* Reads superblock and directory; @dev stays the caller's. */
int v1_open(struct v1_reader *rd, struct dev *dev);
void v1_close(struct v1_reader *rd);

/* The header of the chunk of @e, into rd->chunk. */
int v1_chunk(struct v1_reader *rd, const struct update1_extent *e);

/* @len bytes of extent @e from its byte @at on. */
int v1_read(struct v1_reader *rd, const struct v1_old *old,
	    const struct update1_extent *e, uint64_t at, void *to, size_t len);

#endif
