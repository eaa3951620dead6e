// SPDX-License-Identifier: GPL-2.0-or-later
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "err.h"
#include "v1.h"

/* ---- opening ------------------------------------------------------------- */

int v1_format(struct dev *dev)
{
	struct update_super super;
	int version;

	if (dev_size(dev) < sizeof(super))
		return error("'%s' is not an update diff: it has %llu bytes",
			     dev_name(dev), (unsigned long long)dev_size(dev));
	if (dev_read(dev, 0, &super, sizeof(super)))
		return -1;
	version = update_version(&super);
	if (version < 0)
		return error("'%s' is not an update diff: it does not begin "
			     "like one",
			     dev_name(dev));
	if (version > UPDATE_VERSION_1)
		return error("'%s' is an update diff of format %d, expected 0 "
			     "or 1",
			     dev_name(dev), version);
	return version;
}

static int refused(struct v1_reader *rd, const char *why)
{
	return error("'%s': %s", dev_name(rd->dev), why);
}

/* The page at @bytes, unpacked into @contents. -1 after error(). */
static int unpack_page(struct v1_reader *rd, const uint8_t *bytes,
		       uint32_t stored, uint8_t *contents, uint32_t decoded)
{
	size_t n = ZSTD_decompressDCtx(rd->zstd, contents, decoded,
				       bytes + sizeof(struct update1_page),
				       stored);

	if (!ZSTD_isError(n) && n == decoded)
		return 0;
	return error("'%s': the directory is damaged: %s", dev_name(rd->dev),
		     ZSTD_isError(n) ? ZSTD_getErrorName(n)
				     : "a page is too short");
}

/* After a failure nothing of the directory is left. */
static int load_page(struct v1_reader *rd, struct update1_load *load,
		     uint8_t *bytes, uint8_t *contents)
{
	uint32_t stored, decoded;
	const char *why;

	if (dev_read(rd->dev, update1_load_at(load), bytes,
		     update1_load_want(load)))
		goto cancel;
	if (update1_load_sizes(load, bytes, &stored, &decoded, &why))
		return refused(rd, why);
	if (unpack_page(rd, bytes, stored, contents, decoded))
		goto cancel;
	if (update1_load_page(load, bytes, contents, &why))
		return refused(rd, why);
	return 0;
cancel:
	update1_load_cancel(load);
	return -1;
}

static int load_directory(struct v1_reader *rd,
			  const struct update1_geometry *g)
{
	uint8_t *bytes = malloc(sizeof(struct update1_page) +
				UPDATE1_PAGE_STORED + UPDATE1_PAGE);
	struct update1_load load;
	const char *why;
	int r = 0;

	if (!bytes)
		return error("out of memory");
	if (update1_load_begin(&load, &rd->dir, g, &why))
		r = refused(rd, why);
	while (!r && update1_load_at(&load))
		r = load_page(rd, &load, bytes,
			      bytes + sizeof(struct update1_page) +
				      UPDATE1_PAGE_STORED);
	if (!r && update1_load_end(&load, &why))
		r = refused(rd, why);
	free(bytes);
	return r;
}

static int allocate(struct v1_reader *rd)
{
	const struct update1_geometry *g = &rd->dir.g;

	rd->stored = malloc(g->stored_bytes + 1024);
	rd->frame = malloc(update1_frames_room(g));
	rd->decoded = malloc(g->prefix_bytes + g->chunk_bytes);
	if (rd->stored && rd->frame && rd->decoded)
		return 0;
	return error("out of memory for a chunk");
}

static int load(struct v1_reader *rd)
{
	struct update1_super super;
	struct update1_geometry g;
	const char *why;

	if (dev_read(rd->dev, 0, &super, sizeof(super)))
		return -1;
	if (update1_super_parse(&super, dev_size(rd->dev), &g, &why))
		return refused(rd, why);
	if (load_directory(rd, &g))
		return -1;
	return allocate(rd);
}

int v1_open(struct v1_reader *rd, struct dev *dev)
{
	*rd = (struct v1_reader){ .dev = dev, .zstd = ZSTD_createDCtx() };
	if (!rd->zstd)
		return error("out of memory");
	if (!load(rd))
		return 0;
	v1_close(rd);
	return -1;
}

void v1_close(struct v1_reader *rd)
{
	update1_dir_exit(&rd->dir);
	ZSTD_freeDCtx(rd->zstd);
	free(rd->stored);
	free(rd->frame);
	free(rd->decoded);
}

/* ---- old bytes ----------------------------------------------------------- */

static int read_old(const struct v1_reader *rd, const struct v1_old *old,
		    uint64_t offset, uint8_t *to, uint32_t len)
{
	struct update1_place place;

	for (; len; offset += place.len, to += place.len, len -= place.len) {
		update1_old(&rd->dir, old->done, offset, len, &place);
		if (place.saved
			    ? dev_read(old->stage, old->at + place.at, to,
				       place.len)
			    : dev_read(old->system, place.at, to, place.len))
			return -1;
	}
	return 0;
}

/* ---- chunks -------------------------------------------------------------- */

int v1_chunk(struct v1_reader *rd, const struct update1_extent *e)
{
	const char *why;

	if (rd->loaded == e->src)
		return 0;
	rd->loaded = 0;
	rd->ready = false;
	if (dev_read(rd->dev, e->src, rd->stored, e->stored))
		return -1;
	if (update1_chunk_parse(&rd->dir.g, rd->stored, e->stored, &rd->chunk,
				&why))
		return error("'%s': the chunk at byte %llu is bad: %s",
			     dev_name(rd->dev), (unsigned long long)e->src,
			     why);
	rd->loaded = e->src;
	return 0;
}

static int read_range(const struct v1_reader *rd, const struct v1_old *old,
		      const struct update1_piece *piece, uint8_t *frame,
		      struct update1_range range, uint32_t *at)
{
	uint32_t len;

	for (; range.len; range.offset += len, range.len -= len) {
		uint8_t *to = frame + update1_frames_span(piece, *at, &len);

		if (len > range.len)
			len = range.len;
		if (read_old(rd, old, range.offset, to, len))
			return -1;
		*at += len;
	}
	return 0;
}

static int read_prefix(const struct v1_reader *rd, const struct v1_old *old,
		       uint32_t number)
{
	const struct update1_chunk *chunk = &rd->chunk;
	const struct update1_piece *piece = &chunk->pieces[number];
	uint8_t *frame = rd->frame + update1_frames_at(chunk, 0, number);
	uint32_t at = 0;

	for (uint32_t i = piece->first; i < piece->end; i++)
		if (read_range(rd, old, piece, frame, chunk->ranges[i], &at))
			return -1;
	return 0;
}

/* The whole chunk that is loaded. */
static int decode(struct v1_reader *rd, const struct v1_old *old)
{
	const struct update1_geometry *g = &rd->dir.g;
	const struct update1_chunk *chunk = &rd->chunk;
	uint32_t all = chunk->n_pieces;
	size_t want = update1_frames_bytes(g, chunk, 0, all), size, n;
	uint64_t at = rd->loaded;

	for (uint32_t i = 0; i < all; i++)
		if (read_prefix(rd, old, i))
			return -1;
	size = update1_frames_seal(g, chunk, 0, all, rd->stored, rd->frame);
	n = ZSTD_decompressDCtx(rd->zstd, rd->decoded, want, rd->frame, size);
	rd->ready = !ZSTD_isError(n) && n == want &&
		    !update1_frames_take(g, chunk, 0, all, rd->decoded,
					 rd->decoded);
	if (rd->ready)
		return 0;
	rd->loaded = 0; /* to be read again, if it is wanted again */
	return error("'%s': the chunk at byte %llu is bad: %s",
		     dev_name(rd->dev), (unsigned long long)at,
		     ZSTD_isError(n) ? ZSTD_getErrorName(n)
				     : "its contents have a wrong checksum");
}

/* ---- extents ------------------------------------------------------------- */

static int read_data(struct v1_reader *rd, const struct v1_old *old,
		     const struct update1_extent *e, uint64_t at, void *to,
		     size_t len)
{
	if (v1_chunk(rd, e) || (!rd->ready && decode(rd, old)))
		return -1;
	if (e->offset + at + len > rd->chunk.bytes)
		return error("'%s': the chunk at byte %llu is bad: it has %u "
			     "bytes, expected %llu",
			     dev_name(rd->dev), (unsigned long long)rd->loaded,
			     rd->chunk.bytes,
			     (unsigned long long)(e->offset + at + len));
	memcpy(to, rd->decoded + e->offset + at, len);
	return 0;
}

int v1_read(struct v1_reader *rd, const struct v1_old *old,
	    const struct update1_extent *e, uint64_t at, void *to, size_t len)
{
	switch (e->kind) {
	case UPDATE1_IS_ZERO:
		memset(to, 0, len);
		return 0;
	case UPDATE1_IS_COPY:
		return read_old(rd, old, e->src + at, to, len);
	case UPDATE1_IS_DATA:
		break;
	}
	return read_data(rd, old, e, at, to, len);
}
