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
			struct update1_chunk *chunk, const char **why)
{
	u64 n = take_number(from), behind = 0;
	int r = 0;

	if (n > UPDATE1_MAX_RANGES)
		return refuse(why, "Chunk leans on too many ranges");
	while (!r && n--)
		r = parse_range(g, from, &behind, chunk, why);
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
static int parse_pieces(struct cursor *from, u32 room,
			struct update1_chunk *chunk, const char **why)
{
	u32 i;

	for (i = 0; i < chunk->n_pieces; i++) {
		u64 stored = take_number(from);

		if (!stored || stored > room)
			return refuse(why, "Chunk is cut off");
		chunk->pieces[i].stored = stored;
		room -= stored;
	}
	for (i = 0; i < chunk->n_pieces; i++) {
		__le32 crc = 0;
		const u8 *bytes = take_bytes(from, sizeof(crc));

		if (bytes)
			memcpy(&crc, bytes, sizeof(crc));
		chunk->pieces[i].crc = le32_to_cpu(crc);
	}
	return 0;
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
		r = parse_ranges(g, &from, chunk, why);
	if (!r)
		r = parse_pieces(&from, len - chunk->header, chunk, why);
	if (from.bad || (!r && from.at != from.end))
		return refuse(why, "Chunk header is not what it says");
	return r;
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

/* ---- the frame ----------------------------------------------------------- */

/* Bytes of the frame up to byte @at of the prefix, block headers included. */
static u32 prefix_place(u32 at)
{
	return FRAME_HEAD + at + BLOCK_HEAD * (at / RAW_BLOCK + 1);
}

/* Bytes of the frame up to the first piece. */
static u32 prefix_end(const struct update1_chunk *chunk)
{
	return chunk->prefix ? prefix_place(chunk->prefix - 1) + 1 : FRAME_HEAD;
}

u32 update1_frame_room(const struct update1_geometry *g)
{
	return prefix_place(g->prefix_bytes) + g->stored_bytes + BLOCK_HEAD;
}

u32 update1_frame_span(const struct update1_chunk *chunk, u32 at, u32 *len)
{
	u32 left = chunk->prefix - at, together = RAW_BLOCK - at % RAW_BLOCK;

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

u32 update1_frame_seal(const struct update1_geometry *g,
		       const struct update1_chunk *chunk, u32 pieces,
		       const void *stored, void *frame)
{
	u32 at, len, size = 0, i;
	u8 *to = frame;

	put_frame_head(to,
		       chunk->prefix + update1_pieces_bytes(g, chunk, pieces));
	for (at = 0; at < chunk->prefix; at += len) {
		u32 place = update1_frame_span(chunk, at, &len);

		put_block_head(to + place - BLOCK_HEAD, len << 3);
	}
	for (i = 0; i < pieces; i++)
		size += chunk->pieces[i].stored;
	at = prefix_end(chunk);
	memcpy(to + at, stored + chunk->header, size);
	put_block_head(to + at + size, 1); /* raw, empty, the last one */
	return at + size + BLOCK_HEAD;
}

int update1_chunk_check(const struct update1_geometry *g,
			const struct update1_chunk *chunk, u32 first,
			u32 pieces, const void *decoded)
{
	u32 i, at = update1_pieces_bytes(g, chunk, first);

	for (i = first; i < pieces; i++) {
		u32 end = update1_pieces_bytes(g, chunk, i + 1);

		if (plat_crc32c(~0u, decoded + at, end - at) !=
		    chunk->pieces[i].crc)
			return -EBADMSG;
		at = end;
	}
	return 0;
}
