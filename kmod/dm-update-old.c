// SPDX-License-Identifier: GPL-2.0-only
#include <linux/mm.h>

#include "dm-update-io.h"
#include "dm-update-old.h"
#include "dm-update-stock.h"

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

/* Reads of old bytes, several under way at once, into decoder->out. */
struct gather {
	struct update_source *source;
	struct update_decoder *decoder;
	const struct update_stock *stock; /* or NULL */
	u32 view;
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

/* @len bytes to byte @to of the prefix of @piece. */
static void put_bytes(struct gather *gather, u32 piece, u32 to, u32 len,
		      const void *from)
{
	const struct update1_chunk *chunk = gather->decoder->chunk;
	void *frame = gather->decoder->frames +
		      update1_frames_at(chunk, gather->first, piece);
	u32 done, n, at;

	for (done = 0; done < len; done += n) {
		at = update1_frames_span(&chunk->pieces[piece], to + done, &n);
		n = min(n, len - done);
		memcpy(frame + at, from + done, n);
	}
}

static void copy_part(struct gather *gather, const struct update_part *part)
{
	put_bytes(gather, part->piece, part->to, part->len, part->found);
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

static int gather_range(struct gather *gather,
			const struct update1_range *range)
{
	u64 at, from = range->offset;
	u32 n, left = range->len;
	struct block_device *bdev;
	const void *found = NULL;
	int r;

	for (; left; left -= n, from += n) {
		n = left;
		bdev = update_old_find(gather->source, gather->view, from, &n,
				       &at);
		if (gather->stock)
			found = update_stock_find(gather->stock, bdev, at, n);
		if (found) {
			put_bytes(gather, gather->piece, gather->prefix, n,
				  found);
			gather->prefix += n;
			continue;
		}
		r = gather_part(gather, bdev, at, n);
		if (r)
			return r;
	}
	return 0;
}

int update_old_prefixes(struct update_source *source,
			struct update_decoder *decoder, u32 first, u32 end,
			u32 view, const struct update_stock *stock)
{
	const struct update1_chunk *chunk = decoder->chunk;
	struct gather gather = {
		.source = source,
		.decoder = decoder,
		.stock = stock,
		.view = view,
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
			r = gather_range(&gather, &chunk->ranges[i]);
	}
	last = collect(&gather);
	return r ?: last;
}
