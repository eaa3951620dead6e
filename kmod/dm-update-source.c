// SPDX-License-Identifier: GPL-2.0-only
#include <linux/device-mapper.h>
#include <linux/mm.h>

#include "dm-update-decode.h"
#include "dm-update-io.h"
#include "dm-update-source.h"
#include "dm-update-store.h"

#define WINDOW_BITS 12	/* blocks that one entry of windows[] stands for */
#define EPOCH_BITS  24	/* bytes of an epoch of format version 0 */
#define NEAR_PIECES 256 /* how far the next chunk is looked for */

/* ---- pieces of format version 0: single blocks -------------------------- */

#define DEST_BITS 48 /* of blocks[] */

static u64 dest_v0(const struct update_source *source, u32 i)
{
	return source->blocks[i] & ((1ull << DEST_BITS) - 1);
}

/*
 * What is needed of the entries when they are checked takes half the memory:
 * the chunk follows from their order.
 */
static int pack_entries(struct update_source *source)
{
	struct update_dir *dir = &source->v0;
	u32 i;

	source->blocks = kvmalloc_array(dir->n + 1, sizeof(u64), GFP_KERNEL);
	if (!source->blocks)
		return -ENOMEM;
	for (i = 0; i < dir->n; i++)
		source->blocks[i] =
			update_dir_dest(dir, i) |
			(u64)(update_dir_offset(dir, i) >> dir->block_bits)
				<< DEST_BITS;
	plat_free((void *)dir->entries);
	dir->entries = NULL;
	return 0;
}

static u32 epoch_shift(const struct update_source *source)
{
	return EPOCH_BITS - source->block_bits;
}

static void piece_v0(const struct update_source *source, u32 i,
		     struct update_piece *piece)
{
	const struct update_dir *dir = &source->v0;

	piece->block = dest_v0(source, i);
	piece->n = 1;
	piece->epoch = i >> epoch_shift(source);
	piece->kind = UPDATE_PIECE_DATA;
	piece->chunk.key = update_dir_chunk(dir, i);
	piece->chunk.stored = 0;
	piece->at = (source->blocks[i] >> DEST_BITS) << dir->block_bits;
}

/* ---- pieces of format version 1: its extents ---------------------------- */

static void piece_v1(const struct update_source *source, u32 i,
		     struct update_piece *piece)
{
	static const enum update_kind kinds[] = {
		[UPDATE1_IS_ZERO] = UPDATE_PIECE_ZERO,
		[UPDATE1_IS_COPY] = UPDATE_PIECE_COPY,
		[UPDATE1_IS_DATA] = UPDATE_PIECE_DATA,
	};
	struct update1_extent extent;

	update1_extent(&source->v1, i, &extent);
	piece->block = extent.dest;
	piece->n = extent.blocks;
	piece->epoch = extent.epoch;
	piece->kind = kinds[extent.kind];
	piece->chunk.key = extent.src;
	piece->chunk.stored = extent.stored;
	piece->at = extent.offset;
	piece->from = extent.src;
}

/* ---- pieces of both ----------------------------------------------------- */

void update_source_piece(const struct update_source *source, u32 i,
			 struct update_piece *piece)
{
	if (source->version)
		piece_v1(source, i, piece);
	else
		piece_v0(source, i, piece);
}

/* Where piece @i ends, in blocks. */
static u64 piece_end(const struct update_source *source, u32 i)
{
	struct update1_extent extent;

	if (!source->version)
		return dest_v0(source, i) + 1;
	update1_extent(&source->v1, i, &extent);
	return extent.dest + extent.blocks;
}

u32 update_source_find(const struct update_source *source, u64 block)
{
	const u32 *window = &source->windows[block >> WINDOW_BITS];
	u32 low = window[0], high = window[1];

	while (low < high) {
		u32 middle = low + (high - low) / 2;

		if (piece_end(source, middle) <= block)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static u32 next_chunk_v1(const struct update_source *source, u32 i)
{
	u32 end = min(source->n_pieces, i + NEAR_PIECES);
	struct update_piece here, piece;

	update_source_piece(source, i, &here);
	while (++i < end) {
		update_source_piece(source, i, &piece);
		if (piece.kind == UPDATE_PIECE_DATA &&
		    (here.kind != UPDATE_PIECE_DATA ||
		     piece.chunk.key != here.chunk.key))
			return i;
	}
	return source->n_pieces;
}

u32 update_source_next_chunk(const struct update_source *source, u32 i)
{
	const struct update_dir *dir = &source->v0;

	if (source->version)
		return next_chunk_v1(source, i);
	return dir->chunks[update_dir_chunk(dir, i) + 1].first;
}

/* Adds what [@at, @end) needs of @piece, which begins before @end. */
static void widen(const struct update_source *source,
		  const struct update_piece *piece, u64 at, u64 end,
		  struct update_span *span)
{
	u64 first = piece->block << source->block_bits;
	u64 from = max(first, at);

	end = min(end, (piece->block + piece->n) << source->block_bits);
	span->from = min_t(u64, span->from, piece->at + (from - first));
	span->end = max_t(u64, span->end, piece->at + (end - first));
}

struct update_span update_source_span(const struct update_source *source, u32 i,
				      u64 at, u64 end)
{
	u32 last = min(source->n_pieces, i + NEAR_PIECES);
	struct update_span span = { .from = U32_MAX };
	struct update_piece here, piece;

	update_source_piece(source, i, &here);
	for (; i < last; i++) {
		update_source_piece(source, i, &piece);
		if (piece.block << source->block_bits >= end)
			break;
		if (piece.kind == UPDATE_PIECE_DATA &&
		    piece.chunk.key == here.chunk.key)
			widen(source, &piece, at, end, &span);
		else if (!source->version) /* chunks follow each other */
			break;
	}
	return span;
}

void update_source_epoch(const struct update_source *source, u32 epoch,
			 u32 *first, u32 *end)
{
	u64 most = source->n_pieces;

	if (source->version) {
		*first = source->v1.epochs[epoch].first;
		*end = source->v1.epochs[epoch].end;
	} else {
		*first = epoch << epoch_shift(source);
		*end = min(most, (epoch + 1ull) << epoch_shift(source));
	}
}

/* ---- the bits ----------------------------------------------------------- */

static void mark(struct update_source *source, const struct update_piece *piece,
		 bool changed)
{
	u64 block;

	for (block = piece->block; block < piece->block + piece->n; block++)
		if (changed)
			set_bit(block, source->changed);
		else
			clear_bit(block, source->changed);
}

void update_source_set_done(struct update_source *source, u32 done)
{
	struct update_piece piece;
	u32 i;

	for (i = 0; i < source->n_pieces; i++) {
		update_source_piece(source, i, &piece);
		mark(source, &piece, piece.epoch >= done);
	}
}

void update_source_merged(struct update_source *source, u32 epoch)
{
	struct update_piece piece;
	u32 i, end;

	update_source_epoch(source, epoch, &i, &end);
	for (; i < end; i++) {
		update_source_piece(source, i, &piece);
		if (piece.epoch == epoch)
			mark(source, &piece, false);
	}
}

static u64 n_windows(const struct update_source *source)
{
	return ((source->n_blocks - 1) >> WINDOW_BITS) + 1;
}

static void fill_windows(struct update_source *source)
{
	u64 window, n = n_windows(source);
	u32 i = 0;

	for (window = 0; window <= n; window++) {
		while (i < source->n_pieces &&
		       piece_end(source, i) <= window << WINDOW_BITS)
			i++;
		source->windows[window] = i;
	}
}

static int make_lookup(struct update_source *source)
{
	source->n_blocks =
		((source->image_bytes - 1) >> source->block_bits) + 1;
	if (source->n_blocks > ULONG_MAX - BITS_PER_LONG)
		return -ENOMEM;
	source->changed = kvcalloc(BITS_TO_LONGS(source->n_blocks),
				   sizeof(long), GFP_KERNEL);
	source->windows =
		kvcalloc(n_windows(source) + 1, sizeof(u32), GFP_KERNEL);
	if (!source->changed || !source->windows)
		return -ENOMEM;
	update_source_set_done(source, 0);
	fill_windows(source);
	return 0;
}

/* ---- opening format version 0 ------------------------------------------- */

/* The directory as stored, decompressed: plat_alloc'ed, or an ERR_PTR. */
static struct update_dirent *load_entries(
	struct update_source *source, const struct update_geometry *geometry,
	const char **why)
{
	size_t size = geometry->dir_n * sizeof(struct update_dirent);
	struct update_dirent *entries = plat_alloc(size);
	struct update_decoder decoder = {};
	void *packed;
	int n;

	*why = "Not enough memory for the directory";
	n = -ENOMEM;
	if (!entries ||
	    update_decoder_simple(&decoder, source, geometry->compression,
				  geometry->dir_packed))
		goto free_entries;
	*why = "Cannot read the directory";
	packed = update_read(source->io, source->diff, geometry->dir_offset,
			     geometry->dir_packed, decoder.window.buf);
	if (IS_ERR(packed))
		n = PTR_ERR(packed);
	else
		n = update_unpack(&decoder, geometry->compression, entries,
				  size, packed, geometry->dir_packed);
	update_decoder_exit(&decoder);
	if (n == size)
		return entries;
	if (n >= 0 || n == -EBADMSG) {
		*why = "Directory is damaged";
		n = -EINVAL;
	}
free_entries:
	plat_free(entries);
	return ERR_PTR(n);
}

/*
 * Its records need an identity, which the format has not: sums of superblock
 * and directory, that two diffs are unlikely to share.
 */
static void identify_v0(struct update_source *source,
			const struct update_super *super,
			const struct update_geometry *geometry)
{
	size_t size = geometry->dir_n * sizeof(struct update_dirent);
	struct update1_geometry *g = &source->v1.g;
	const void *entries = source->v0.entries, *start = super;
	__le32 sums[4] = {
		cpu_to_le32(plat_crc32c(~0, start, sizeof(*super))),
		cpu_to_le32(plat_crc32(~0, start, sizeof(*super))),
		cpu_to_le32(plat_crc32c(~0, entries, size)),
		cpu_to_le32(plat_crc32(~0, entries, size)),
	};

	memcpy(g->id, sums, sizeof(g->id));
	g->block_bits = source->block_bits;
	g->n_epochs = source->n_epochs;
	g->file_size = max(geometry->dir_offset + geometry->dir_packed,
			   source->v0.chunks[source->v0.n_chunks].src);
}

static int open_v0(struct update_source *source,
		   const struct update_super *super, const char **why)
{
	u64 bytes = bdev_nr_bytes(source->diff);
	struct update_geometry geometry;
	struct update_dirent *entries;
	int r;

	r = update_super_parse(super, bytes, source->image_bytes, &geometry,
			       why);
	if (r)
		return r;
	entries = load_entries(source, &geometry, why);
	if (IS_ERR(entries))
		return PTR_ERR(entries);
	r = update_dir_init(&source->v0, &geometry, bytes, source->image_bytes,
			    entries, why);
	if (r) {
		plat_free(entries);
		return r;
	}
	source->block_bits = geometry.block_bits;
	source->chunk_bytes = geometry.chunk_bytes;
	source->new_bytes = source->image_bytes;
	source->n_pieces = source->n_changed = source->v0.n;
	if (source->n_pieces)
		source->n_epochs =
			((source->n_pieces - 1) >> epoch_shift(source)) + 1;
	identify_v0(source, super, &geometry);
	*why = "Not enough memory for the directory";
	return pack_entries(source);
}

/* ---- opening format version 1 ------------------------------------------- */

/* One page of the directory; @contents has room for one. */
static int load_page(struct update_source *source, struct update1_load *load,
		     struct update_decoder *decoder, void *contents,
		     const char **why)
{
	u32 stored, decoded;
	void *bytes;
	int n;

	*why = "Cannot read the directory";
	bytes = update_read(source->io, source->diff, update1_load_at(load),
			    update1_load_want(load), decoder->window.buf);
	if (IS_ERR(bytes)) {
		update1_load_cancel(load);
		return PTR_ERR(bytes);
	}
	n = update1_load_sizes(load, bytes, &stored, &decoded, why);
	if (n)
		return n;
	n = update_unpack(decoder, UPDATE_ZSTD, contents, decoded, bytes + 8,
			  stored);
	if (n < 0 || (u32)n != decoded) {
		update1_load_cancel(load);
		*why = "Directory is damaged";
		return -EINVAL;
	}
	return update1_load_page(load, bytes, contents, why);
}

static int load_pages(struct update_source *source,
		      const struct update1_geometry *geometry,
		      struct update_decoder *decoder, void *contents,
		      const char **why)
{
	struct update1_load load;
	int r = update1_load_begin(&load, &source->v1, geometry, why);

	while (!r && update1_load_at(&load))
		r = load_page(source, &load, decoder, contents, why);
	return r ?: update1_load_end(&load, why);
}

static int load_v1(struct update_source *source,
		   const struct update1_geometry *geometry, const char **why)
{
	struct update_decoder decoder = {};
	void *contents = kvmalloc(UPDATE1_PAGE, GFP_KERNEL);
	int r = -ENOMEM;

	*why = "Not enough memory for the directory";
	if (contents)
		r = update_decoder_simple(&decoder, source, UPDATE_ZSTD,
					  8 + UPDATE1_PAGE_STORED);
	if (!r) {
		r = load_pages(source, geometry, &decoder, contents, why);
		update_decoder_exit(&decoder);
	}
	kvfree(contents);
	return r;
}

static int check_sizes_v1(const struct update_source *source,
			  const struct update1_geometry *geometry,
			  const char **why)
{
	*why = "Image of the diff has another size than the target";
	if (round_up(geometry->new_size, SECTOR_SIZE) != source->image_bytes)
		return -EINVAL;
	*why = "System device is smaller than the old image";
	if (geometry->old_size > bdev_nr_bytes(source->system))
		return -EINVAL;
	return 0;
}

static int open_v1(struct update_source *source,
		   const struct update1_super *super, const char **why)
{
	struct update1_geometry geometry;
	int r;

	r = update1_super_parse(super, bdev_nr_bytes(source->diff), &geometry,
				why);
	if (!r)
		r = check_sizes_v1(source, &geometry, why);
	if (!r)
		r = load_v1(source, &geometry, why);
	if (r)
		return r;
	source->block_bits = geometry.block_bits;
	source->chunk_bytes = geometry.chunk_bytes;
	source->new_bytes = geometry.new_size;
	source->n_pieces = geometry.n_extents;
	source->n_changed = geometry.changed;
	source->n_epochs = geometry.n_epochs;
	return 0;
}

/* ---- opening ------------------------------------------------------------ */

/* @super: as many bytes as the superblock of any version has. */
static int open_any(struct update_source *source, const void *super,
		    const char **why)
{
	int version = update_version(super);

	if (version == UPDATE_VERSION_1) {
		source->version = version;
		return open_v1(source, super, why);
	}
	return open_v0(source, super, why);
}

static int open_diff(struct update_source *source, const char **why)
{
	u64 bytes = bdev_nr_bytes(source->diff);
	u32 size = min_t(u64, bytes, UPDATE1_SUPER_SIZE);
	void *buf, *super;
	int r;

	*why = "Update device is smaller than a superblock";
	if (bytes < sizeof(struct update_super))
		return -EINVAL;
	*why = "Not enough memory";
	buf = kvzalloc(update_read_room(source->diff, UPDATE1_SUPER_SIZE),
		       GFP_KERNEL);
	if (!buf)
		return -ENOMEM;
	*why = "Cannot read the superblock of the update device";
	super = update_read(source->io, source->diff, 0, size, buf);
	r = IS_ERR(super) ? PTR_ERR(super) : open_any(source, super, why);
	kvfree(buf);
	return r;
}

int update_source_open(struct update_source *source, const char **why)
{
	int r;

	*why = "Not enough memory";
	update_view_init(&source->view);
	source->io = dm_io_client_create();
	if (IS_ERR(source->io))
		return PTR_ERR(source->io);
	r = open_diff(source, why);
	if (!r && source->store.bdev)
		r = update_store_init(source, why);
	if (!r) {
		*why = "Not enough memory for the map of blocks";
		r = make_lookup(source);
	}
	if (r)
		update_source_close(source);
	return r;
}

void update_source_close(struct update_source *source)
{
	kvfree(source->windows);
	kvfree(source->changed);
	kvfree(source->blocks);
	update_store_exit(source);
	if (source->version)
		update1_dir_exit(&source->v1);
	else
		update_dir_exit(&source->v0);
	dm_io_client_destroy(source->io);
}

size_t update_source_memory(const struct update_source *source)
{
	const struct update_dir *v0 = &source->v0;
	const struct update1_geometry *g = &source->v1.g;
	size_t size = BITS_TO_LONGS(source->n_blocks) * sizeof(long) +
		      (n_windows(source) + 1) * sizeof(u32);

	if (source->version)
		return size +
		       (g->n_extents + g->n_saves) *
			       sizeof(struct update1_packed) +
		       g->n_epochs * sizeof(struct update1_epoch);
	return size + (v0->n + 1) * sizeof(*source->blocks) +
	       (v0->n_chunks + 1) * sizeof(*v0->chunks);
}
