// SPDX-License-Identifier: GPL-2.0-or-later
#include <stdio.h>

#include "diff-explain.h"

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

static void show_chunks(const struct plan *plan)
{
	uint64_t ranges = 0, prefix = 0;

	for (uint32_t i = 0; i < plan->n_chunks; i++) {
		ranges += plan->chunks[i].n_ranges;
		for (uint32_t k = 0; k < plan->chunks[i].n_ranges; k++)
			prefix += plan->chunks[i].ranges[k].len;
	}
	if (plan->n_chunks)
		printf("chunks     %9u, each leans on %.1f ranges, %.1f KiB of "
		       "old bytes\n",
		       plan->n_chunks, (double)ranges / plan->n_chunks,
		       prefix / 1024.0 / plan->n_chunks);
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
	printf("writes     %12.1f KiB: %.1f changed, %.1f saved, %.1f of "
	       "records; %.2f of what changes\n",
	       all / 1024.0, changed / 1024.0, saved / 1024.0, records / 1024.0,
	       changed ? (double)all / changed : 0);
}

void diff_explain(const struct plan *plan)
{
	show_operations(plan);
	show_chunks(plan);
	show_merge(plan);
}
