// SPDX-License-Identifier: GPL-2.0-or-later
#define _GNU_SOURCE
#include <stdio.h>
#include <unistd.h>

#include "diff-memory.h"
#include "err.h"

#define PROGRAM	   (8ull << 20)
#define WINDOW	   (24ull << 20) /* of the images, resident at a time ... */
#define BETWEEN	   (16ull << 20) /* ... and read between two trims, of it */
#define NEW_BLOCK  160ull	 /* bytes of the tables, for each block ... */
#define OLD_BLOCK  32ull	 /* ... of the images */
#define THREAD	   (12ull << 20) /* bytes, ... */
#define THREAD_FOR 40ull	 /* ... and for each byte of a chunk */
#define READ_FOR   100ull	 /* bytes of the images, resident for it */
#define CHUNKS	   (2ull << 20)	 /* room for them, at least */

typedef unsigned long long ull;

static unsigned int wanted_threads(const struct plan *plan)
{
	return plan->threads ? plan->threads : sysconf(_SC_NPROCESSORS_ONLN);
}

int memory_share(struct plan *plan)
{
	uint64_t reads = READ_FOR * plan->chunk_bytes;
	uint64_t thread = THREAD + THREAD_FOR * plan->chunk_bytes + reads;
	uint64_t tables = PROGRAM + WINDOW +
			  NEW_BLOCK * plan_blocks(plan, plan->new) +
			  OLD_BLOCK * plan_blocks(plan, plan->old);
	uint64_t index = index_bytes(image_data_size(plan->old), RATE_MOST);
	uint64_t least = tables + thread + 2 * (index + CHUNKS);
	uint64_t rest = plan->memory - tables, for_threads;

	if (!plan->memory)
		return 0;
	if (plan->memory < least)
		return error("--memory allows %llu bytes, these images need at "
			     "least %llu",
			     (ull)plan->memory, (ull)least);
	for_threads = rest / 4 > thread ? rest / 4 : thread;
	plan->threads = wanted_threads(plan);
	if (plan->threads > for_threads / thread)
		plan->threads = for_threads / thread;
	rest -= for_threads;
	plan->index_most = rest / 2;
	plan->chunks_most = rest - rest / 2;
	return images_limit(plan->memory - BETWEEN - plan->threads * reads);
}

/* The most that was resident at any time, in bytes; 0: not known. */
static uint64_t peak(void)
{
	FILE *f = fopen("/proc/self/status", "re");
	ull kib = 0;
	char line[128];

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "VmHWM: %llu", &kib) == 1)
			break;
	if (f)
		fclose(f);
	return kib << 10;
}

int memory_check(const struct plan *plan)
{
	uint64_t took = plan->memory ? peak() : 0;

	if (took <= plan->memory)
		return 0;
	return error("making the diff took %llu bytes of memory, --memory "
		     "allows %llu",
		     (ull)took, (ull)plan->memory);
}
