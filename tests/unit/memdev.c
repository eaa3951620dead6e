// SPDX-License-Identifier: GPL-2.0-or-later
#include <sanitizer/common_interface_defs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "memdev.h"

struct change {
	struct change *next;
	uint64_t at;
	size_t len;
	uint8_t data[];
};

struct dev {
	uint8_t *data;	  /* as reads see it */
	uint8_t *durable; /* as it was at the last flush */
	uint64_t size;
	unsigned int sector;
	struct change *first, **last; /* since then */
	unsigned int done, flushes, cut_at;
};

struct dev *memdev_new(const void *data, uint64_t size, unsigned int sector)
{
	struct dev *dev = calloc(1, sizeof(*dev));

	dev->data = malloc(size);
	dev->durable = malloc(size);
	memcpy(dev->data, data, size);
	memcpy(dev->durable, data, size);
	dev->size = size;
	dev->sector = sector;
	dev->last = &dev->first;
	return dev;
}

static void forget(struct dev *dev)
{
	while (dev->first) {
		struct change *change = dev->first;

		dev->first = change->next;
		free(change);
	}
	dev->last = &dev->first;
}

void memdev_free(struct dev *dev)
{
	forget(dev);
	free(dev->data);
	free(dev->durable);
	free(dev);
}

void memdev_cut(struct dev *dev, unsigned int n)
{
	dev->cut_at = n ? dev->done + n : 0;
}

bool memdev_is_cut(struct dev *dev)
{
	return dev->cut_at && dev->done >= dev->cut_at;
}

/* Dice: 0 loses all, 1 keeps all, others decide for each sector. */
static void apply(struct dev *dev, const struct change *change,
		  unsigned int *dice)
{
	for (size_t i = 0; i < change->len; i += dev->sector) {
		if (*dice == 0 || (*dice > 1 && rand_r(dice) & 16))
			continue;
		memcpy(dev->durable + change->at + i, change->data + i,
		       dev->sector);
	}
}

void memdev_reboot(struct dev *dev, unsigned int dice)
{
	for (struct change *c = dev->first; c; c = c->next)
		apply(dev, c, &dice);
	memcpy(dev->data, dev->durable, dev->size);
	forget(dev);
	dev->cut_at = 0;
}

unsigned int memdev_ops_done(struct dev *dev)
{
	return dev->done;
}

unsigned int memdev_flushes(struct dev *dev)
{
	return dev->flushes;
}

void memdev_settle(struct dev *dev)
{
	memcpy(dev->durable, dev->data, dev->size);
	forget(dev);
}

uint8_t *memdev_data(struct dev *dev)
{
	return dev->data;
}

void memdev_quiet(void)
{
	__sanitizer_set_report_fd((void *)(intptr_t)dup(STDERR_FILENO));
	if (!freopen("/dev/null", "w", stderr))
		abort();
}

/* ---- the seam ------------------------------------------------------------ */

static int mem_read(struct dev *dev, uint64_t offset, void *buf, size_t len)
{
	if (memdev_is_cut(dev))
		return -1;
	memcpy(buf, dev->data + offset, len);
	return 0;
}

static int mem_write(struct dev *dev, uint64_t offset, const void *buf,
		     size_t len)
{
	struct change *change;

	if (offset % dev->sector || len % dev->sector)
		abort(); /* a device cannot write less than a sector */
	if (memdev_is_cut(dev))
		return -1;
	change = malloc(sizeof(*change) + len);
	change->next = NULL;
	change->at = offset;
	change->len = len;
	memcpy(change->data, buf, len);
	*dev->last = change;
	dev->last = &change->next;
	memcpy(dev->data + offset, buf, len);
	dev->done++;
	return memdev_is_cut(dev) ? -1 : 0;
}

static int mem_flush(struct dev *dev)
{
	if (memdev_is_cut(dev))
		return -1;
	dev->done++;
	dev->flushes++;
	if (memdev_is_cut(dev))
		return -1;
	memdev_settle(dev);
	return 0;
}

static int mem_drop_cache(struct dev *dev)
{
	return 0;
}

static uint64_t mem_size(struct dev *dev)
{
	return dev->size;
}

static const char *mem_name(struct dev *dev)
{
	return "memory";
}

static unsigned int mem_sector(struct dev *dev)
{
	return dev->sector;
}

const struct io_ops memdev_ops = {
	.read = mem_read,
	.write = mem_write,
	.flush = mem_flush,
	.drop_cache = mem_drop_cache,
	.size = mem_size,
	.name = mem_name,
	.sector = mem_sector,
};
