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

/* ---- the prefixes of pieces of version 1 --------------------------------- */

#define UPDATE_PARTS UPDATE1_MAX_RANGES /* more are read in turns */

/* A run of bytes of a prefix. */
struct update_part {
	struct block_device *bdev;
	u64 at;
	u32 len;
	u32 piece;
	u32 to;	     /* byte of the piece's prefix */
	void *found; /* when its read has begun, in decoder->out */
};

/* Reads of old bytes, several under way at once, into decoder->out. */
struct gather {
	struct update_source *source;
	struct update_decoder *decoder;
	u32 first;  /* piece in decoder->frames */
	u32 piece;  /* that parts are added for ... */
	u32 prefix; /* ... and bytes of its prefix that are */
	u32 used;   /* of decoder->out */
	u32 n;	    /* parts */
	u32 begun; /* parts whose reads have begun; the others make one read: */
	struct block_device *bdev;
	u64 at; /* bytes of it */
	u64 end;
	struct update_reads reads;
};

static void begin_read(struct gather *gather)
{
	struct update_decoder *decoder = gather->decoder;
	u32 len = gather->end - gather->at;
	struct update_part *part;
	void *found;

	if (gather->begun == gather->n)
		return;
	found = update_reads_begin(&gather->reads, gather->source->io,
				   gather->bdev, gather->at, len,
				   decoder->out + gather->used);
	gather->used += update_read_room(gather->bdev, len);
	for (; gather->begun < gather->n; gather->begun++) {
		part = &decoder->part[gather->begun];
		part->found = found + (part->at - gather->at);
	}
}

static void copy_part(struct gather *gather, const struct update_part *part)
{
	const struct update1_chunk *chunk = gather->decoder->chunk;
	void *frame = gather->decoder->frames +
		      update1_frames_at(chunk, gather->first, part->piece);
	u32 done, n, at;

	for (done = 0; done < part->len; done += n) {
		at = update1_frames_span(&chunk->pieces[part->piece],
					 part->to + done, &n);
		n = min(n, part->len - done);
		memcpy(frame + at, part->found + done, n);
	}
}

/* An error may be in what lies between the parts, which nobody needs. */
static int read_alone(struct gather *gather, struct update_part *part)
{
	part->found = update_read(gather->source->io, part->bdev, part->at,
				  part->len, gather->decoder->out);
	if (IS_ERR(part->found))
		return PTR_ERR(part->found);
	copy_part(gather, part);
	return 0;
}

/* Waits for what was begun, and puts it into the frames. */
static int collect(struct gather *gather)
{
	struct update_part *part = gather->decoder->part;
	struct update_part *end = part + gather->n;
	int failed, r = 0;

	begin_read(gather);
	failed = update_reads_wait(&gather->reads);
	for (; !r && part < end; part++)
		if (failed)
			r = read_alone(gather, part);
		else
			copy_part(gather, part);
	gather->n = gather->begun = gather->used = 0;
	return r;
}

/* Whether the read up to @end fits behind those that have begun. */
static bool fits(const struct gather *gather, struct block_device *bdev, u64 at,
		 u64 end)
{
	return end - at <= gather->decoder->out_room &&
	       update_read_room(bdev, end - at) <=
		       gather->decoder->out_room - gather->used;
}

/* Whether a part can join those that make one read. */
static bool joins(const struct gather *gather, struct block_device *bdev,
		  u64 at, u32 len)
{
	return gather->begun < gather->n && gather->bdev == bdev &&
	       at >= gather->at && at <= gather->end + UPDATE1_READ_GAP &&
	       fits(gather, bdev, gather->at, max(gather->end, at + len));
}

/* Adds @len bytes at @at, and waits before if there is no room. */
static int gather_part(struct gather *gather, struct block_device *bdev, u64 at,
		       u32 len)
{
	struct update_part *part;
	int r = 0;

	if (gather->n == UPDATE_PARTS)
		r = collect(gather);
	if (!r && !joins(gather, bdev, at, len)) {
		begin_read(gather);
		if (!fits(gather, bdev, at, at + len))
			r = collect(gather);
		gather->bdev = bdev;
		gather->at = gather->end = at;
	}
	if (r)
		return r;
	part = &gather->decoder->part[gather->n++];
	*part = (struct update_part){
		.bdev = bdev,
		.at = at,
		.len = len,
		.piece = gather->piece,
		.to = gather->prefix,
	};
	gather->prefix += len;
	gather->end = max(gather->end, at + len);
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

/* The prefixes of the pieces from @first to before @end, into their frames. */
static int read_prefixes(struct update_source *source,
			 struct update_decoder *decoder, u32 first, u32 end,
			 u32 view)
{
	const struct update1_chunk *chunk = decoder->chunk;
	struct gather gather = {
		.source = source,
		.decoder = decoder,
		.first = first,
	};
	int r = 0, last;
	u32 i;

	update_reads_init(&gather.reads);
	for (gather.piece = first; gather.piece < end; gather.piece++) {
		const struct update1_piece *piece =
			&chunk->pieces[gather.piece];

		gather.prefix = 0;
		for (i = piece->first; !r && i < piece->end; i++)
			r = gather_range(&gather, view, &chunk->ranges[i]);
	}
	last = collect(&gather);
	return r ?: last;
}

/* ---- chunks as they are in the file -------------------------------------- */

static u32 packed_limit(const struct update_source *source)
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

bool update_decoder_has(const struct update_decoder *decoder,
			const struct update_source *source,
			const struct update_ref *chunk)
{
	u64 at = chunk_at(source, chunk);

	return at >= decoder->got_at && at + chunk_stored(source, chunk) <=
						decoder->got_at + decoder->got;
}

static int read_packed(struct update_source *source,
		       struct update_decoder *decoder, u64 at, u32 len)
{
	void *found =
		update_read(source->io, source->diff, at, len, decoder->packed);

	if (IS_ERR(found))
		return PTR_ERR(found);
	decoder->got_at = at;
	decoder->got = len;
	decoder->got_to = found;
	return 0;
}

/*
 * The first @len bytes of @chunk, with @more what follows, if that is more than
 * one or two chunks; or an ERR_PTR. An error may be in what follows.
 */
static void *get_packed(struct update_source *source,
			struct update_decoder *decoder,
			const struct update_ref *chunk, u32 len, bool more)
{
	u64 at = chunk_at(source, chunk);
	u32 most = min_t(u64, packed_limit(source), chunks_end(source) - at);
	int r = 0;

	if (!update_decoder_has(decoder, source, chunk)) {
		decoder->got = 0;
		r = more && most >= 3 * len
			    ? read_packed(source, decoder, at, most)
			    : -EAGAIN;
		if (r)
			r = read_packed(source, decoder, at, len);
	}
	return r ? ERR_PTR(r) : decoder->got_to + (at - decoder->got_at);
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
		     bool whole, void *to, const char **why)
{
	const struct update_dir *dir = &source->v0;
	u32 len = chunk_stored(source, ref), want = span->end;
	void *packed;
	int n;

	/* A zstd frame is always decompressed whole. */
	if (whole || dir->compression == UPDATE_ZSTD)
		want = dir->chunks[ref->key].need;
	if (dir->compression == UPDATE_NONE && want < len)
		len = want;
	packed = get_packed(source, decoder, ref, len, whole);
	if (IS_ERR(packed))
		return PTR_ERR(packed);
	n = decompress(dir->compression, decoder->zstd, to,
		       whole ? dir->chunk_bytes : want, dir->chunk_bytes,
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
		     bool whole, u32 view, void *packed, void *to,
		     const char **why)
{
	const struct update1_geometry *g = &source->v1.g;
	struct update1_chunk *chunk = decoder->chunk;
	u32 first, end;
	int r;

	if (!packed)
		packed = get_packed(source, decoder, ref, ref->stored, whole);
	if (IS_ERR(packed))
		return PTR_ERR(packed);
	r = update1_chunk_parse(g, packed, ref->stored, chunk, why);
	if (r)
		return r;
	if (chunk->bytes < span->end)
		return refuse(why, "Chunk gives too little");
	first = whole ? 0 : update1_first_piece(g, span->from);
	end = whole ? chunk->n_pieces : update1_pieces(g, chunk, span->end);
	r = read_prefixes(source, decoder, first, end, view);
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
		  bool whole, u32 view, void *fetched, void *to)
{
	const char *why = "Chunk cannot be decompressed";
	int r;

	if (source->version)
		r = decode_v1(source, decoder, chunk, span, whole, view,
			      fetched, to, &why);
	else
		r = decode_v0(source, decoder, chunk, span, whole, to, &why);
	if (r) { /* when it is tried again it is read again */
		decoder->got = 0;
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
	size_t size = update_read_room(source->diff, packed_limit(source));

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
	kvfree(decoder->packed);
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
