// SPDX-License-Identifier: GPL-2.0-only
#include <linux/device-mapper.h>
#include <linux/lz4.h>
#include <linux/mm.h>
#include <linux/zstd.h>

#include "dm-update-decode.h"
#include "dm-update-io.h"

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

/* ---- old bytes ---------------------------------------------------------- */

size_t update_old_room(const struct update_source *source, u32 len)
{
	size_t room = update_read_room(source->system, len);

	if (source->store.bdev)
		room = max(room, update_read_room(source->store.bdev, len));
	return room + SECTOR_SIZE;
}

struct block_device *update_old_find(const struct update_source *source,
				     u32 view, u64 from, u32 *len, u64 *at)
{
	struct update1_place place = { .at = from, .len = *len };

	if (view != UPDATE_NOT_BEGUN)
		update1_old(&source->v1, view - 1, from, *len, &place);
	*len = place.len;
	*at = place.at;
	if (!place.saved)
		return source->system;
	*at += source->store.at;
	return source->store.bdev;
}

/*
 * Parts that lie in different places may meet at any byte, but reads go to
 * whole sectors of memory: each is read a little behind its place, and moved.
 */
int update_old_read(struct update_source *source, u32 view, u64 from, u32 len,
		    void *to)
{
	struct block_device *bdev;
	void *found;
	u32 n, done;
	u64 at;

	for (done = 0; done < len; done += n) {
		n = len - done;
		bdev = update_old_find(source, view, from + done, &n, &at);
		found = update_read(source->io, bdev, at, n,
				    to + round_up(done, SECTOR_SIZE));
		if (IS_ERR(found))
			return PTR_ERR(found);
		memmove(to + done, found, n);
	}
	return 0;
}

/* ---- the prefix of a chunk of version 1 --------------------------------- */

/* Reads of old bytes that are under way at once, into decoder->out. */
struct gather {
	struct update_source *source;
	struct update_decoder *decoder;
	u32 prefix; /* bytes that are in the frame already */
	u32 used;   /* of decoder->out */
	u32 n;
	struct {
		void *found;
		u32 len;
	} part[16];
	struct update_reads reads;
};

/* Waits for what was begun, and puts it into the frame. */
static int collect(struct gather *gather)
{
	const struct update1_chunk *chunk = gather->decoder->chunk;
	int r = update_reads_wait(&gather->reads);
	u32 i, done, n, at;

	for (i = 0; !r && i < gather->n; i++)
		for (done = 0; done < gather->part[i].len; done += n) {
			at = update1_frame_span(chunk, gather->prefix, &n);
			n = min(n, gather->part[i].len - done);
			memcpy(gather->decoder->frame + at,
			       gather->part[i].found + done, n);
			gather->prefix += n;
		}
	gather->n = 0;
	gather->used = 0;
	return r;
}

/* Begins to read @len bytes at @at, and waits before if there is no room. */
static int gather_part(struct gather *gather, struct block_device *bdev, u64 at,
		       u32 len)
{
	u32 room = update_read_room(bdev, len);
	int r = 0;

	if (gather->n == ARRAY_SIZE(gather->part) ||
	    room > gather->decoder->out_room - gather->used)
		r = collect(gather);
	if (r)
		return r;
	gather->part[gather->n].len = len;
	gather->part[gather->n].found =
		update_reads_begin(&gather->reads, gather->source->io, bdev, at,
				   len, gather->decoder->out + gather->used);
	gather->n++;
	gather->used += room;
	return 0;
}

static int gather_range(struct gather *gather, u32 view,
			const struct update1_range *range)
{
	u64 at, from = range->offset;
	u32 n, left = range->len;
	struct block_device *bdev;
	int r;

	for (; left; left -= n, from += n) {
		n = left;
		bdev = update_old_find(gather->source, view, from, &n, &at);
		r = gather_part(gather, bdev, at, n);
		if (r)
			return r;
	}
	return 0;
}

static int read_prefix(struct update_source *source,
		       struct update_decoder *decoder, u32 view)
{
	const struct update1_chunk *chunk = decoder->chunk;
	struct gather gather = { .source = source, .decoder = decoder };
	int r = 0, last;
	u32 i;

	update_reads_init(&gather.reads);
	for (i = 0; !r && i < chunk->n_ranges; i++)
		r = gather_range(&gather, view, &chunk->ranges[i]);
	last = collect(&gather);
	return r ?: last;
}

/* ---- chunks ------------------------------------------------------------- */

static int decode_v0(struct update_source *source,
		     struct update_decoder *decoder, u32 c, u32 want,
		     bool whole, void *to)
{
	const struct update_dir *dir = &source->v0;
	u32 len = update_chunk_packed(dir, c);
	void *packed;
	int n;

	/* A zstd frame is always decompressed whole. */
	if (whole || dir->compression == UPDATE_ZSTD)
		want = dir->chunks[c].need;
	if (dir->compression == UPDATE_NONE && want < len)
		len = want;
	packed = update_read(source->io, source->diff, dir->chunks[c].src, len,
			     decoder->packed);
	if (IS_ERR(packed))
		return PTR_ERR(packed);
	n = decompress(dir->compression, decoder->zstd, to,
		       whole ? dir->chunk_bytes : want, dir->chunk_bytes,
		       packed, len);
	/*
	 * A chunk that is too short would leave the end of what was there
	 * before, so its length counts as much as its contents.
	 */
	return n >= 0 && (u32)n < want ? -EBADMSG : n;
}

/* The frame of @pieces pieces, to @to. */
static int decode_frame(struct update_source *source,
			struct update_decoder *decoder, u32 pieces,
			const void *packed, void *to)
{
	const struct update1_geometry *g = &source->v1.g;
	const struct update1_chunk *chunk = decoder->chunk;
	u32 bytes = update1_pieces_bytes(g, chunk, pieces);
	u32 len = update1_frame_seal(g, chunk, pieces, packed, decoder->frame);
	int n = decompress_zstd(decoder->zstd, decoder->out, decoder->out_room,
				decoder->frame, len);

	if (n < 0 || (u32)n != chunk->prefix + bytes)
		return -EBADMSG;
	if (update1_chunk_check(g, chunk, pieces, decoder->out + chunk->prefix))
		return -EBADMSG;
	memcpy(to, decoder->out + chunk->prefix, bytes);
	return bytes;
}

static int decode_v1(struct update_source *source,
		     struct update_decoder *decoder,
		     const struct update_ref *ref, u32 want, bool whole,
		     u32 view, void *to)
{
	const struct update1_geometry *g = &source->v1.g;
	struct update1_chunk *chunk = decoder->chunk;
	const char *why;
	void *packed;
	int r;

	packed = update_read(source->io, source->diff, ref->key, ref->stored,
			     decoder->packed);
	if (IS_ERR(packed))
		return PTR_ERR(packed);
	r = update1_chunk_parse(g, packed, ref->stored, chunk, &why);
	if (r || chunk->bytes < want)
		return -EBADMSG;
	r = read_prefix(source, decoder, view);
	if (r)
		return r;
	return decode_frame(source, decoder,
			    whole ? chunk->n_pieces
				  : update1_pieces(g, chunk, want),
			    packed, to);
}

int update_decode(struct update_source *source, struct update_decoder *decoder,
		  const struct update_ref *chunk, u32 want, bool whole,
		  u32 view, void *to)
{
	u64 at = chunk->key;
	int n;

	if (source->version) {
		n = decode_v1(source, decoder, chunk, want, whole, view, to);
	} else {
		n = decode_v0(source, decoder, chunk->key, want, whole, to);
		at = source->v0.chunks[chunk->key].src;
	}
	if (n < 0)
		DMERR_LIMIT("%pg: chunk at byte %llu %s", source->diff, at,
			    n == -EBADMSG ? "is damaged" : "is unreadable");
	return n;
}

/* ---- decoders ----------------------------------------------------------- */

static u32 packed_limit(const struct update_source *source)
{
	if (source->version) /* what is read is rounded up */
		return source->v1.g.stored_bytes + 1024;
	return update_packed_limit(source->v0.compression, source->chunk_bytes);
}

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
	size_t size = update_read_room(source->diff, packed_limit(source));

	if (uses_zstd(source))
		size += zstd_dctx_workspace_bound();
	if (source->version)
		size += update1_frame_room(&source->v1.g) + out_room(source) +
			sizeof(struct update1_chunk);
	return size;
}

void update_decoder_exit(struct update_decoder *decoder)
{
	kfree(decoder->chunk);
	kvfree(decoder->out);
	kvfree(decoder->frame);
	kvfree(decoder->workspace);
	kvfree(decoder->packed);
	memset(decoder, 0, sizeof(*decoder));
}

static int make_v1(struct update_decoder *decoder,
		   const struct update_source *source)
{
	decoder->out_room = out_room(source);
	decoder->out = kvmalloc(decoder->out_room, GFP_KERNEL);
	decoder->frame =
		kvmalloc(update1_frame_room(&source->v1.g), GFP_KERNEL);
	decoder->chunk = kmalloc(sizeof(*decoder->chunk), GFP_KERNEL);
	return decoder->out && decoder->frame && decoder->chunk ? 0 : -ENOMEM;
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

	decoder->packed =
		kvmalloc(update_read_room(source->diff, packed), GFP_KERNEL);
	if (!decoder->packed)
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
				      packed_limit(source));

	if (!r && source->version) {
		r = make_v1(decoder, source);
		if (r)
			update_decoder_exit(decoder);
	}
	return r;
}
