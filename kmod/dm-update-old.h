/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Reads bytes of the old image, which lie in the system device or, when the
 * merge has overwritten them, in the save area.
 */
#ifndef BOWLINE_DM_UPDATE_OLD_H
#define BOWLINE_DM_UPDATE_OLD_H

#include "dm-update-decode.h"

/* So many parts of prefixes are read at once, and more in turns. */
#define UPDATE_PARTS UPDATE1_MAX_RANGES

/* A run of bytes of a prefix. */
struct update_part {
	struct block_device *bdev;
	u64 at;
	u32 len;
	u32 piece;
	u32 to;	     /* byte of the piece's prefix */
	void *found; /* when its read has begun, in decoder->out */
};

/*
 * Where the old bytes at @from are in view @view: returns the device and sets
 * *at, the byte of it. *len: how many are asked for, and are there together.
 */
struct block_device *update_old_find(const struct update_source *source,
				     u32 view, u64 from, u32 *len, u64 *at);
/* What update_old_read() needs of memory to read @len bytes. */
size_t update_old_room(const struct update_source *source, u32 len);
/*
 * Reads @len old bytes at @from, in view @view, to @to, the beginning of a
 * sector in a kvmalloc'ed buffer of which update_old_room(len) bytes may be
 * used.
 */
int update_old_read(struct update_source *source, u32 view, u64 from, u32 len,
		    void *to);
/*
 * The prefixes of the pieces from @first to before @end of decoder->chunk, into
 * their frames. @stock: may have some of them; or NULL.
 */
int update_old_prefixes(struct update_source *source,
			struct update_decoder *decoder, u32 first, u32 end,
			u32 view, const struct update_stock *stock);

#endif
