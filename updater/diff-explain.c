// SPDX-License-Identifier: GPL-2.0-or-later
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "diff-explain.h"
#include "diff-files.h"
#include "err.h"

#define MOST_FILES 20 /* that get a line of their own */

static void show(const struct plan *plan, const char *what, uint64_t extents,
		 uint64_t blocks, uint64_t bytes)
{
	printf("%-10s %9llu extents %12.1f KiB of the image %12.1f KiB stored\n",
	       what, (unsigned long long)extents,
	       blocks * plan_block_size(plan) / 1024.0, bytes / 1024.0);
}

static void show_operations(const struct plan *plan)
{
	static const char *const names[] = { "zero", "copy", "data" };
	uint64_t extents[3] = { 0 }, blocks[3] = { 0 }, all = 0, stored = 0;

	for (uint32_t i = 0; i < plan->n_extents; i++) {
		const struct plan_extent *e = &plan->extents[i];

		extents[e->kind]++;
		blocks[e->kind] += e->blocks;
		all += e->blocks;
	}
	for (uint32_t i = 0; i < plan->n_chunks; i++)
		stored += plan->chunks[i].size;
	show(plan, "unchanged", 0, plan_blocks(plan, plan->new) - all, 0);
	for (int kind = 0; kind < 3; kind++)
		show(plan, names[kind], extents[kind], blocks[kind],
		     kind == UPDATE1_IS_DATA ? stored : 0);
}

/* Reads that a chunk needs of the old image, as the kernel joins ranges. */
static uint32_t count_reads(const struct plan_chunk *chunk)
{
	const struct update1_range *range = chunk->ranges;
	uint32_t n = chunk->n_ranges > 0;

	for (uint32_t k = 1; k < chunk->n_ranges; k++)
		n += range[k].offset >
		     range[k - 1].offset + range[k - 1].len + UPDATE1_READ_GAP;
	return n;
}

static void show_chunks(const struct plan *plan)
{
	uint64_t ranges = 0, prefix = 0, reads = 0;

	for (uint32_t i = 0; i < plan->n_chunks; i++) {
		ranges += plan->chunks[i].n_ranges;
		reads += count_reads(&plan->chunks[i]);
		for (uint32_t k = 0; k < plan->chunks[i].n_ranges; k++)
			prefix += plan->chunks[i].ranges[k].len;
	}
	if (plan->n_chunks)
		printf("chunks     %9u, each leans on %.1f KiB of old "
		       "bytes, %.1f ranges in %.1f reads\n",
		       plan->n_chunks, prefix / 1024.0 / plan->n_chunks,
		       (double)ranges / plan->n_chunks,
		       (double)reads / plan->n_chunks);
}

#define WRITE_BYTES (1u << 20) /* of the kernel's merge, at most */

/* Writes of what changes: neighbours of one epoch are written together. */
static uint64_t count_writes(const struct plan *plan)
{
	uint64_t most = WRITE_BYTES >> plan->block_bits, row = 0, n = 0;

	for (uint32_t i = 0; i < plan->n_extents; i++) {
		const struct plan_extent *e = &plan->extents[i];

		row += e->blocks;
		if (plan_adjoin(plan, i) && e[0].epoch == e[1].epoch)
			continue;
		n += (row - 1) / most + 1;
		row = 0;
	}
	return n;
}

/* All that the merge writes: what changes, what it saves, its records. */
static void show_merge(const struct plan *plan)
{
	uint64_t changed = plan_changed(plan), saved = plan_saved(plan);
	uint64_t records = plan_records(plan), all = changed + saved + records;

	printf("merge      %9u epochs, %s; %.1f KiB saved aside, in an area of "
	       "%.1f KiB\n",
	       plan->n_epochs, plan->order, saved / 1024.0,
	       (double)plan->save_blocks * plan_block_size(plan) / 1024);
	printf("writes     %12.1f KiB: %.1f changed in %llu requests, %.1f "
	       "saved, %.1f of records; %.2f of what changes\n",
	       all / 1024.0, changed / 1024.0,
	       (unsigned long long)count_writes(plan), saved / 1024.0,
	       records / 1024.0, changed ? (double)all / changed : 0);
}

/* ---- per file ------------------------------------------------------------ */

/* Bytes of the diff. */
struct shares {
	const struct plan *plan;
	struct files files;
	double *of; /* by file */
	double nobodys;
};

/* The first place that ends behind byte @at. */
static uint32_t first_place(const struct files *f, uint64_t at)
{
	uint32_t low = 0, high = f->n_places;

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;

		if (f->places[mid].to > at)
			high = mid;
		else
			low = mid + 1;
	}
	return low;
}

/* To those whose bytes the block has, by how many. */
static void share_block(struct shares *s, uint64_t block, double bytes)
{
	const struct files *f = &s->files;
	uint64_t from = block << s->plan->block_bits;
	uint64_t to = from + plan_block_size(s->plan), left;

	if (to > s->plan->new->size)
		to = s->plan->new->size;
	left = to - from;
	for (uint32_t i = first_place(f, from);
	     i < f->n_places && f->places[i].from < to; i++) {
		uint64_t a = f->places[i].from, b = f->places[i].to;
		uint64_t has = (b < to ? b : to) - (a > from ? a : from);

		s->of[f->places[i].file] += bytes * has / (to - from);
		left -= has;
	}
	s->nobodys += bytes * left / (to - from);
}

/* Each piece to its blocks alike, the header to all of them. */
static int share_chunk(struct shares *s, const struct plan_chunk *chunk,
		       struct update1_chunk *parsed)
{
	const struct plan *plan = s->plan;
	const struct update1_geometry geometry = {
		.block_bits = plan->block_bits,
		.chunk_bytes = plan->chunk_bytes,
		.prefix_bytes = plan->prefix_bytes,
		.piece_bytes = plan->piece_bytes,
		.old_size = plan->old->size,
		.alone = true,
	};
	uint32_t in_piece = plan->piece_bytes >> plan->block_bits;
	const char *why;

	if (update1_chunk_parse(&geometry, chunk->stored, chunk->size, parsed,
				&why))
		return error("cannot read a chunk of the diff: %s", why);
	for (uint32_t i = 0; i < chunk->n_blocks; i++) {
		uint32_t piece = i / in_piece;
		uint32_t blocks = chunk->n_blocks - piece * in_piece;

		if (blocks > in_piece)
			blocks = in_piece;
		share_block(s, chunk->blocks[i],
			    (double)parsed->header / chunk->n_blocks +
				    (double)parsed->pieces[piece].stored /
					    blocks);
	}
	return 0;
}

static int share_chunks(struct shares *s)
{
	struct update1_chunk *parsed = malloc(sizeof(*parsed));
	int r = 0;

	s->of = calloc((size_t)s->files.n_names + 1, sizeof(*s->of));
	if (!parsed || !s->of)
		r = error("out of memory for %u files", s->files.n_names);
	for (uint32_t i = 0; !r && i < s->plan->n_chunks; i++)
		r = share_chunk(s, &s->plan->chunks[i], parsed);
	free(parsed);
	return r;
}

static void show_share(const char *what, double bytes)
{
	printf("file       %12.1f KiB stored  ", bytes / 1024);
	for (; *what; what++)
		putchar((unsigned char)*what < ' ' || *what == 127 ? '?'
								   : *what);
	putchar('\n');
}

static const double *shares_compared;

static int by_share(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	double more = shares_compared[y] - shares_compared[x];

	return more > 0 ? 1 : more < 0 ? -1 : x < y ? -1 : 1;
}

/* The largest by name; the others together. */
static int show_shares(const struct shares *s)
{
	uint32_t *order, n = 0, shown;
	double others = 0;
	char text[64];

	order = calloc((size_t)s->files.n_names + 1, sizeof(*order));
	if (!order)
		return error("out of memory for %u files", s->files.n_names);
	for (uint32_t i = 0; i < s->files.n_names; i++)
		if (s->of[i] > 0)
			order[n++] = i;
	shares_compared = s->of;
	qsort(order, n, sizeof(*order), by_share);
	shown = n > MOST_FILES ? MOST_FILES : n;
	for (uint32_t i = 0; i < shown; i++)
		show_share(s->files.names[order[i]], s->of[order[i]]);
	for (uint32_t i = shown; i < n; i++)
		others += s->of[order[i]];
	snprintf(text, sizeof(text), "(%u other files)", n - shown);
	show_share(text, others);
	show_share("(no file alone: metadata, free blocks, shared blocks)",
		   s->nobodys);
	free(order);
	return 0;
}

static int show_files(const struct plan *plan)
{
	struct shares s = { .plan = plan };
	char why[FILES_WHY];
	int r;

	if (files_find(&s.files, plan->new, why)) {
		printf("file       no sizes per file of '%s': %s\n",
		       plan->new->path, why);
		return 0;
	}
	r = share_chunks(&s);
	if (!r)
		r = show_shares(&s);
	free(s.of);
	files_free(&s.files);
	return r;
}

int diff_explain(const struct plan *plan)
{
	show_operations(plan);
	show_chunks(plan);
	show_merge(plan);
	return show_files(plan);
}
