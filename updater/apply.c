// SPDX-License-Identifier: GPL-2.0-or-later
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "apply.h"
#include "err.h"
#include "progress.h"
#include "verify.h"

#define PIECE (1u << 20) /* bytes read and written at once */

static size_t piece_of(uint64_t left)
{
	return left < PIECE ? left : PIECE;
}

/* ---- the images as a whole ----------------------------------------------- */

static int hash_image(struct dev *dev, uint64_t size, const char *what,
		      uint8_t hash[HASH_SIZE])
{
	uint8_t *piece = malloc(PIECE);
	struct sha256 sha;
	int r = piece ? 0 : error("out of memory");

	sha256_start(&sha);
	progress_start(what, size);
	for (uint64_t at = 0; !r && at < size; at += PIECE) {
		size_t len = piece_of(size - at);

		r = dev_read(dev, at, piece, len);
		if (!r)
			sha256_add(&sha, piece, len);
		progress_update(at + len);
	}
	sha256_end(&sha, hash);
	if (!r)
		progress_end();
	free(piece);
	return r;
}

int apply_base(const struct v1_reader *rd, struct dev *old)
{
	const struct update1_geometry *g = &rd->dir.g;
	uint8_t hash[HASH_SIZE];

	if (dev_size(old) < g->old_size)
		return error("'%s' is not what '%s' was made for: it has %llu "
			     "bytes, expected %llu",
			     dev_name(old), dev_name(rd->dev),
			     (unsigned long long)dev_size(old),
			     (unsigned long long)g->old_size);
	if (hash_image(old, g->old_size, "checking the old image", hash))
		return -1;
	if (memcmp(hash, g->old_sha256, HASH_SIZE))
		return error("'%s' is not what '%s' was made for: its contents "
			     "are others",
			     dev_name(old), dev_name(rd->dev));
	return 0;
}

static int not_the_new_image(const struct v1_reader *rd)
{
	return error("'%s' is damaged: what it gives is not its new image",
		     dev_name(rd->dev));
}

/* ---- to another file ----------------------------------------------------- */

/* The new image, as it is put together from its beginning to its end. */
struct stream {
	struct v1_reader *rd;
	struct v1_old old;
	struct dev *image; /* NULL: nothing is written */
	struct sha256 sha;
	uint64_t at;
	uint8_t *piece;
};

static int put_piece(struct stream *s, size_t len)
{
	sha256_add(&s->sha, s->piece, len);
	if (s->image && dev_write(s->image, s->at, s->piece, len))
		return -1;
	s->at += len;
	progress_update(s->at);
	return 0;
}

/* What no extent names, up to byte @end. */
static int put_unchanged(struct stream *s, uint64_t end)
{
	while (s->at < end) {
		size_t len = piece_of(end - s->at);

		if (dev_read(s->old.system, s->at, s->piece, len) ||
		    put_piece(s, len))
			return -1;
	}
	return 0;
}

static int put_extent(struct stream *s, const struct update1_extent *e)
{
	uint64_t size = update1_extent_bytes(&s->rd->dir, e);

	for (uint64_t at = 0; at < size; at += PIECE) {
		size_t len = piece_of(size - at);

		if (v1_read(s->rd, &s->old, e, at, s->piece, len) ||
		    put_piece(s, len))
			return -1;
	}
	return 0;
}

static int put_image(struct stream *s)
{
	const struct update1_dir *dir = &s->rd->dir;
	uint8_t hash[HASH_SIZE];

	for (uint32_t i = 0; i < dir->g.n_extents; i++) {
		struct update1_extent e;

		update1_extent(dir, i, &e);
		if (put_unchanged(s, e.dest << dir->g.block_bits) ||
		    put_extent(s, &e))
			return -1;
	}
	if (put_unchanged(s, dir->g.new_size))
		return -1;
	sha256_end(&s->sha, hash);
	if (memcmp(hash, dir->g.new_sha256, HASH_SIZE))
		return not_the_new_image(s->rd);
	progress_end();
	return s->image ? dev_flush(s->image) : 0;
}

int apply_to(struct v1_reader *rd, struct dev *old, struct dev *image)
{
	struct stream s = {
		.rd = rd,
		.old = { .system = old, .done = UPDATE1_NOT_BEGUN },
		.image = image,
		.piece = malloc(PIECE),
	};
	int r;

	if (!s.piece)
		return error("out of memory");
	sha256_start(&s.sha);
	progress_start(image ? "applying" : "checking the new image",
		       rd->dir.g.new_size);
	r = put_image(&s);
	free(s.piece);
	return r;
}

/* ---- in place ------------------------------------------------------------ */

struct merge {
	struct v1_reader *rd;
	struct v1_old old; /* and old.done epochs are merged */
	struct update1_progress progress;
	uint64_t blocks; /* merged so far, to be shown */
	uint8_t *piece;
};

/* Up to the end of the sector that the image ends in, if it is there. */
static size_t whole_sectors(struct dev *dev, uint64_t at, size_t len)
{
	uint64_t sector = dev_sector(dev), left = dev_size(dev) - at;
	uint64_t whole = (len + sector - 1) / sector * sector;

	return whole < left ? whole : left;
}

static int merge_extent(struct merge *m, const struct update1_extent *e)
{
	uint64_t size = update1_extent_bytes(&m->rd->dir, e);
	uint64_t dest = e->dest << m->rd->dir.g.block_bits;

	for (uint64_t at = 0; at < size; at += PIECE) {
		size_t len = piece_of(size - at);
		size_t whole = whole_sectors(m->old.system, dest + at, len);

		memset(m->piece + len, 0, whole > len ? whole - len : 0);
		if (v1_read(m->rd, &m->old, e, at, m->piece, len) ||
		    dev_write(m->old.system, dest + at, m->piece, whole))
			return -1;
	}
	m->blocks += e->blocks;
	progress_update(m->blocks);
	return 0;
}

static int write_extents(struct merge *m, uint32_t epoch)
{
	const struct update1_dir *dir = &m->rd->dir;
	struct update1_extent e;

	for (uint32_t i = 0;
	     (i = update1_epoch_next(dir, epoch, i)) < dir->g.n_extents; i++) {
		update1_extent(dir, i, &e);
		if (merge_extent(m, &e))
			return -1;
	}
	return 0;
}

/* Read from the system, where at this time all of them are in their place. */
static int write_save(struct merge *m, const struct update1_save *s)
{
	const struct update1_geometry *g = &m->rd->dir.g;
	uint64_t from = s->old << g->block_bits;
	uint64_t to = m->old.at + update1_room_at(g, s->room);
	uint64_t size = (uint64_t)s->blocks << g->block_bits;
	uint64_t left = dev_size(m->old.system) - from;

	if (size > left)
		size = left;
	for (uint64_t at = 0; at < size; at += PIECE) {
		size_t len = piece_of(size - at);

		if (dev_read(m->old.system, from + at, m->piece, len) ||
		    dev_write(m->old.stage, to + at, m->piece,
			      whole_sectors(m->old.stage, to + at, len)))
			return -1;
	}
	return 0;
}

static int write_saves(struct merge *m, uint32_t epoch)
{
	const struct update1_dir *dir = &m->rd->dir;
	struct update1_save s;

	for (uint32_t i = 0;
	     (i = update1_save_next(dir, epoch, i)) < dir->g.n_saves; i++) {
		update1_save(dir, i, &s);
		if (write_save(m, &s))
			return -1;
	}
	return 0;
}

/* From here on, @done epochs are merged whatever happens. */
static int write_record(struct merge *m, uint32_t done)
{
	struct update1_record record;
	uint64_t at = m->old.at + m->progress.slot * sizeof(record);

	update1_progress_record(&m->rd->dir.g, &m->progress, done, &record);
	if (dev_write(m->old.stage, at, &record, sizeof(record)) ||
	    dev_flush(m->old.stage))
		return -1;
	update1_progress_written(&m->progress, done);
	m->old.done = done;
	return 0;
}

/* Nothing is overwritten before what it holds is aside, and that is known. */
static int begin_merge(struct merge *m)
{
	if (apply_base(m->rd, m->old.system) || write_saves(m, 0) ||
	    dev_flush(m->old.stage))
		return -1;
	return write_record(m, 0);
}

/* The order is that of dm-update-v1.h: data and saves, flushes, record. */
static int merge_epoch(struct merge *m)
{
	uint32_t epoch = m->old.done;

	if (write_extents(m, epoch) || write_saves(m, epoch + 1) ||
	    dev_flush(m->old.system) || dev_flush(m->old.stage))
		return -1;
	return write_record(m, epoch + 1);
}

static int read_progress(struct merge *m)
{
	static struct update1_record records[2];
	const struct update1_dir *dir = &m->rd->dir;
	struct update1_extent e;

	if (dev_read(m->old.stage, m->old.at, records, sizeof(records)))
		return -1;
	update1_progress_read(&dir->g, records, &m->progress);
	if (m->progress.begun)
		m->old.done = m->progress.done;
	for (uint32_t i = 0; i < dir->g.n_extents; i++) {
		update1_extent(dir, i, &e);
		if (e.epoch < m->progress.done)
			m->blocks += e.blocks;
	}
	return 0;
}

static int merge_rest(struct merge *m)
{
	const struct update1_geometry *g = &m->rd->dir.g;
	uint8_t hash[HASH_SIZE];

	if (!m->progress.begun && begin_merge(m))
		return -1;
	progress_start("merging", g->changed);
	while (m->old.done < g->n_epochs)
		if (merge_epoch(m))
			return -1;
	progress_update(g->changed);
	progress_end();
	if (hash_image(m->old.system, g->new_size, "checking the new image",
		       hash))
		return -1;
	return memcmp(hash, g->new_sha256, HASH_SIZE) ? not_the_new_image(m->rd)
						      : 0;
}

static int check_room(const struct v1_reader *rd, struct dev *system,
		      struct dev *stage, uint64_t at)
{
	const struct update1_geometry *g = &rd->dir.g;
	uint64_t image = g->old_size > g->new_size ? g->old_size : g->new_size;
	uint64_t room = at + update1_progress_size(g);

	if (dev_size(system) < image)
		return error("'%s' is too small: it has %llu bytes, expected "
			     "%llu",
			     dev_name(system),
			     (unsigned long long)dev_size(system),
			     (unsigned long long)image);
	if (dev_size(stage) < room)
		return error("'%s' is too small: it has %llu bytes, expected "
			     "%llu",
			     dev_name(stage),
			     (unsigned long long)dev_size(stage),
			     (unsigned long long)room);
	return 0;
}

int apply_in_place(struct v1_reader *rd, struct dev *system, struct dev *stage,
		   uint64_t at)
{
	struct merge m = {
		.rd = rd,
		.old = { system, stage, at, UPDATE1_NOT_BEGUN },
		.piece = calloc(1, PIECE + UPDATE1_RECORD_SIZE),
	};
	int r = -1;

	if (!m.piece)
		return error("out of memory");
	if (!check_room(rd, system, stage, at) && !read_progress(&m))
		r = merge_rest(&m);
	free(m.piece);
	return r;
}
