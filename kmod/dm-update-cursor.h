/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Goes through changed blocks of the new image and gives their contents.
 *
 *	update_cursor_init(&cursor, reader, byte, bytes);
 *	r = update_cursor_read(&cursor, to, n);		as often as needed
 *	update_cursor_exit(&cursor);
 *
 * All the blocks from @byte on, @bytes long, must have pieces.
 */
#ifndef BOWLINE_DM_UPDATE_CURSOR_H
#define BOWLINE_DM_UPDATE_CURSOR_H

#include "dm-update-chunk.h"

struct update_cursor {
	struct update_reader *reader;
	u64 at;	 /* byte of the image that comes next */
	u64 end; /* no byte from here on will be asked for */
	/* For the caller to set: */
	bool cached; /* only what is there without waiting */
	bool whole;  /* more of the chunks will be wanted soon */
	bool room;   /* @to is kvmalloc'ed, with update_old_room() behind it */
	struct update_stock *stock; /* of a reader of a row; or NULL */
	/* Private: */
	u32 view;
	u32 next; /* piece behind this one */
	struct update_piece piece;
	u64 piece_end;			/* byte of the image */
	struct update_ref ref;		/* of the chunk that is held */
	const void *data;		/* NULL: no chunk is held */
	struct update_decoder *decoder; /* holds old bytes, or NULL: none */
	u64 old_at;			/* bytes of the image that they are */
	u64 old_end;
};

void update_cursor_init(struct update_cursor *cursor,
			struct update_reader *reader, u64 at, u64 bytes);
/*
 * Returns 0, or the error of a chunk or of the I/O, or with cursor.cached
 * -EAGAIN if it would have to wait. Sleeps only without cursor.cached.
 */
int update_cursor_read(struct update_cursor *cursor, void *to, u32 n);
void update_cursor_exit(struct update_cursor *cursor);

#endif
