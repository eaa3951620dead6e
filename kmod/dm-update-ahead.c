// SPDX-License-Identifier: GPL-2.0-only
#include "dm-update-ahead.h"

#define CHUNKS_AHEAD 3
#define GAP_BLOCKS   1024 /* unchanged ones, that a reader in a row may cross */
#define NO_CHUNK     U64_MAX

/* The changed block that a reader comes to who has read up to @block. */
static u64 next_changed(const struct update_source *source, u64 block)
{
	return find_next_bit(source->changed,
			     min(source->n_blocks, block + GAP_BLOCKS), block);
}

void update_ahead_init(struct update_ahead *ahead, struct update_reader *reader)
{
	const struct update_source *source = update_reader_source(reader);
	u64 first = find_first_bit(source->changed, source->n_blocks);
	unsigned int i;

	ahead->reader = reader;
	spin_lock_init(&ahead->lock);
	for (i = 0; i < UPDATE_STREAMS; i++) {
		ahead->stream[i].next = first;
		ahead->stream[i].chunk = NO_CHUNK;
	}
}

/* The stream that goes on with @block, or the one unused for longest. */
static struct update_stream *find_stream(struct update_ahead *ahead, u64 block)
{
	struct update_stream *oldest = ahead->stream, *stream;

	for (stream = ahead->stream; stream < ahead->stream + UPDATE_STREAMS;
	     stream++) {
		if (stream->next == block)
			return stream;
		if (stream->used < oldest->used)
			oldest = stream;
	}
	return oldest;
}

/* Returns the piece from which on to read ahead, or n_pieces. */
static u32 note(struct update_ahead *ahead, u64 block, u64 end, bool *in_row)
{
	const struct update_source *source =
		update_reader_source(ahead->reader);
	u32 last = update_source_find(source, end - 1);
	struct update_stream *stream;
	struct update_piece piece;

	update_source_piece(source, last, &piece);
	if (piece.kind != UPDATE_PIECE_DATA)
		piece.chunk.key = NO_CHUNK;
	spin_lock(&ahead->lock);
	stream = find_stream(ahead, block);
	*in_row = stream->next == block;
	if (*in_row && stream->chunk == piece.chunk.key)
		last = source->n_pieces;
	stream->next = next_changed(source, end);
	stream->chunk = *in_row ? piece.chunk.key : NO_CHUNK;
	stream->used = ++ahead->clock;
	spin_unlock(&ahead->lock);
	return last;
}

/* Begins with chunks behind piece @i, as long as they begin before @end. */
static void begin_chunks(struct update_ahead *ahead, u32 i, u64 end)
{
	const struct update_source *source =
		update_reader_source(ahead->reader);
	struct update_piece piece;
	unsigned int n;

	for (n = 0; n < CHUNKS_AHEAD && i < source->n_pieces; n++) {
		i = update_source_next_chunk(source, i);
		if (i == source->n_pieces)
			break;
		update_source_piece(source, i, &piece);
		if (piece.block >= end)
			break;
		if (test_bit(piece.block, source->changed))
			update_chunk_ahead(ahead->reader, &piece.chunk);
	}
}

bool update_ahead_note(struct update_ahead *ahead, u64 block, u64 end)
{
	bool in_row;
	u32 i = note(ahead, block, end, &in_row);

	if (in_row)
		begin_chunks(ahead, i, U64_MAX);
	return in_row;
}

void update_ahead_inside(struct update_ahead *ahead, u64 block, u64 end)
{
	const struct update_source *source =
		update_reader_source(ahead->reader);

	begin_chunks(ahead, update_source_find(source, block), end);
}
