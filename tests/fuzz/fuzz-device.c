// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A whole small device, any bytes, under the offline tool. The input: one byte
 * of switches, one for where to cut, then the device. What must hold:
 *
 *   - looking at a log writes nothing;
 *   - what is refused has not changed one byte;
 *   - a restore gives what undoing the entries one by one gives, and so
 *     changes nothing but the sources of entries and block 0; but for what
 *     was free when the log began;
 *   - a restore or a keep that is cut and called again ends up the same;
 *   - after either there is no log;
 *   - a salvage, and a keep of a damaged log, are never refused for what the
 *     log says, but for a commit or a restore that has begun.
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
	uint8_t was_free[SECTORS_MAX]; /* by undone() */
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

/* What was copied to was free; so was where the live block 0 was. */
static void note_free(uint8_t *was_free, const struct bow_log *log, u32 i,
		      const struct bow_step *step, u64 *live)
{
	u32 len = step->size / 512;
	bool move = i && !step->checksum && step->dest == *live &&
		    step->size == log->block_size;

	memset(was_free + step->source, move, len);
	memset(was_free + step->dest, 1, len);
	if (move)
		*live = step->source;
}

static bool has_sum(const struct bow_log *log, const uint8_t *data, u64 sector,
		    const struct bow_step *step)
{
	return step->checksum &&
	       step->checksum == bow_checksum(step->source, log->block_size,
					      data + sector * 512, step->size);
}

/* Entries of the newest block, but for those whose backups never came. */
static u32 that_count(const struct bow_log *log, const uint8_t *data)
{
	u32 n = log->count, i = n;
	struct bow_step step;

	while (i-- > 1) {
		bow_log_entry(log, i, &step);
		must(!bow_log_check(log, i, &step));
		if (!has_sum(log, data, step.source, &step))
			break;
		if (!has_sum(log, data, step.dest, &step))
			n = i;
	}
	return n;
}

/* Block 0 of a copy holds a log: undoes its entries. False: that was the first
 * block. */
static bool undo_block(uint8_t *data, size_t size, uint8_t *was_free, u64 *live)
{
	uint8_t block[BOW_BLOCK_MAX];
	struct bow_step step;
	struct bow_log log;
	const char *why;

	must(!bow_log_header(&log, data, size / 512, &why));
	memcpy(block, data, log.block_size);
	bow_log_block(&log, block);
	if (!*live) {
		*live = log.sector0;
		log.count = that_count(&log, data);
	}
	for (u32 i = log.count; i--;) {
		bow_log_entry(&log, i, &step);
		must(!bow_log_check(&log, i, &step));
		memcpy(data + step.source * 512, data + step.dest * 512,
		       step.size);
		note_free(was_free, &log, i, &step, live);
	}
	return log.sequence;
}

static uint8_t *undone(struct device *d)
{
	uint8_t *copy = copy_of(d);
	u64 live = 0;

	while (undo_block(copy, d->size, d->was_free, &live))
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
	must(!bow_inspect(dev, sink, &probed));
	must(probed.kind == checked.kind && !bow_probe(dev, &probed));
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

static bool is_undone(struct dev *dev, const struct device *d,
		      const uint8_t *want)
{
	for (size_t s = 0; s < d->size / 512; s++)
		if (!d->was_free[s] &&
		    memcmp(memdev_data(dev) + s * 512, want + s * 512, 512))
			return false;
	return true;
}

static void restore(struct device *d, uint8_t switches, unsigned int cut,
		    enum bow_kind kind)
{
	struct dev *dev = run(d, switches, bow_restore, 0);
	uint8_t *want;
	struct bow_info info;

	must(!dev == (kind == BOW_DAMAGED || kind == BOW_KEEPING));
	if (!dev)
		return;
	want = kind == BOW_NONE ? copy_of(d) : undone(d);
	must(is_undone(dev, d, want));
	must(!bow_probe(dev, &info) && info.kind == BOW_NONE);
	memdev_free(dev);
	dev = run(d, switches, bow_restore, cut);
	must(dev && is_undone(dev, d, want));
	memdev_free(dev);
	free(want);
}

static int salvage(struct dev *dev)
{
	FILE *sink = fopen("/dev/null", "w");
	struct bow_salvage done;
	int r = bow_salvage(dev, sink, -1, &done);

	fclose(sink);
	return r;
}

static int drop(struct dev *dev)
{
	struct bow_salvage done;

	return bow_drop(dev, &done);
}

static void give_up(const struct device *d, uint8_t switches, unsigned int cut,
		    int (*verb)(struct dev *))
{
	struct dev *dev = start(d, switches);
	struct bow_info before, after;

	must(!bow_probe(dev, &before));
	memdev_cut(dev, cut);
	if (verb(dev) && memdev_is_cut(dev)) {
		memdev_reboot(dev, 2 + cut);
		if (verb(dev))
			must(before.restoring || before.kind == BOW_KEEPING);
	}
	must(!bow_probe(dev, &after));
	if (!before.restoring && before.kind != BOW_KEEPING)
		must(after.kind == BOW_NONE);
	memdev_free(dev);
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
	struct device d = { 0 };
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
	give_up(&d, switches, cut, salvage);
	give_up(&d, switches, cut, drop);
	free(d.data);
	return 0;
}
