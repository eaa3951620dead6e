// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * v1-pair SEED BLOCKS OLD NEW DIFF: a random pair of images of at most BLOCKS
 * blocks of 4096 bytes, and the diff of format 1 between them, as files: for
 * the tests in a real kernel.
 */
#include <stdio.h>

#include "v1-files.h"

int main(int argc, char **argv)
{
	struct v1_shape shape = { .block_bits = 12,
				  .chunk_blocks = 16,
				  .real = true };
	struct v1_pair p;

	if (argc != 6 && argc != 7) {
		fprintf(stderr, "usage: v1-pair SEED BLOCKS OLD NEW DIFF "
				"[unsaved]\n");
		return 2;
	}
	shape.most_blocks = strtoul(argv[2], NULL, 10);
	if (shape.most_blocks < 4) {
		fprintf(stderr, "BLOCKS is '%s', expected 4 or more\n",
			argv[2]);
		return 2;
	}
	v1_random_pair(&p, strtoull(argv[1], NULL, 10), &shape);
	if (argc == 7 && p.w.n_saves)
		memmove(p.w.saves, p.w.saves + 1,
			--p.w.n_saves * sizeof(*p.w.saves));
	v1_pair_write(&p, argv + 3);
	v1_pair_free(&p);
	return 0;
}
