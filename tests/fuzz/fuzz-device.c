// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A whole small device, any bytes, under the offline tool. The input: one byte
 * of switches, one for where to cut, then the device. What must hold:
 *
 *   - looking at a log writes nothing;
 *   - what is refused has not changed one byte;
 *   - a restore gives what undoing the entries one by one gives, and so
 *     changes nothing but the sources of entries and block 0;
 *   - a restore or a keep that is cut and called again ends up the same;
 *   - after either there is no log.
 *
 * Checksums would keep all mutants out. With SUMS those of the newest block
 * are made right first, with SEAL its tail.
 */
#include "fuzz.h"
#include "memdev.h"
#include "bow.h"
#include "dm-bow-log.h"

#define SECTORS_MAX 512

enum { SUMS = 1, SEAL = 2, SECTOR_4096 = 4, KEEP = 8 };

struct device {
	uint8_t *data;
	size_t size;
};

static uint8_t *copy_of(const struct device *d)
{
	uint8_t *copy = malloc(d->size);

	memcpy(copy, d->data, d->size);
	return copy;
}

/* ---- making a mutant plausible ------------------------------------------- */

static bool newest(struct bow_log *log, const struct device *d)
{
	const char *why;

	return d->size >= BOW_HEAD &&
	       !bow_log_header(log, d->data, d->size / 512, &why) &&
	       log->block_size <= d->size;
}

static void repair_sums(struct device *d)
{
	struct bow_step step;
	struct bow_log log;

	if (!newest(&log, d))
		return;
	log.block = d->data;
	for (u32 i = 0; i < log.count; i++) {
		u32 at = log.header_size + i * BOW_ENTRY_SIZE + 20;
		u32 sum;

		bow_log_entry(&log, i, &step);
		if (!step.checksum || bow_log_check(&log, i, &step))
			continue;
		sum = cpu_to_le32(bow_checksum(step.source, log.block_size,
					       d->data + step.dest * 512,
					       step.size));
		memcpy(d->data + at, &sum, sizeof(sum));
	}
}

static void seal(struct device *d)
{
	struct bow_log log;

	if (newest(&log, d))
		bow_log_seal(d->data);
}

/* ---- undoing a log the plain way ----------------------------------------- */

/* Block 0 of a copy holds a log: undoes its entries. False: that was the first
 * block. */
static bool undo_block(uint8_t *data, size_t size)
{
	uint8_t block[BOW_BLOCK_MAX];
	struct bow_step step;
	struct bow_log log;
	const char *why;

	must(!bow_log_header(&log, data, size / 512, &why));
	memcpy(block, data, log.block_size);
	bow_log_block(&log, block);
	for (u32 i = log.count; i--;) {
		bow_log_entry(&log, i, &step);
		must(!bow_log_check(&log, i, &step));
		memcpy(data + step.source * 512, data + step.dest * 512,
		       step.size);
	}
	return log.sequence;
}

static uint8_t *undone(const struct device *d)
{
	uint8_t *copy = copy_of(d);

	while (undo_block(copy, d->size))
		;
	return copy;
}

/* ---- what must hold ------------------------------------------------------ */

static unsigned int sector_of(uint8_t switches)
{
	return switches & SECTOR_4096 ? 4096 : 512;
}

static struct dev *start(const struct device *d, uint8_t switches)
{
	return memdev_new(d->data, d->size, sector_of(switches));
}

static bool holds(struct dev *dev, const uint8_t *data, size_t size)
{
	return !memcmp(memdev_data(dev), data, size);
}

static enum bow_kind look(const struct device *d, uint8_t switches)
{
	struct dev *dev = start(d, switches);
	struct bow_info probed, checked;
	FILE *sink = fopen("/dev/null", "w");

	must(!bow_probe(dev, &probed));
	must(!bow_check(dev, &checked));
	must(!bow_inspect(dev, sink));
	if (probed.kind == BOW_DAMAGED)
		must(checked.kind == BOW_DAMAGED);
	must(!memdev_ops_done(dev));
	fclose(sink);
	memdev_free(dev);
	return checked.kind;
}

/* Calls a verb with the power cut at `cut` and then once more; NULL when it
 * refuses, or the device. */
static struct dev *run(const struct device *d, uint8_t switches,
		       int (*verb)(struct dev *), unsigned int cut)
{
	struct dev *dev = start(d, switches);

	memdev_cut(dev, cut);
	if (!verb(dev))
		return dev;
	if (!memdev_is_cut(dev)) {
		must(!memdev_ops_done(dev) && holds(dev, d->data, d->size));
		memdev_free(dev);
		return NULL;
	}
	memdev_reboot(dev, 2 + cut);
	must(!verb(dev));
	return dev;
}

static void restore(const struct device *d, uint8_t switches, unsigned int cut,
		    enum bow_kind kind)
{
	struct dev *dev = run(d, switches, bow_restore, 0);
	uint8_t *want;
	struct bow_info info;

	must(!dev == (kind == BOW_DAMAGED || kind == BOW_KEEPING));
	if (!dev)
		return;
	want = kind == BOW_NONE ? copy_of(d) : undone(d);
	must(holds(dev, want, d->size));
	must(!bow_probe(dev, &info) && info.kind == BOW_NONE);
	memdev_free(dev);
	dev = run(d, switches, bow_restore, cut);
	must(dev && holds(dev, want, d->size));
	memdev_free(dev);
	free(want);
}

static void keep(const struct device *d, uint8_t switches, unsigned int cut)
{
	struct dev *dev = run(d, switches, bow_keep, 0), *again;
	struct bow_info info;
	size_t block;

	if (!dev)
		return;
	must(!bow_probe(dev, &info) && info.kind == BOW_NONE);
	block = d->size < BOW_BLOCK_MAX ? d->size : BOW_BLOCK_MAX;
	must(!memcmp(memdev_data(dev) + block, d->data + block,
		     d->size - block));
	again = run(d, switches, bow_keep, cut);
	must(again && holds(again, memdev_data(dev), d->size));
	memdev_free(again);
	memdev_free(dev);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned int unit, cut;
	struct device d;
	uint8_t switches;

	if (size < 2)
		return 0;
	io = &memdev_ops;
	switches = data[0];
	cut = 1 + data[1] % 64;
	unit = sector_of(switches);
	d.size = (size - 2) / unit * unit;
	if (!d.size || d.size > SECTORS_MAX * 512)
		return 0;
	d.data = malloc(d.size);
	memcpy(d.data, data + 2, d.size);
	if (switches & SUMS)
		repair_sums(&d);
	if (switches & SEAL)
		seal(&d);
	restore(&d, switches, cut, look(&d, switches));
	if (switches & KEEP)
		keep(&d, switches, cut);
	free(d.data);
	return 0;
}
