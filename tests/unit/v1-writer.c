// SPDX-License-Identifier: GPL-2.0-or-later
#include <zstd.h>

#include "v1-writer.h"

/* A growing string of bytes. */
struct bytes {
	u8 *at;
	size_t len, room;
};

static void put(struct bytes *b, const void *from, size_t len)
{
	if (b->len + len > b->room) {
		b->room = 2 * (b->len + len);
		b->at = realloc(b->at, b->room);
	}
	if (len)
		memcpy(b->at + b->len, from, len);
	b->len += len;
}

static void put_number(struct bytes *b, u64 number)
{
	do {
		u8 byte = (number & 127) | (number > 127 ? 128 : 0);

		put(b, &byte, 1);
		number >>= 7;
	} while (number);
}

static void put_signed(struct bytes *b, s64 number)
{
	put_number(b, number < 0 ? 2 * -(u64)number - 1 : 2 * (u64)number);
}

static void put_u32(struct bytes *b, u32 number)
{
	__le32 le = cpu_to_le32(number);

	put(b, &le, sizeof(le));
}

static void append(struct v1_writer *w, const void *from, size_t len)
{
	struct bytes b = { w->file, w->size, w->room };

	put(&b, from, len);
	w->file = b.at;
	w->size = b.len;
	w->room = b.room;
}

/* ---- what the diff consists of ------------------------------------------- */

void v1_begin(struct v1_writer *w, u32 block_bits, u32 chunk, u32 piece,
	      u64 old_size, u64 new_size)
{
	static const u8 zeros[UPDATE1_SUPER_SIZE];

	*w = (struct v1_writer){ .page = 1000 };
	memcpy(w->super.magic, UPDATE_MAGIC, sizeof(w->super.magic));
	w->super.version = UPDATE_VERSION_1;
	w->super.block_bits = block_bits;
	w->super.chunk_bytes = cpu_to_le32(chunk);
	w->super.prefix_bytes = cpu_to_le32(262144);
	w->super.piece_bytes = cpu_to_le32(piece);
	w->super.incompat = cpu_to_le64(UPDATE1_ALONE);
	w->super.old_size = cpu_to_le64(old_size);
	w->super.new_size = cpu_to_le64(new_size);
	append(w, zeros, sizeof(zeros));
}

void v1_free(struct v1_writer *w)
{
	for (u32 i = 0; i < w->n_chunks; i++) {
		free(w->chunks[i].ranges);
		free(w->chunks[i].data);
	}
	free(w->chunks);
	free(w->extents);
	free(w->saves);
	free(w->before);
	free(w->file);
}

static void *grow(void *table, u32 n, size_t size)
{
	return n & (n - 1) ? table
			   : realloc(table, (n ? 2 * (size_t)n : 1) * size);
}

struct v1_extent *v1_add_extent(struct v1_writer *w, struct v1_extent extent)
{
	w->extents = grow(w->extents, w->n_extents, sizeof(extent));
	w->extents[w->n_extents] = extent;
	return &w->extents[w->n_extents++];
}

struct v1_save *v1_add_save(struct v1_writer *w, struct v1_save save)
{
	w->saves = grow(w->saves, w->n_saves, sizeof(save));
	w->saves[w->n_saves] = save;
	return &w->saves[w->n_saves++];
}

/* ---- chunks -------------------------------------------------------------- */

static u32 add_chunk(struct v1_writer *w, u32 stored, u32 blocks,
		     const struct v1_range *ranges, u32 n_ranges)
{
	struct v1_chunk chunk = {
		w->size, stored, blocks, n_ranges, NULL, NULL
	};

	chunk.ranges = malloc((n_ranges + 1) * sizeof(*ranges));
	if (n_ranges)
		memcpy(chunk.ranges, ranges, n_ranges * sizeof(*ranges));
	w->chunks = grow(w->chunks, w->n_chunks, sizeof(chunk));
	w->chunks[w->n_chunks] = chunk;
	if (stored > le32_to_cpu(w->super.stored_bytes))
		w->super.stored_bytes = cpu_to_le32(stored);
	return w->n_chunks++;
}

u32 v1_add_ghost(struct v1_writer *w, u32 stored, u32 blocks,
		 const struct v1_range *ranges, u32 n_ranges)
{
	u32 index = add_chunk(w, stored, blocks, ranges, n_ranges);
	void *zeros = calloc(1, stored);

	append(w, zeros, stored);
	free(zeros);
	return index;
}

/* The ranges of piece @k of @pieces; every piece gets some, if there are
 * enough.
 */
static u32 ranges_of(u32 k, u32 pieces, const struct v1_range *ranges, u32 n,
		     struct v1_range *to)
{
	u32 found = 0;

	for (u32 i = k; i < n; i += pieces)
		to[found++] = ranges[i];
	return found;
}

static void gather(const u8 *old, const struct v1_range *ranges, u32 n,
		   struct bytes *to)
{
	to->len = 0;
	for (u32 i = 0; i < n; i++)
		put(to, old + ranges[i].offset, ranges[i].len);
}

static u32 window_log(size_t bytes)
{
	u32 log = 10;

	while (bytes >> log)
		log++;
	return log;
}

/* The blocks of one piece; of the first of a frame, without its header. */
static void compress_piece(ZSTD_CCtx *zstd, const void *data, size_t len,
			   bool first, struct bytes *to)
{
	size_t room = ZSTD_compressBound(len) + 1024;
	u8 *buf = malloc(room);
	ZSTD_inBuffer in = { data, len, 0 };
	ZSTD_outBuffer out = { buf, room, 0 };
	size_t header = first ? 6 : 0; /* magic, descriptor, window */

	if (ZSTD_compressStream2(zstd, &out, &in, ZSTD_e_flush))
		abort();
	put(to, buf + header, out.pos - header);
	free(buf);
}

static void begin_frame(ZSTD_CCtx *zstd, const struct bytes *prefix, size_t len)
{
	ZSTD_CCtx_reset(zstd, ZSTD_reset_session_and_parameters);
	ZSTD_CCtx_setParameter(zstd, ZSTD_c_compressionLevel, 3);
	ZSTD_CCtx_setParameter(zstd, ZSTD_c_contentSizeFlag, 0);
	ZSTD_CCtx_setParameter(zstd, ZSTD_c_windowLog,
			       window_log(prefix->len + len));
	ZSTD_CCtx_refPrefix(zstd, prefix->at, prefix->len);
}

static void put_header(struct bytes *to, const struct bytes *body)
{
	__le16 size = cpu_to_le16(
		(u16)(sizeof(struct update1_chunk_head) + body->len));
	u32 crc = plat_crc32c(~0u, &size, sizeof(size));

	put_u32(to, plat_crc32c(crc, body->at, body->len));
	put(to, &size, sizeof(size));
	put(to, body->at, body->len);
}

static void put_ranges(struct bytes *to, const struct v1_range *ranges, u32 n,
		       u64 *behind)
{
	put_number(to, n);
	for (u32 i = 0; i < n; i++) {
		put_signed(to, ranges[i].offset - *behind);
		put_number(to, ranges[i].len);
		*behind = ranges[i].offset + ranges[i].len;
	}
}

u32 v1_add_chunk(struct v1_writer *w, const u8 *old, const void *data,
		 u32 blocks, const struct v1_range *ranges, u32 n_ranges)
{
	size_t len = (size_t)blocks << w->super.block_bits;
	u32 piece = le32_to_cpu(w->super.piece_bytes), index, n;
	bool alone = le64_to_cpu(w->super.incompat) & UPDATE1_ALONE;
	u32 frames = alone ? (len + piece - 1) / piece : 1;
	struct v1_range *own = malloc((n_ranges + 1) * sizeof(*own));
	struct bytes body = { 0 }, pieces = { 0 }, crcs = { 0 }, all = { 0 };
	struct bytes prefix = { 0 };
	ZSTD_CCtx *zstd = ZSTD_createCCtx();
	u64 behind = 0;

	put_number(&body, blocks);
	for (size_t at = 0; at < len; at += piece) {
		size_t bytes = len - at < piece ? len - at : piece;
		size_t before = pieces.len;

		if (alone || !at) {
			n = ranges_of(at / piece, frames, ranges, n_ranges,
				      own);
			gather(old, own, n, &prefix);
			begin_frame(zstd, &prefix, alone ? bytes : len);
			put_ranges(&body, own, n, &behind);
		}
		compress_piece(zstd, data + at, bytes, alone || !at, &pieces);
		put_number(&body, pieces.len - before);
		put_u32(&crcs, plat_crc32c(~0u, data + at, bytes));
	}
	ZSTD_freeCCtx(zstd);
	put(&body, crcs.at, crcs.len);
	put_header(&all, &body);
	put(&all, pieces.at, pieces.len);
	index = add_chunk(w, all.len, blocks, ranges, n_ranges);
	append(w, all.at, all.len);
	w->chunks[index].data = malloc(len);
	memcpy(w->chunks[index].data, data, len);
	free(own);
	free(prefix.at);
	free(body.at);
	free(pieces.at);
	free(crcs.at);
	free(all.at);
	return index;
}

/* ---- directory ----------------------------------------------------------- */

static const struct v1_chunk *chunk_of(const struct v1_writer *w,
				       const struct v1_extent *e)
{
	return &w->chunks[e->chunk];
}

static u64 chunk_end(const struct v1_writer *w, const struct v1_extent *e)
{
	return e ? chunk_of(w, e)->at + chunk_of(w, e)->stored
		 : UPDATE1_SUPER_SIZE;
}

static const struct v1_extent *data_before(const struct v1_writer *w, u32 i)
{
	u32 before = w->before[i].data;

	return before ? &w->extents[before - 1] : NULL;
}

static u8 kind_of(const struct v1_writer *w, u32 i)
{
	const struct v1_extent *e = &w->extents[i], *d = data_before(w, i);

	if (e->kind != UPDATE1_DATA)
		return e->kind;
	if (d && d->chunk == e->chunk)
		return d->block + d->blocks == e->block ? UPDATE1_DATA
							: UPDATE1_DATA_AT;
	return chunk_of(w, e)->at == chunk_end(w, d) && !e->block
		       ? UPDATE1_DATA_NEXT
		       : UPDATE1_DATA_FAR;
}

static s64 shift_of(const struct v1_writer *w, const struct v1_extent *e)
{
	return e->src - (e->dest << w->super.block_bits);
}

static s64 shift_before(const struct v1_writer *w, u32 i)
{
	u32 before = w->before[i].copy;

	return before ? shift_of(w, &w->extents[before - 1]) : 0;
}

static void link_extents(struct v1_writer *w)
{
	u32 data = 0, copy = 0;

	w->before = realloc(w->before, w->n_extents * sizeof(*w->before));
	for (u32 i = 0; i < w->n_extents; i++) {
		const struct v1_extent *e = &w->extents[i];

		w->before[i] = (struct v1_before){ data, copy };
		if (e->kind == UPDATE1_COPY)
			copy = i + 1;
		else if (e->kind >= UPDATE1_DATA && e->kind <= UPDATE1_DATA_FAR)
			data = i + 1;
	}
}

static void put_source(struct v1_writer *w, u32 i, struct bytes *to)
{
	const struct v1_extent *e = &w->extents[i];
	u8 kind = kind_of(w, i);

	if (kind == UPDATE1_COPY)
		put_signed(to, shift_of(w, e) - shift_before(w, i));
	if (kind == UPDATE1_DATA_FAR)
		put_signed(to, chunk_of(w, e)->at -
				       chunk_end(w, data_before(w, i)));
	if (kind == UPDATE1_DATA_FAR || kind == UPDATE1_DATA_NEXT)
		put_number(to, chunk_of(w, e)->stored);
	if (kind == UPDATE1_DATA_FAR || kind == UPDATE1_DATA_AT)
		put_number(to, e->block);
}

static void put_extents(struct v1_writer *w, u32 from, u32 to, struct bytes *b)
{
	put_number(b, to - from);
	for (u32 i = from; i < to; i++) {
		u8 kind = kind_of(w, i);

		put(b, &kind, 1);
	}
	for (u32 i = from; i < to; i++)
		put_number(b, w->extents[i].dest -
				      (i ? w->extents[i - 1].dest +
						       w->extents[i - 1].blocks
					 : 0));
	for (u32 i = from; i < to; i++)
		put_number(b, w->extents[i].blocks - 1);
	for (u32 i = from; i < to; i++)
		put_signed(b, (s64)w->extents[i].epoch -
				      (i ? w->extents[i - 1].epoch : 0));
	for (u32 i = from; i < to; i++)
		put_source(w, i, b);
}

static void put_saves(struct v1_writer *w, u32 from, u32 to, struct bytes *b)
{
	const struct v1_save *s = w->saves;

	put_number(b, to - from);
	for (u32 i = from; i < to; i++)
		put_number(b,
			   s[i].old - (i ? s[i - 1].old + s[i - 1].blocks : 0));
	for (u32 i = from; i < to; i++)
		put_number(b, s[i].blocks - 1);
	for (u32 i = from; i < to; i++)
		put_signed(b, (s64)s[i].epoch - (i ? s[i - 1].epoch : 0));
	for (u32 i = from; i < to; i++)
		put_number(b, s[i].last - s[i].epoch);
	for (u32 i = from; i < to; i++)
		put_signed(b,
			   (s64)s[i].room -
				   (i ? s[i - 1].room + s[i - 1].blocks : 0));
}

static u32 pages_of(const struct v1_writer *w, u32 n)
{
	return (n + w->page - 1) / w->page;
}

u8 *v1_page(struct v1_writer *w, u32 i, size_t *len)
{
	u32 before = pages_of(w, w->n_extents);
	struct bytes b = { 0 };
	bool saves = i >= before;
	u32 n = saves ? w->n_saves : w->n_extents;
	u32 from = (saves ? i - before : i) * w->page;
	u32 to = from + w->page < n ? from + w->page : n;

	if (from >= n)
		return NULL;
	link_extents(w);
	if (saves)
		put_saves(w, from, to, &b);
	else
		put_extents(w, from, to, &b);
	*len = b.len;
	return b.at;
}

static void write_page(struct v1_writer *w, const u8 *contents, size_t len)
{
	size_t room = ZSTD_compressBound(len);
	void *frame = malloc(room);
	struct update1_page page;

	room = ZSTD_compress(frame, room, contents, len, 3);
	page.stored = cpu_to_le32((u32)room);
	page.decoded = cpu_to_le32((u32)len);
	append(w, &page, sizeof(page));
	append(w, frame, room);
	free(frame);
}

static void fill_counts(struct v1_writer *w)
{
	u32 epochs = 0, room = 0;
	u64 changed = 0;

	for (u32 i = 0; i < w->n_extents; i++) {
		changed += w->extents[i].blocks;
		if (w->extents[i].epoch >= epochs)
			epochs = w->extents[i].epoch + 1;
	}
	for (u32 i = 0; i < w->n_saves; i++)
		if (w->saves[i].room + w->saves[i].blocks > room)
			room = w->saves[i].room + w->saves[i].blocks;
	w->super.n_extents = cpu_to_le32(w->n_extents);
	w->super.n_saves = cpu_to_le32(w->n_saves);
	w->super.n_epochs = cpu_to_le32(epochs);
	w->super.save_blocks = cpu_to_le32(room);
	w->super.changed = cpu_to_le64(changed);
}

void v1_seal(struct v1_writer *w)
{
	struct update1_super *super = (void *)w->file;
	u64 at = le64_to_cpu(super->dir_offset);
	u64 len = le64_to_cpu(super->dir_size);

	if (at <= w->size && len <= w->size - at)
		super->dir_crc =
			cpu_to_le32(plat_crc32c(~0u, w->file + at, len));
	super->crc = cpu_to_le32(
		plat_crc32c(~0u, super, offsetof(struct update1_super, crc)));
}

void v1_end(struct v1_writer *w)
{
	static const u8 zeros[4096];
	u64 begin = w->size;
	size_t len;
	u8 *page;

	for (; (page = v1_page(w, w->n_pages, &len)); w->n_pages++) {
		write_page(w, page, len);
		free(page);
	}
	fill_counts(w);
	w->super.dir_offset = cpu_to_le64(begin);
	w->super.dir_size = cpu_to_le64(w->size - begin);
	w->super.file_size = cpu_to_le64((u64)w->size);
	append(w, zeros, -w->size & 4095);
	/* An id of its own for all that differs in more than the chunks. */
	memcpy(w->super.id, "test", 4);
	memcpy(w->super.id + 8, &w->super.changed, 8);
	memcpy(w->file, &w->super, sizeof(w->super));
	v1_seal(w);
	memcpy(&w->super, w->file, sizeof(w->super));
}
