// SPDX-License-Identifier: GPL-2.0-only
#include <linux/device-mapper.h>
#include <linux/lz4.h>
#include <linux/mm.h>
#include <linux/zstd.h>

#include "dm-update-io.h"
#include "dm-update-old.h"
#include "dm-update-stock.h"

#define DM_MSG_PREFIX "update"

/* ---- decompression ------------------------------------------------------ */

static int decompress_zstd(void *zstd, void *to, u32 room, const void *from,
			   u32 len)
{
	size_t n = zstd_decompress_dctx(zstd, to, room, from, len);

	return zstd_is_error(n) ? -EBADMSG : n;
}

static int decompress_lz4(void *to, u32 want, u32 room, const void *from,
			  u32 len)
{
	int n = want < room
			? LZ4_decompress_safe_partial(from, to, len, want, room)
			: LZ4_decompress_safe(from, to, len, room);

	return n < 0 ? -EBADMSG : n;
}

/*
 * The first @want bytes or more that @from gives, at most @room; returns how
 * many there are, or -EBADMSG.
 */
static int decompress(enum update_compression compression, void *zstd, void *to,
		      u32 want, u32 room, const void *from, u32 len)
{
	switch (compression) {
	case UPDATE_NONE:
		if (len > room)
			return -EBADMSG;
		memcpy(to, from, len);
		return len;
	case UPDATE_ZSTD:
		return decompress_zstd(zstd, to, room, from, len);
	case UPDATE_LZ4:
		return decompress_lz4(to, want, room, from, len);
	}
	return -EBADMSG;
}

int update_unpack(struct update_decoder *decoder,
		  enum update_compression compression, void *to, u32 room,
		  const void *from, u32 len)
{
	return decompress(compression, decoder->zstd, to, room, room, from,
			  len);
}

/* ---- chunks as they are in the file -------------------------------------- */

u32 update_packed_most(const struct update_source *source)
{
	if (source->version) /* what is read is rounded up */
		return source->v1.g.stored_bytes + 1024;
	return update_packed_limit(source->v0.compression, source->chunk_bytes);
}

/* Byte of the file where @chunk begins. */
static u64 chunk_at(const struct update_source *source,
		    const struct update_ref *chunk)
{
	return source->version ? chunk->key : source->v0.chunks[chunk->key].src;
}

/* The end of all chunks. */
static u64 chunks_end(const struct update_source *source)
{
	return source->version ? source->v1.g.dir_offset
			       : source->v0.chunks[source->v0.n_chunks].src;
}

static u32 chunk_stored(const struct update_source *source,
			const struct update_ref *chunk)
{
	return source->version ? chunk->stored
			       : update_chunk_packed(&source->v0, chunk->key);
}

bool update_window_has(const struct update_window *window,
		       const struct update_source *source,
		       const struct update_ref *chunk)
{
	u64 at = chunk_at(source, chunk);

	return at >= window->at &&
	       at + chunk_stored(source, chunk) <= window->at + window->len;
}

static int fill_window(struct update_window *window,
		       struct update_source *source, u64 at, u32 len)
{
	void *found =
		update_read(source->io, source->diff, at, len, window->buf);

	if (IS_ERR(found))
		return PTR_ERR(found);
	window->at = at;
	window->len = len;
	window->found = found;
	return 0;
}

/* An error may be in what follows, which nobody needs. */
void *update_window_get(struct update_window *window,
			struct update_source *source,
			const struct update_ref *chunk, u32 len, u32 most)
{
	u64 at = chunk_at(source, chunk);
	int r = 0;

	if (!update_window_has(window, source, chunk)) {
		window->len = 0;
		most = min_t(u64, most, chunks_end(source) - at);
		r = most > len ? fill_window(window, source, at, most)
			       : -EAGAIN;
		if (r)
			r = fill_window(window, source, at, len);
	}
	return r ? ERR_PTR(r) : window->found + (at - window->at);
}

/* What follows is read, too, if that is more than one or two chunks. */
static void *get_packed(struct update_source *source,
			struct update_decoder *decoder,
			const struct update_ref *chunk, u32 len,
			const struct update_want *want)
{
	struct update_window *window =
		want->stock ? &want->stock->window : &decoder->window;
	bool more = want->stock || (want->whole && window->room >= 3 * len);

	return update_window_get(window, source, chunk, len,
				 more ? window->room : len);
}

/* ---- chunks ------------------------------------------------------------- */

static int refuse(const char **why, const char *reason)
{
	*why = reason;
	return -EBADMSG;
}

static int decode_v0(struct update_source *source,
		     struct update_decoder *decoder,
		     const struct update_ref *ref, struct update_span *span,
		     const struct update_want *how, void *to, const char **why)
{
	const struct update_dir *dir = &source->v0;
	u32 len = chunk_stored(source, ref), want = span->end;
	void *packed;
	int n;

	/* A zstd frame is always decompressed whole. */
	if (how->whole || dir->compression == UPDATE_ZSTD)
		want = dir->chunks[ref->key].need;
	if (dir->compression == UPDATE_NONE && want < len)
		len = want;
	packed = get_packed(source, decoder, ref, len, how);
	if (IS_ERR(packed))
		return PTR_ERR(packed);
	n = decompress(dir->compression, decoder->zstd, to,
		       how->whole ? dir->chunk_bytes : want, dir->chunk_bytes,
		       packed, len);
	/*
	 * A chunk that is too short would leave the end of what was there
	 * before, so its length counts as much as its contents.
	 */
	if (n >= 0 && (u32)n < want)
		return refuse(why, "Chunk gives too little");
	if (n < 0)
		return n;
	*span = (struct update_span){ .end = n };
	return 0;
}

/*
 * The pieces from @first to before @end, to their places in the chunk at @to.
 * Where no old bytes come between they are decoded there.
 */
static int decode_frames(struct update_source *source,
			 struct update_decoder *decoder, u32 first, u32 end,
			 const void *packed, void *to, const char **why)
{
	const struct update1_geometry *g = &source->v1.g;
	const struct update1_chunk *chunk = decoder->chunk;
	u32 from = update1_pieces_bytes(g, chunk, first);
	u32 bytes = update1_frames_bytes(g, chunk, first, end);
	u32 len = update1_frames_seal(g, chunk, first, end, packed,
				      decoder->frames);
	bool in_place = bytes == update1_pieces_bytes(g, chunk, end) - from;
	void *out = in_place ? to + from : decoder->out;
	int n = decompress_zstd(decoder->zstd, out, bytes, decoder->frames,
				len);

	if (n < 0)
		return n;
	if ((u32)n != bytes)
		return refuse(why, "Chunk gives another size than it says");
	if (update1_frames_take(g, chunk, first, end, out, to))
		return refuse(why, "Chunk has a wrong checksum");
	return 0;
}

static int decode_v1(struct update_source *source,
		     struct update_decoder *decoder,
		     const struct update_ref *ref, struct update_span *span,
		     const struct update_want *want, void *packed, void *to,
		     const char **why)
{
	const struct update1_geometry *g = &source->v1.g;
	struct update1_chunk *chunk = decoder->chunk;
	u32 first, end;
	int r;

	if (!packed)
		packed = get_packed(source, decoder, ref, ref->stored, want);
	if (IS_ERR(packed))
		return PTR_ERR(packed);
	r = update1_chunk_parse(g, packed, ref->stored, chunk, why);
	if (r)
		return r;
	if (chunk->bytes < span->end)
		return refuse(why, "Chunk gives too little");
	first = want->whole ? 0 : update1_first_piece(g, span->from);
	end = want->whole ? chunk->n_pieces
			  : update1_pieces(g, chunk, span->end);
	r = update_old_prefixes(source, decoder, first, end, want->view,
				want->stock);
	if (!r)
		r = decode_frames(source, decoder, first, end, packed, to, why);
	if (r)
		return r;
	span->from = update1_pieces_bytes(g, chunk, first);
	span->end = update1_pieces_bytes(g, chunk, end);
	return 0;
}

static void complain(const struct update_source *source,
		     const struct update_ref *chunk, int r, const char *why)
{
	u64 at = chunk_at(source, chunk);

	if (r == -EBADMSG)
		DMERR_LIMIT("%pg: chunk at byte %llu is damaged: %s",
			    source->diff, at, why);
	else
		DMERR_LIMIT("%pg: chunk at byte %llu is unreadable (%d)",
			    source->diff, at, r);
}

/* Of version 0 it would be decompressed onto itself. */
void *update_fetch(struct update_source *source, const struct update_ref *chunk,
		   void *to)
{
	void *found;

	if (!source->version ||
	    update_read_room(source->diff, chunk->stored) > source->chunk_bytes)
		return NULL;
	found = update_read(source->io, source->diff, chunk_at(source, chunk),
			    chunk->stored, to);
	if (IS_ERR(found))
		complain(source, chunk, PTR_ERR(found), NULL);
	return found;
}

int update_decode(struct update_source *source, struct update_decoder *decoder,
		  const struct update_ref *chunk, struct update_span *span,
		  const struct update_want *want, void *fetched, void *to)
{
	const char *why = "Chunk cannot be decompressed";
	int r;

	if (source->version)
		r = decode_v1(source, decoder, chunk, span, want, fetched, to,
			      &why);
	else
		r = decode_v0(source, decoder, chunk, span, want, to, &why);
	if (r) { /* when it is tried again it is read again */
		decoder->window.len = 0;
		if (want->stock)
			want->stock->window.len = 0;
		complain(source, chunk, r, why);
	}
	return r;
}

/* ---- decoders ----------------------------------------------------------- */

static bool uses_zstd(const struct update_source *source)
{
	return source->version || source->v0.compression == UPDATE_ZSTD;
}

/* Old bytes are read there, a range at least, and decoded to there. */
static size_t out_room(const struct update_source *source)
{
	const struct update1_geometry *g = &source->v1.g;

	return max_t(size_t, g->prefix_bytes + g->chunk_bytes,
		     update_old_room(source,
				     max(g->prefix_bytes, g->chunk_bytes)));
}

size_t update_decoder_memory(const struct update_source *source)
{
	size_t size =
		update_read_room(source->diff, update_packed_most(source));

	if (uses_zstd(source))
		size += zstd_dctx_workspace_bound();
	if (source->version)
		size += update1_frames_room(&source->v1.g) + out_room(source) +
			sizeof(struct update1_chunk) +
			UPDATE_PARTS * sizeof(struct update_part);
	return size;
}

void update_decoder_exit(struct update_decoder *decoder)
{
	kfree(decoder->part);
	kfree(decoder->chunk);
	kvfree(decoder->out);
	kvfree(decoder->frames);
	kvfree(decoder->workspace);
	kvfree(decoder->window.buf);
	memset(decoder, 0, sizeof(*decoder));
}

static int make_v1(struct update_decoder *decoder,
		   const struct update_source *source)
{
	decoder->out_room = out_room(source);
	decoder->out = kvmalloc(decoder->out_room, GFP_KERNEL);
	decoder->frames =
		kvmalloc(update1_frames_room(&source->v1.g), GFP_KERNEL);
	decoder->chunk = kmalloc(sizeof(*decoder->chunk), GFP_KERNEL);
	decoder->part =
		kmalloc_array(UPDATE_PARTS, sizeof(*decoder->part), GFP_KERNEL);
	return decoder->out && decoder->frames && decoder->chunk &&
			       decoder->part
		       ? 0
		       : -ENOMEM;
}

static int make_zstd(struct update_decoder *decoder)
{
	size_t size = zstd_dctx_workspace_bound();

	decoder->workspace = kvmalloc(size, GFP_KERNEL);
	if (decoder->workspace)
		decoder->zstd = zstd_init_dctx(decoder->workspace, size);
	return decoder->zstd ? 0 : -ENOMEM;
}

int update_decoder_simple(struct update_decoder *decoder,
			  const struct update_source *source,
			  enum update_compression compression, u32 packed)
{
	int r = 0;

	decoder->window.room = packed;
	decoder->window.buf =
		kvmalloc(update_read_room(source->diff, packed), GFP_KERNEL);
	if (!decoder->window.buf)
		return -ENOMEM;
	if (compression == UPDATE_ZSTD)
		r = make_zstd(decoder);
	if (r)
		update_decoder_exit(decoder);
	return r;
}

int update_decoder_init(struct update_decoder *decoder,
			const struct update_source *source)
{
	int r = update_decoder_simple(decoder, source,
				      source->version ? UPDATE_ZSTD
						      : source->v0.compression,
				      update_packed_most(source));

	if (!r && source->version) {
		r = make_v1(decoder, source);
		if (r)
			update_decoder_exit(decoder);
	}
	return r;
}
