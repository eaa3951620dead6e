// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Writes a diff of format version 1: the chunks as they were packed, then the
 * directory of what diff-plan.h plans, last the superblock that makes the file
 * a diff. Both images are hashed beside all that.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "diff-explain.h"
#include "diff-memory.h"
#include "diff-number.h"
#include "diff-plan.h"
#include "diff.h"
#include "err.h"
#include "outfile.h"
#include "verify.h"

#define COLUMNS	    5
#define RECORD_MOST (1 + 6 * NUMBER_MAX) /* bytes, all columns */

/* A page of the directory while it is filled. */
struct page {
	uint8_t columns[COLUMNS][UPDATE1_PAGE];
	uint8_t *ends[COLUMNS];
	uint32_t n;
};

struct writer {
	struct plan *plan;
	struct outfile file;
	uint64_t pos;
	uint32_t dir_crc;
	uint32_t stored; /* the largest chunk */
	struct page *page;
	ZSTD_CCtx *zstd;
};

/* ---- hashes -------------------------------------------------------------- */

#define HASH_PIECE (1u << 20)

struct hash {
	const struct image *image;
	uint8_t sha256[HASH_SIZE];
	pthread_t thread;
	bool started;
};

/* What a hole reads as, without reading it. */
static void add_zeros(struct sha256 *sha, uint64_t len)
{
	static const uint8_t zeros[HASH_PIECE];

	for (; len > HASH_PIECE; len -= HASH_PIECE)
		sha256_add(sha, zeros, HASH_PIECE);
	sha256_add(sha, zeros, len);
}

static void add_data(struct sha256 *sha, const struct image *image, uint64_t at,
		     uint64_t end)
{
	uint64_t len;

	for (; at < end; at += len) {
		len = end - at < HASH_PIECE ? end - at : HASH_PIECE;
		sha256_add(sha, image->bytes + at, len);
		images_trim();
	}
}

static void *hash_image(void *arg)
{
	struct hash *h = arg;
	struct sha256 sha;
	uint64_t at = 0;

	sha256_start(&sha);
	for (uint32_t i = 0; i < h->image->n_parts; i++) {
		const struct image_part *part = &h->image->parts[i];

		add_zeros(&sha, part->from - at);
		add_data(&sha, h->image, part->from, part->to);
		at = part->to;
	}
	add_zeros(&sha, h->image->size - at);
	sha256_end(&sha, h->sha256);
	return NULL;
}

/* Of both images at once. */
static int start_hashes(struct hash *hashes)
{
	for (int i = 0; i < 2; i++) {
		if (pthread_create(&hashes[i].thread, NULL, hash_image,
				   &hashes[i]))
			return error("cannot start a thread");
		hashes[i].started = true;
	}
	return 0;
}

/* A second time is allowed. */
static void wait_hashes(struct hash *hashes)
{
	for (int i = 0; i < 2; i++) {
		if (hashes[i].started)
			pthread_join(hashes[i].thread, NULL);
		hashes[i].started = false;
	}
}

/* ---- chunks -------------------------------------------------------------- */

static int put(struct writer *w, const void *bytes, size_t len)
{
	if (outfile_write(&w->file, w->pos, bytes, len))
		return -1;
	w->pos += len;
	return 0;
}

static int write_chunks(struct writer *w)
{
	for (uint32_t i = 0; i < w->plan->n_chunks; i++) {
		struct plan_chunk *chunk = &w->plan->chunks[i];

		chunk->src = w->pos;
		if (chunk->size > w->stored)
			w->stored = chunk->size;
		if (put(w, chunk->stored, chunk->size))
			return -1;
	}
	return 0;
}

/* ---- directory ----------------------------------------------------------- */

static void page_begin(struct page *page)
{
	for (int i = 0; i < COLUMNS; i++)
		page->ends[i] = page->columns[i];
	page->n = 0;
}

static uint32_t page_size(const struct page *page)
{
	uint32_t size = NUMBER_MAX;

	for (int i = 0; i < COLUMNS; i++)
		size += page->ends[i] - page->columns[i];
	return size;
}

static int put_page(struct writer *w, const struct update1_page *head,
		    const void *frame, size_t len)
{
	w->dir_crc = plat_crc32c(w->dir_crc, head, sizeof(*head));
	w->dir_crc = plat_crc32c(w->dir_crc, frame, len);
	return put(w, head, sizeof(*head)) || put(w, frame, len);
}

/* Writes the page, if there is anything in it, and begins the next. */
static int page_end(struct writer *w)
{
	static uint8_t flat[UPDATE1_PAGE + NUMBER_MAX];
	static uint8_t frame[UPDATE1_PAGE_STORED];
	struct page *page = w->page;
	struct update1_page head;
	uint8_t *to = put_number(flat, page->n);
	size_t len;

	if (!page->n)
		return 0;
	for (int i = 0; i < COLUMNS; i++) {
		size_t size = page->ends[i] - page->columns[i];

		memcpy(to, page->columns[i], size);
		to += size;
	}
	len = ZSTD_compress2(w->zstd, frame, sizeof(frame), flat, to - flat);
	if (ZSTD_isError(len))
		return error("cannot compress the directory: %s",
			     ZSTD_getErrorName(len));
	head.stored = cpu_to_le32((u32)len);
	head.decoded = cpu_to_le32((u32)(to - flat));
	page_begin(page);
	return put_page(w, &head, frame, len);
}

static int make_room(struct writer *w)
{
	if (page_size(w->page) + RECORD_MOST <= UPDATE1_PAGE)
		return 0;
	return page_end(w);
}

static void column_number(struct page *page, int column, uint64_t n)
{
	page->ends[column] = put_number(page->ends[column], n);
}

static void column_signed(struct page *page, int column, int64_t n)
{
	page->ends[column] = put_signed(page->ends[column], n);
}

/* What the fields of the next extent are counted from. */
struct before {
	uint64_t dest_end, chunk_end;
	int64_t shift;
	uint32_t epoch, chunk, at;
	bool data; /* there was a data extent */
};

/* Which of the four kinds says least. */
static int data_kind(const struct before *b, const struct plan_extent *e,
		     const struct plan_chunk *chunk)
{
	if (b->data && e->chunk == b->chunk)
		return e->at == b->at ? UPDATE1_DATA : UPDATE1_DATA_AT;
	return chunk->src == b->chunk_end && !e->at ? UPDATE1_DATA_NEXT
						    : UPDATE1_DATA_FAR;
}

static int put_data(struct page *page, const struct before *b,
		    const struct plan_extent *e, const struct plan_chunk *chunk)
{
	int kind = data_kind(b, e, chunk);

	if (kind == UPDATE1_DATA_AT)
		column_number(page, 4, e->at);
	if (kind == UPDATE1_DATA_FAR)
		column_signed(page, 4, (int64_t)(chunk->src - b->chunk_end));
	if (kind == UPDATE1_DATA_NEXT || kind == UPDATE1_DATA_FAR)
		column_number(page, 4, chunk->size);
	if (kind == UPDATE1_DATA_FAR)
		column_number(page, 4, e->at);
	return kind;
}

static int put_source(const struct plan *plan, struct page *page,
		      struct before *b, const struct plan_extent *e)
{
	const struct plan_chunk *chunk = &plan->chunks[e->chunk];
	int64_t shift;
	int kind;

	if (e->kind == UPDATE1_IS_ZERO)
		return UPDATE1_ZERO;
	if (e->kind == UPDATE1_IS_COPY) {
		shift = (int64_t)(e->src - (e->dest << plan->block_bits));
		column_signed(page, 4, shift - b->shift);
		b->shift = shift;
		return UPDATE1_COPY;
	}
	kind = put_data(page, b, e, chunk);
	b->chunk = e->chunk;
	b->chunk_end = chunk->src + chunk->size;
	b->at = e->at + e->blocks;
	b->data = true;
	return kind;
}

static int put_extents(struct writer *w)
{
	struct before b = { .chunk_end = UPDATE1_SUPER_SIZE };

	for (uint32_t i = 0; i < w->plan->n_extents; i++) {
		const struct plan_extent *e = &w->plan->extents[i];

		if (make_room(w))
			return -1;
		column_number(w->page, 1, e->dest - b.dest_end);
		column_number(w->page, 2, e->blocks - 1);
		column_signed(w->page, 3, (int64_t)e->epoch - b.epoch);
		*w->page->ends[0]++ = put_source(w->plan, w->page, &b, e);
		b.dest_end = e->dest + e->blocks;
		b.epoch = e->epoch;
		w->page->n++;
	}
	return page_end(w);
}

static int put_saves(struct writer *w)
{
	uint64_t old_end = 0;
	uint32_t epoch = 0, room_end = 0;

	for (uint32_t i = 0; i < w->plan->n_saves; i++) {
		const struct update1_save *save = &w->plan->saves[i];

		if (make_room(w))
			return -1;
		column_number(w->page, 0, save->old - old_end);
		column_number(w->page, 1, save->blocks - 1);
		column_signed(w->page, 2, (int64_t)save->epoch - epoch);
		column_number(w->page, 3, save->last - save->epoch);
		column_signed(w->page, 4, (int64_t)save->room - room_end);
		old_end = save->old + save->blocks;
		epoch = save->epoch;
		room_end = save->room + save->blocks;
		w->page->n++;
	}
	return page_end(w);
}

static int write_directory(struct writer *w)
{
	int r;

	w->dir_crc = ~0u;
	w->page = malloc(sizeof(*w->page));
	w->zstd = ZSTD_createCCtx();
	if (w->page && w->zstd) {
		page_begin(w->page);
		ZSTD_CCtx_setParameter(w->zstd, ZSTD_c_compressionLevel,
				       w->plan->level);
		r = put_extents(w) || put_saves(w) ? -1 : 0;
	} else {
		r = error("out of memory for the directory");
	}
	free(w->page);
	ZSTD_freeCCtx(w->zstd);
	return r;
}

/* ---- superblock ---------------------------------------------------------- */

/* What a chunk leans on at most: readers take memory for so much. */
static uint32_t largest_prefix(const struct plan *plan)
{
	uint32_t most = 0;

	for (uint32_t i = 0; i < plan->n_chunks; i++) {
		const struct plan_chunk *chunk = &plan->chunks[i];
		uint32_t bytes = 0;

		for (uint32_t k = 0; k < chunk->n_ranges; k++)
			bytes += chunk->ranges[k].len;
		if (bytes > most)
			most = bytes;
	}
	return most;
}

static void fill_super(const struct writer *w, struct update1_super *super,
		       uint64_t dir_offset)
{
	const struct plan *plan = w->plan;

	memset(super, 0, sizeof(*super));
	memcpy(super->magic, UPDATE_MAGIC, sizeof(super->magic));
	super->version = UPDATE_VERSION_1;
	super->block_bits = plan->block_bits;
	super->chunk_bytes = cpu_to_le32(plan->chunk_bytes);
	super->prefix_bytes = cpu_to_le32(largest_prefix(plan));
	super->piece_bytes = cpu_to_le32(plan->piece_bytes);
	super->incompat = cpu_to_le64(UPDATE1_ALONE);
	super->stored_bytes = cpu_to_le32(w->stored);
	super->n_epochs = cpu_to_le32(plan->n_epochs);
	super->old_size = cpu_to_le64(plan->old->size);
	super->new_size = cpu_to_le64(plan->new->size);
	super->file_size = cpu_to_le64(w->pos);
	super->dir_offset = cpu_to_le64(dir_offset);
	super->dir_size = cpu_to_le64(w->pos - dir_offset);
	super->n_extents = cpu_to_le32(plan->n_extents);
	super->n_saves = cpu_to_le32(plan->n_saves);
	super->dir_crc = cpu_to_le32(w->dir_crc);
	super->save_blocks = cpu_to_le32(plan->save_blocks);
	super->changed = cpu_to_le64(plan_changed(plan) >> plan->block_bits);
}

/* The identity is the hash of all the rest, the checksum is over it too. */
static void seal_super(struct update1_super *super, const struct hash *hashes)
{
	uint8_t hash[HASH_SIZE];

	memcpy(super->old_sha256, hashes[0].sha256, HASH_SIZE);
	memcpy(super->new_sha256, hashes[1].sha256, HASH_SIZE);
	sha256(super, sizeof(*super), hash);
	memcpy(super->id, hash, sizeof(super->id));
	super->crc = cpu_to_le32(
		plat_crc32c(~0u, super, offsetof(struct update1_super, crc)));
}

/* ---- the file ------------------------------------------------------------ */

static int pad(struct writer *w)
{
	static const uint8_t zeros[DIFF_PADDING];
	uint64_t over = w->pos % DIFF_PADDING;

	return over ? put(w, zeros, DIFF_PADDING - over) : 0;
}

/* Everything but the superblock, of which the hashes are still missing. */
static int write_body(struct writer *w, struct update1_super *super)
{
	uint64_t dir_offset;

	w->pos = UPDATE1_SUPER_SIZE;
	if (write_chunks(w))
		return -1;
	dir_offset = w->pos;
	if (write_directory(w))
		return -1;
	fill_super(w, super, dir_offset);
	return pad(w);
}

static int make_plan(struct plan *plan, uint32_t merge_percent)
{
	struct index index;
	int r;

	if (index_build(&index, plan->old, plan->index_most))
		return -1;
	r = plan_match(plan, &index);
	if (!r)
		r = plan_group(plan, &index);
	if (!r)
		r = plan_pack(plan, &index);
	if (!merge_percent)
		index_free(&index);
	if (!r)
		r = plan_order(plan);
	if (!r && merge_percent)
		r = plan_lighten(plan, &index, merge_percent);
	index_free(&index);
	return r ? r : memory_check(plan);
}

static int write_file(struct plan *plan, const char *out, struct hash *hashes,
		      struct diff_result *result)
{
	struct writer w = { .plan = plan };
	struct update1_super super;
	int r;

	if (outfile_begin(&w.file, out))
		return -1;
	r = write_body(&w, &super);
	wait_hashes(hashes);
	if (!r) {
		seal_super(&super, hashes);
		r = outfile_write(&w.file, 0, &super, sizeof(super));
	}
	result->blocks = plan_blocks(plan, plan->new);
	result->changed = plan_changed(plan) >> plan->block_bits;
	result->size = w.pos;
	return outfile_end(&w.file, r);
}

static int make_between(struct plan *plan, const char *out,
			const struct diff_options *options,
			struct diff_result *result)
{
	struct hash hashes[2] = { { .image = plan->old },
				  { .image = plan->new } };
	int r = memory_share(plan);

	if (!r)
		r = start_hashes(hashes);
	if (!r)
		r = make_plan(plan, options->merge_percent);
	if (!r)
		r = write_file(plan, out, hashes, result);
	wait_hashes(hashes);
	if (!r && options->explain)
		r = diff_explain(plan);
	return r;
}

int diff_make_v1(const char *old, const char *new, const char *out,
		 const struct diff_options *options, struct diff_result *result)
{
	struct image images[2] = { 0 };
	struct plan plan = {
		.old = &images[0],
		.new = &images[1],
		.block_bits = __builtin_ctz(options->block_size),
		.chunk_bytes = options->chunk_size,
		.piece_bytes = options->piece_size,
		.prefix_bytes = options->prefix_size,
		.level = options->level,
		.threads = options->threads,
		.memory = options->memory,
	};
	int r = -1;

	if (diff_check_out(out, old, new))
		return -1;
	if (!image_open(&images[0], old) && !image_open(&images[1], new) &&
	    !image_filled(&images[0]) && !image_filled(&images[1]))
		r = make_between(&plan, out, options, result);
	plan_free(&plan);
	image_close(&images[0]);
	image_close(&images[1]);
	return r;
}
