// SPDX-License-Identifier: GPL-2.0-only
#include "dm-update-cursor.h"
#include "dm-update-old.h"
#include "dm-update-stock.h"

void update_cursor_init(struct update_cursor *cursor,
			struct update_reader *reader, u64 at, u64 bytes)
{
	struct update_source *source = update_reader_source(reader);

	*cursor = (struct update_cursor){
		.reader = reader,
		.at = at,
		.end = at + bytes,
		.view = update_view_enter(&source->view),
		.next = update_source_find(source, at >> source->block_bits),
		.piece_end = at,
	};
}

/*
 * A chunk or a decoder, never both: others hold a decoder and wait for room, or
 * hold room and wait for a decoder.
 */
static void drop(struct update_cursor *cursor)
{
	if (cursor->data)
		update_chunk_put(cursor->reader, cursor->data);
	cursor->data = NULL;
	if (cursor->decoder)
		update_decoder_put(cursor->reader, cursor->decoder);
	cursor->decoder = NULL;
}

void update_cursor_exit(struct update_cursor *cursor)
{
	drop(cursor);
	update_view_leave(&update_reader_source(cursor->reader)->view,
			  cursor->view);
}

/* The byte of the image at which @piece, or what is asked of it, ends. */
static u64 end_of(const struct update_cursor *cursor,
		  const struct update_piece *piece)
{
	const struct update_source *source =
		update_reader_source(cursor->reader);

	return min((piece->block + piece->n) << source->block_bits,
		   cursor->end);
}

/* Goes to the piece of byte cursor->at. */
static void enter(struct update_cursor *cursor)
{
	update_source_piece(update_reader_source(cursor->reader),
			    cursor->next++, &cursor->piece);
	cursor->piece_end = end_of(cursor, &cursor->piece);
}

/* Bytes between the beginning of the piece and cursor->at. */
static u64 into_piece(const struct update_cursor *cursor)
{
	const struct update_source *source =
		update_reader_source(cursor->reader);

	return cursor->at - (cursor->piece.block << source->block_bits);
}

/* ---- chunks ------------------------------------------------------------- */

static int hold(struct update_cursor *cursor)
{
	const struct update_ref *chunk = &cursor->piece.chunk;
	struct update_source *source = update_reader_source(cursor->reader);
	struct update_span span = update_source_span(source, cursor->next - 1,
						     cursor->at, cursor->end);
	struct update_want want = {
		.whole = cursor->whole,
		.view = cursor->view,
		.stock = cursor->stock,
	};
	const void *data;

	if (cursor->stock)
		update_stock_fill(cursor->stock, source, cursor->view,
				  cursor->next - 1);
	if (cursor->cached)
		data = update_chunk_try(cursor->reader, chunk, span)
			       ?: ERR_PTR(-EAGAIN);
	else
		data = update_chunk_get(cursor->reader, chunk, span, &want);
	if (IS_ERR(data))
		return PTR_ERR(data);
	cursor->data = data;
	cursor->ref = *chunk;
	return 0;
}

static int read_data(struct update_cursor *cursor, void *to, u32 n)
{
	int r = 0;

	if (!cursor->data || cursor->ref.key != cursor->piece.chunk.key) {
		drop(cursor);
		r = hold(cursor);
	}
	if (!r)
		memcpy(to, cursor->data + cursor->piece.at + into_piece(cursor),
		       n);
	return r;
}

/* ---- old bytes, and merged ones ----------------------------------------- */

/*
 * Old bytes @from on, for byte @at of the image on, into the buffer of a
 * decoder: as many as fit of those that will be asked for.
 */
static int fill_window(struct update_cursor *cursor, u32 view, u64 from, u64 at)
{
	struct update_source *source = update_reader_source(cursor->reader);
	u64 end = cursor->piece_end;
	u32 n;

	/* The old image may end where the new one does. */
	if (at < source->new_bytes)
		end = min(end, source->new_bytes);
	n = min_t(u64, end - at, source->chunk_bytes);
	drop(cursor);
	cursor->decoder = update_decoder_get(cursor->reader, NULL);
	cursor->old_at = at;
	cursor->old_end = at + n;
	return update_old_read(source, view, from, n, cursor->decoder->out);
}

/* Like update_old_read(), with @to anywhere. */
static int read_old(struct update_cursor *cursor, u32 view, u64 from, void *to,
		    u32 n)
{
	struct update_source *source = update_reader_source(cursor->reader);
	u64 at = cursor->at;
	u32 part;
	int r;

	if (cursor->cached)
		return -EAGAIN;
	if (cursor->room)
		return update_old_read(source, view, from, n, to);
	for (; n; n -= part, to += part, from += part, at += part) {
		if (!cursor->decoder || at < cursor->old_at ||
		    at >= cursor->old_end) {
			r = fill_window(cursor, view, from, at);
			if (r)
				return r;
		}
		part = min_t(u64, n, cursor->old_end - at);
		memcpy(to, cursor->decoder->out + (at - cursor->old_at), part);
	}
	return 0;
}

/* ---- all kinds ---------------------------------------------------------- */

/* Chunks of version 0 are as good afterwards as before. */
static bool is_merged(const struct update_cursor *cursor)
{
	return update_reader_source(cursor->reader)->version &&
	       update_piece_merged(&cursor->piece, cursor->view);
}

static int read_inside(struct update_cursor *cursor, void *to, u32 n)
{
	/* The system device has it, in the place where it was not begun. */
	if (is_merged(cursor))
		return read_old(cursor, UPDATE_NOT_BEGUN, cursor->at, to, n);
	switch (cursor->piece.kind) {
	case UPDATE_PIECE_ZERO:
		memset(to, 0, n);
		return 0;
	case UPDATE_PIECE_COPY:
		return read_old(cursor, cursor->view,
				cursor->piece.from + into_piece(cursor), to, n);
	case UPDATE_PIECE_DATA:
		return read_data(cursor, to, n);
	}
	return -EINVAL;
}

/*
 * Behind the end of the new image, in its last sector, are zeros: a chunk may
 * have there what another block has in that place.
 */
static int read_part(struct update_cursor *cursor, void *to, u32 n)
{
	const struct update_source *source =
		update_reader_source(cursor->reader);
	u64 left = source->new_bytes - min(source->new_bytes, cursor->at);
	u32 real = min_t(u64, n, left);
	int r = 0;

	if (real)
		r = read_inside(cursor, to, real);
	if (!r)
		memset(to + real, 0, n - real);
	return r;
}

int update_cursor_read(struct update_cursor *cursor, void *to, u32 n)
{
	u32 bytes;
	int r;

	for (; n; n -= bytes, to += bytes) {
		if (cursor->at == cursor->piece_end)
			enter(cursor);
		bytes = min_t(u64, n, cursor->piece_end - cursor->at);
		r = read_part(cursor, to, bytes);
		if (r)
			return r;
		cursor->at += bytes;
	}
	return 0;
}
