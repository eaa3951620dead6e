// SPDX-License-Identifier: GPL-2.0-only
#include "dm-update-v1.h"
#include "dm-update-v1-number.h"

/* What the reader puts around prefix and pieces (RFC 8878). */
#define FRAME_HEAD   9
#define BLOCK_HEAD   3
#define RAW_BLOCK    131072
#define FRAME_MAGIC  0xFD2FB528u
#define FRAME_SINGLE 0xA0 /* single segment, content size of 4 bytes */

static int refuse(const char **why, const char *reason)
{
	*why = reason;
	return -EBADMSG;
}

static u32 pieces_of(const struct update1_geometry *g, u32 bytes)
{
	return (bytes + g->piece_bytes - 1) / g->piece_bytes;
}

static int parse_range(const struct update1_geometry *g, struct cursor *from,
		       u64 *behind, struct update1_chunk *chunk,
		       const char **why)
{
	struct update1_range *range = &chunk->ranges[chunk->n_ranges++];
	/* Modulo 2^64: whatever the numbers are, the sum is checked. */
	u64 offset = *behind + (u64)take_signed(from);
	u64 len = take_number(from);

	if (offset >= g->old_size || !len || len > g->old_size - offset)
		return refuse(why, "Chunk leans on bytes past the old image");
	if (len > g->prefix_bytes - chunk->prefix)
		return refuse(why, "Prefix of a chunk is too large");
	range->offset = offset;
	range->len = len;
	chunk->prefix += len;
	*behind = offset + len;
	return 0;
}

static int parse_ranges(const struct update1_geometry *g, struct cursor *from,
			u64 *behind, struct update1_chunk *chunk, u32 number,
			const char **why)
{
	struct update1_piece *piece = &chunk->pieces[number];
	u64 n = g->alone || !number ? take_number(from) : 0;
	u32 before = chunk->prefix;
	int r = 0;

	if (n > UPDATE1_MAX_RANGES - chunk->n_ranges)
		return refuse(why, "Chunk leans on too many ranges");
	piece->first = chunk->n_ranges;
	while (!r && n--)
		r = parse_range(g, from, behind, chunk, why);
	piece->end = chunk->n_ranges;
	piece->prefix = chunk->prefix - before;
	return r;
}

static int parse_size(const struct update1_geometry *g, struct cursor *from,
		      struct update1_chunk *chunk, const char **why)
{
	u64 blocks = take_number(from);

	if (!blocks || blocks > g->chunk_bytes >> g->block_bits)
		return refuse(why, "Chunk size out of range");
	chunk->bytes = blocks << g->block_bits;
	chunk->n_pieces = pieces_of(g, chunk->bytes);
	return 0;
}

/* @room: bytes behind the header. */
static int parse_pieces(const struct update1_geometry *g, struct cursor *from,
			u32 room, struct update1_chunk *chunk, const char **why)
{
	u64 stored, behind = 0;
	u32 i;
	int r;

	for (i = 0; i < chunk->n_pieces; i++) {
		r = parse_ranges(g, from, &behind, chunk, i, why);
		if (r)
			return r;
		stored = take_number(from);
		if (!stored || stored > room)
			return refuse(why, "Chunk is cut off");
		chunk->pieces[i].stored = stored;
		room -= stored;
	}
	return 0;
}

static void parse_sums(struct cursor *from, struct update1_chunk *chunk)
{
	u32 i;

	for (i = 0; i < chunk->n_pieces; i++) {
		__le32 crc = 0;
		const u8 *bytes = take_bytes(from, sizeof(crc));

		if (bytes)
			memcpy(&crc, bytes, sizeof(crc));
		chunk->pieces[i].crc = le32_to_cpu(crc);
	}
}

/* The header's size, or 0: not whole, or not what was written. */
static u32 check_head(const void *bytes, u32 len)
{
	const struct update1_chunk_head *head = bytes;
	u32 skip = sizeof(head->crc), size;

	if (len < sizeof(*head))
		return 0;
	size = le16_to_cpu(head->size);
	if (size < sizeof(*head) || size > UPDATE1_MAX_HEADER || size > len ||
	    le32_to_cpu(head->crc) !=
		    plat_crc32c(~0u, bytes + skip, size - skip))
		return 0;
	return size;
}

int update1_chunk_parse(const struct update1_geometry *g, const void *bytes,
			u32 len, struct update1_chunk *chunk, const char **why)
{
	struct cursor from = { 0 };
	int r;

	chunk->prefix = 0;
	chunk->n_ranges = 0;
	chunk->header = check_head(bytes, len);
	if (!chunk->header)
		return refuse(why, "Chunk header has a wrong checksum");
	from.at = bytes + sizeof(struct update1_chunk_head);
	from.end = bytes + chunk->header;
	r = parse_size(g, &from, chunk, why);
	if (!r)
		r = parse_pieces(g, &from, len - chunk->header, chunk, why);
	if (!r)
		parse_sums(&from, chunk);
	if (from.bad || (!r && from.at != from.end))
		return refuse(why, "Chunk header is not what it says");
	return r;
}

u32 update1_first_piece(const struct update1_geometry *g, u32 from)
{
	return g->alone ? from / g->piece_bytes : 0;
}

u32 update1_pieces(const struct update1_geometry *g,
		   const struct update1_chunk *chunk, u32 bytes)
{
	return pieces_of(g, bytes < chunk->bytes ? bytes : chunk->bytes);
}

u32 update1_pieces_bytes(const struct update1_geometry *g,
			 const struct update1_chunk *chunk, u32 pieces)
{
	u32 bytes = pieces * g->piece_bytes;

	return bytes < chunk->bytes ? bytes : chunk->bytes;
}

/* ---- the frames ---------------------------------------------------------- */

/* Bytes of a frame up to byte @at of the prefix, block headers included. */
static u32 prefix_place(u32 at)
{
	return FRAME_HEAD + at + BLOCK_HEAD * (at / RAW_BLOCK + 1);
}

/* Bytes of a frame up to the piece. */
static u32 prefix_end(const struct update1_piece *piece)
{
	return piece->prefix ? prefix_place(piece->prefix - 1) + 1 : FRAME_HEAD;
}

u32 update1_frames_room(const struct update1_geometry *g)
{
	/* Of each piece: its head, an end, and a prefix that is begun. */
	u32 around = FRAME_HEAD + 2 * BLOCK_HEAD;

	return pieces_of(g, g->chunk_bytes) * around + g->stored_bytes +
	       prefix_place(g->prefix_bytes);
}

u32 update1_frames_at(const struct update1_chunk *chunk, u32 first, u32 piece)
{
	u32 i, at = 0;

	for (i = first; i < piece; i++)
		at += prefix_end(&chunk->pieces[i]) + chunk->pieces[i].stored +
		      BLOCK_HEAD;
	return at;
}

u32 update1_frames_span(const struct update1_piece *piece, u32 at, u32 *len)
{
	u32 left = piece->prefix - at, together = RAW_BLOCK - at % RAW_BLOCK;

	*len = left < together ? left : together;
	return prefix_place(at);
}

static void put_block_head(u8 *to, u32 head)
{
	to[0] = head;
	to[1] = head >> 8;
	to[2] = head >> 16;
}

static void put_frame_head(u8 *to, u32 content)
{
	__le32 magic = cpu_to_le32(FRAME_MAGIC), size = cpu_to_le32(content);

	memcpy(to, &magic, sizeof(magic));
	to[4] = FRAME_SINGLE;
	memcpy(to + 5, &size, sizeof(size));
}

/* What the piece itself decodes to. */
static u32 piece_bytes(const struct update1_geometry *g,
		       const struct update1_chunk *chunk, u32 piece)
{
	return update1_pieces_bytes(g, chunk, piece + 1) -
	       update1_pieces_bytes(g, chunk, piece);
}

/* Begins a frame of @bytes bytes behind the piece's prefix; how far it is. */
static u32 begin_frame(const struct update1_piece *piece, u32 bytes, u8 *to)
{
	u32 at, len, place;

	put_frame_head(to, piece->prefix + bytes);
	for (at = 0; at < piece->prefix; at += len) {
		place = update1_frames_span(piece, at, &len);
		put_block_head(to + place - BLOCK_HEAD, len << 3);
	}
	return prefix_end(piece);
}

u32 update1_frames_seal(const struct update1_geometry *g,
			const struct update1_chunk *chunk, u32 first, u32 end,
			const void *stored, void *frames)
{
	u32 i, size = 0;

	stored += chunk->header;
	for (i = 0; i < first; i++)
		stored += chunk->pieces[i].stored;
	for (; i < end; stored += chunk->pieces[i++].stored) {
		if (g->alone || !i)
			size += begin_frame(
				&chunk->pieces[i],
				g->alone ? piece_bytes(g, chunk, i)
					 : update1_pieces_bytes(g, chunk, end),
				frames + size);
		memcpy(frames + size, stored, chunk->pieces[i].stored);
		size += chunk->pieces[i].stored;
		if (!g->alone && i + 1 < end)
			continue;
		put_block_head(frames + size, 1); /* raw, empty, the last */
		size += BLOCK_HEAD;
	}
	return size;
}

u32 update1_frames_bytes(const struct update1_geometry *g,
			 const struct update1_chunk *chunk, u32 first, u32 end)
{
	u32 i, bytes = update1_pieces_bytes(g, chunk, end) -
		       update1_pieces_bytes(g, chunk, first);

	for (i = first; i < end; i++)
		bytes += chunk->pieces[i].prefix;
	return bytes;
}

int update1_frames_take(const struct update1_geometry *g,
			const struct update1_chunk *chunk, u32 first, u32 end,
			const void *decoded, void *to)
{
	u32 i, bytes;

	to += update1_pieces_bytes(g, chunk, first);
	for (i = first; i < end; i++, decoded += bytes, to += bytes) {
		bytes = piece_bytes(g, chunk, i);
		decoded += chunk->pieces[i].prefix;
		if (plat_crc32c(~0u, decoded, bytes) != chunk->pieces[i].crc)
			return -EBADMSG;
		if (decoded != to)
			memmove(to, decoded, bytes);
	}
	return 0;
}
