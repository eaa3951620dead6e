// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * ours SEED BLOCK-SIZE BLOCKS IMAGE BEGUN FREE [CUT]: a device with a log in
 * our format, as the unit tests' writer leaves it at rest; the device before;
 * the numbers of the blocks that were free then. CUT: as a restore leaves it
 * whose power fails at that write or flush.
 */
#include <stdio.h>
#include <stdlib.h>

#include "../unit/bow-writer.h"
#include "../../updater/bow.h"

static void save(const char *path, const void *data, size_t len)
{
	FILE *f = fopen(path, "w");

	if (!f || fwrite(data, 1, len, f) != len || fclose(f))
		abort();
}

static void save_free(const char *path, const struct writer *w)
{
	FILE *f = fopen(path, "w");

	if (!f)
		abort();
	for (uint32_t b = 0; b < w->shape.blocks; b++)
		if (w->was_free[b])
			fprintf(f, "%u\n", b);
	fclose(f);
}

int main(int argc, char **argv)
{
	struct writer_shape shape = { 0, 512, 0, 0 };
	struct writer *w;
	size_t size;

	if (argc != 7 && argc != 8)
		return 2;
	io = &memdev_ops;
	shape.block_size = atoi(argv[2]);
	shape.blocks = atoi(argv[3]);
	shape.free = shape.blocks * 45 / 100;
	w = writer_new(&shape, atoi(argv[1]));
	for (int n = 10 + atoi(argv[1]) * 6; n; n--)
		writer_step(w);
	if (argc == 8) {
		dev_flush(w->dev);
		memdev_cut(w->dev, atoi(argv[7]));
		bow_restore(w->dev);
		memdev_reboot(w->dev, atoi(argv[7]));
	}
	size = (size_t)shape.blocks * shape.block_size;
	save(argv[4], memdev_data(w->dev), size);
	save(argv[5], w->at_state_1, size);
	save_free(argv[6], w);
	writer_free(w);
	return 0;
}
