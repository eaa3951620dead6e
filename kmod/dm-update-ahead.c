// SPDX-License-Identifier: GPL-2.0-only
#include "dm-update-ahead.h"

#define CHUNKS_AHEAD 3
#define PATIENCE     msecs_to_jiffies(20) /* with those who follow */
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
	u64 chunk = max(source->chunk_bytes >> source->block_bits, 1u);
	unsigned int i, slots = update_reader_slots(reader);

	ahead->reader = reader;
	ahead->lead = max(slots / 8, 1u) * chunk;
	ahead->reach = slots * chunk;
	init_waitqueue_head(&ahead->wait);
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

/*
 * Is somebody on the way to @block, so far behind that the cache would lose
 * what is between, but not yet has? The lock is held.
 */
static bool is_followed(const struct update_ahead *ahead, u64 block)
{
	const struct update_stream *stream;

	for (stream = ahead->stream; stream < ahead->stream + UPDATE_STREAMS;
	     stream++)
		if (stream->in_row && block > stream->next + ahead->lead &&
		    block <= stream->next + ahead->reach &&
		    time_before(jiffies, stream->last + PATIENCE))
			return true;
	return false;
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
	stream->last = jiffies;
	stream->in_row = *in_row;
	if (*in_row && is_followed(ahead, block)) {
		stream->chunk = NO_CHUNK;
		last = source->n_pieces;
	}
	spin_unlock(&ahead->lock);
	if (wq_has_sleeper(&ahead->wait))
		wake_up_all(&ahead->wait);
	return last;
}

/*
 * Begins with chunks behind piece @i, as long as they begin before block @end:
 * with what is needed up to there, or with @whole all of them.
 */
static void begin_chunks(struct update_ahead *ahead, u32 i, u64 end, bool whole)
{
	const struct update_source *source =
		update_reader_source(ahead->reader);
	struct update_span span = { .end = 1 };
	struct update_piece first, piece;
	unsigned int n;

	if (i == source->n_pieces)
		return;
	update_source_piece(source, i, &first);
	for (n = 0; n < CHUNKS_AHEAD; n++) {
		i = update_source_next_chunk(source, i);
		if (i == source->n_pieces)
			break;
		update_source_piece(source, i, &piece);
		if (piece.block >= end)
			break;
		/* The reader gets the first one itself. */
		if (!test_bit(piece.block, source->changed) ||
		    piece.chunk.key == first.chunk.key)
			continue;
		if (!whole)
			span = update_source_span(source, i, 0,
						  end << source->block_bits);
		update_chunk_ahead(ahead->reader, &piece.chunk, span, whole);
	}
}

bool update_ahead_note(struct update_ahead *ahead, u64 block, u64 end)
{
	bool in_row;
	u32 i = note(ahead, block, end, &in_row);

	if (in_row)
		begin_chunks(ahead, i, U64_MAX, true);
	return in_row;
}

void update_ahead_inside(struct update_ahead *ahead, u64 block, u64 end,
			 bool in_row)
{
	const struct update_source *source =
		update_reader_source(ahead->reader);

	begin_chunks(ahead, update_source_find(source, block), end, in_row);
}

static bool may_go_on(struct update_ahead *ahead, u64 block)
{
	bool followed;

	spin_lock(&ahead->lock);
	followed = is_followed(ahead, block);
	spin_unlock(&ahead->lock);
	return !followed;
}

void update_ahead_wait(struct update_ahead *ahead, u64 block)
{
	wait_event_timeout(ahead->wait, may_go_on(ahead, block), PATIENCE);
}
