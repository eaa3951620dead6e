// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The proof that a merge in place reads right at every moment: see "Merging in
 * place" in docs/FORMAT.md. For each old block that anything reads, what
 * overwrites it is looked up, and where its contents are then. With that, each
 * epoch can be done in any order, and again: nothing it reads is overwritten.
 */
#include <stdlib.h>

#include "apply.h"
#include "err.h"
#include "progress.h"

typedef unsigned long long ull;

/* ---- what is read is there ----------------------------------------------- */

/* Old blocks @at to @end - 1 are overwritten by @epoch and read by @reader. */
static int check_saved(const struct v1_reader *rd, uint64_t at, uint64_t end,
		       uint32_t epoch, uint32_t reader)
{
	struct update1_save s;

	for (; at < end; at = s.old + s.blocks) {
		uint32_t i = update1_find_save(&rd->dir, at);

		if (i < rd->dir.g.n_saves)
			update1_save(&rd->dir, i, &s);
		if (i == rd->dir.g.n_saves || s.old > at)
			return error("'%s': epoch %u overwrites old block %llu,"
				     " which epoch %u reads, and it is not "
				     "saved",
				     dev_name(rd->dev), epoch, (ull)at, reader);
		if (s.epoch != epoch || s.last < reader)
			return error("'%s': epoch %u overwrites old block %llu,"
				     " which epoch %u reads, but it is saved "
				     "from epoch %u to %u",
				     dev_name(rd->dev), epoch, (ull)at, reader,
				     s.epoch, s.last);
	}
	return 0;
}

/* Epoch @reader reads @len old bytes from @offset on. */
static int check_read(const struct v1_reader *rd, uint64_t offset, uint64_t len,
		      uint32_t reader)
{
	const struct update1_dir *dir = &rd->dir;
	uint64_t at = offset >> dir->g.block_bits;
	uint64_t end = ((offset + len - 1) >> dir->g.block_bits) + 1;
	struct update1_extent e;

	for (uint32_t i = update1_find(dir, at); i < dir->g.n_extents; i++) {
		update1_extent(dir, i, &e);
		if (e.dest >= end)
			break;
		if (e.epoch <= reader &&
		    check_saved(rd, e.dest > at ? e.dest : at,
				e.dest + e.blocks < end ? e.dest + e.blocks
							: end,
				e.epoch, reader))
			return -1;
	}
	return 0;
}

static int check_prefix(const struct v1_reader *rd, uint32_t reader)
{
	const struct update1_chunk *chunk = &rd->chunk;

	for (uint32_t i = 0; i < chunk->n_ranges; i++)
		if (check_read(rd, chunk->ranges[i].offset,
			       chunk->ranges[i].len, reader))
			return -1;
	return 0;
}

static int check_extent(struct v1_reader *rd, const struct update1_extent *e)
{
	if (e->kind == UPDATE1_IS_COPY)
		return check_read(rd, e->src, update1_extent_bytes(&rd->dir, e),
				  e->epoch);
	if (e->kind == UPDATE1_IS_DATA)
		return v1_chunk(rd, e) || check_prefix(rd, e->epoch) ? -1 : 0;
	return 0;
}

/* ---- the saves ----------------------------------------------------------- */

/* Every block of it is overwritten by its epoch: until then it is in place. */
static int check_save(const struct v1_reader *rd, const struct update1_save *s)
{
	const struct update1_dir *dir = &rd->dir;
	uint64_t at = s->old;
	struct update1_extent e;

	while (at < s->old + s->blocks) {
		uint32_t i = update1_find(dir, at);

		if (i < dir->g.n_extents)
			update1_extent(dir, i, &e);
		if (i == dir->g.n_extents || e.dest > at || e.epoch != s->epoch)
			return error("'%s': old block %llu is saved for epoch "
				     "%u, which does not overwrite it",
				     dev_name(rd->dev), (ull)at, s->epoch);
		at = e.dest + e.blocks;
	}
	return 0;
}

static int by_room(const void *a, const void *b)
{
	const struct update1_save *x = a, *y = b;

	return x->room < y->room ? -1 : x->room > y->room;
}

/* @a is filled when @b is still needed, or the other way round. */
static bool lives_meet(const struct update1_save *a,
		       const struct update1_save *b)
{
	return (int64_t)a->epoch - 1 <= b->last &&
	       (int64_t)b->epoch - 1 <= a->last;
}

static int check_rooms(const struct v1_reader *rd, struct update1_save *saves)
{
	uint32_t n = rd->dir.g.n_saves;

	qsort(saves, n, sizeof(*saves), by_room);
	for (uint32_t i = 0; i < n; i++)
		for (uint32_t j = i + 1;
		     j < n && saves[j].room < saves[i].room + saves[i].blocks;
		     j++)
			if (lives_meet(&saves[i], &saves[j]))
				return error("'%s': block %u of the save area "
					     "is for old blocks %llu and %llu "
					     "at the same time",
					     dev_name(rd->dev), saves[j].room,
					     (ull)saves[i].old,
					     (ull)saves[j].old);
	return 0;
}

static int check_saves(const struct v1_reader *rd)
{
	uint32_t n = rd->dir.g.n_saves;
	struct update1_save *saves = calloc(n + 1, sizeof(*saves));
	int r = saves ? 0 : error("out of memory");

	for (uint32_t i = 0; !r && i < n; i++) {
		update1_save(&rd->dir, i, &saves[i]);
		r = check_save(rd, &saves[i]);
	}
	if (!r)
		r = check_rooms(rd, saves);
	free(saves);
	return r;
}

int apply_check_order(struct v1_reader *rd)
{
	const struct update1_dir *dir = &rd->dir;
	struct update1_extent e;

	if (check_saves(rd))
		return -1;
	progress_start("checking the order", dir->g.n_extents);
	for (uint32_t i = 0; i < dir->g.n_extents; i++) {
		update1_extent(dir, i, &e);
		if (check_extent(rd, &e))
			return -1;
		progress_update(i + 1);
	}
	progress_end();
	return 0;
}
