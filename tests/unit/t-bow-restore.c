// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The offline tool: on the samples of the published target, and on devices
 * that a writer of our own format leaves behind, with the power cut at every
 * write of the writer, of a restore and of a keep.
 */
#include <fcntl.h>
#include <unistd.h>
#include <zstd.h>

#include "test.h"
#include "memdev.h"
#include "bow-writer.h"
#include "../../kmod/dm-bow-log.h"
#include "../../updater/bow.h"
#include "../../updater/io.h"

#define SAMPLE_SIZE (16u << 20)

/* ---- samples ------------------------------------------------------------- */

static uint8_t *sample(const char *name)
{
	uint8_t *image = malloc(SAMPLE_SIZE);
	void *packed = malloc(SAMPLE_SIZE);
	char path[512];
	size_t n;
	FILE *f;

	snprintf(path, sizeof(path), "%s/bow/%s.img.zst", TEST_DATA, name);
	f = fopen(path, "rb");
	if (!f)
		abort();
	n = fread(packed, 1, SAMPLE_SIZE, f);
	fclose(f);
	if (ZSTD_decompress(image, SAMPLE_SIZE, packed, n) != SAMPLE_SIZE)
		abort();
	free(packed);
	return image;
}

/* Marks the sectors of NAME.free.txt, "[(from, to), ...]". */
static uint8_t *sample_free(const char *name)
{
	uint8_t *is_free = calloc(1, SAMPLE_SIZE / 512);
	unsigned int from, to;
	char path[512];
	FILE *f;

	snprintf(path, sizeof(path), "%s/bow/%s.free.txt", TEST_DATA, name);
	f = fopen(path, "r");
	if (!f)
		abort();
	while (fscanf(f, "%*[^0-9]%u, %u", &from, &to) == 2)
		memset(is_free + from, 1, to - from);
	fclose(f);
	return is_free;
}

static int same(const uint8_t *a, const uint8_t *b, const uint8_t *is_free,
		uint64_t size)
{
	for (uint64_t s = 0; s < size / 512; s++)
		if (!is_free[s] && memcmp(a + s * 512, b + s * 512, 512))
			return 0;
	return 1;
}

static void restore_sample(const char *name, unsigned int sector)
{
	char other[64];
	uint8_t *image, *want, *is_free = sample_free(name);
	struct dev *dev;

	snprintf(other, sizeof(other), "%s.state1", name);
	image = sample(other);
	snprintf(other, sizeof(other), "%s.atstate1", name);
	want = sample(other);
	dev = memdev_new(image, SAMPLE_SIZE, sector);
	check(!same(memdev_data(dev), want, is_free, SAMPLE_SIZE));
	check(!bow_restore(dev));
	check(same(memdev_data(dev), want, is_free, SAMPLE_SIZE));
	check(memdev_ops_done(dev) < 100);
	memdev_free(dev);
	free(image);
	free(want);
	free(is_free);
}

static void samples_restore_exactly(void)
{
	restore_sample("s4k", 512);
	restore_sample("s4k", 4096);
	restore_sample("s512", 512);
}

/* Cuts at every eleventh write, runs again, cuts that at a random write, and so
 * on. */
static void cut_sample(const char *name, unsigned int sector)
{
	char other[64];
	uint8_t *image, *want, *is_free = sample_free(name);

	snprintf(other, sizeof(other), "%s.state1", name);
	image = sample(other);
	snprintf(other, sizeof(other), "%s.atstate1", name);
	want = sample(other);
	srand(3);
	for (unsigned int n = 1; !test_failed; n += 11) {
		struct dev *dev = memdev_new(image, SAMPLE_SIZE, sector);
		unsigned int tries = 0;
		bool whole;

		memdev_cut(dev, n);
		while (bow_restore(dev)) {
			check(memdev_is_cut(dev));
			memdev_reboot(dev, n + tries);
			memdev_cut(dev, ++tries < 4 ? 1 + rand() % 90 : 0);
			if (test_failed)
				break;
		}
		check(same(memdev_data(dev), want, is_free, SAMPLE_SIZE));
		whole = !tries;
		memdev_free(dev);
		if (whole)
			break;
	}
	free(image);
	free(want);
	free(is_free);
}

static void a_restore_may_be_cut_anywhere(void)
{
	cut_sample("s4k", 512);
	cut_sample("s512", 512);
}

static void refused(const char *name, enum bow_kind kind, int result)
{
	uint8_t *image = sample(name);
	struct dev *dev = memdev_new(image, SAMPLE_SIZE, 512);
	struct bow_info info;

	check(!bow_probe(dev, &info));
	check(info.kind == kind);
	check(bow_restore(dev) == result);
	check(!memdev_ops_done(dev));
	check(!memcmp(memdev_data(dev), image, SAMPLE_SIZE));
	memdev_free(dev);
	free(image);
}

static void damaged_samples_are_left_alone(void)
{
	refused("bad_count_huge.state1", BOW_DAMAGED, -1);
	refused("bad_entry_size_unaligned.state1", BOW_DAMAGED, -1);
	refused("bad_flip_backup_data.state1", BOW_LOG, -1);
	refused("bad_magic_zero.state1", BOW_NONE, 0);
	refused("s4k.pristine", BOW_NONE, 0);
}

/* Only the count, lowered, can do harm: a published log cannot tell. */
static void a_flipped_bit_is_refused_or_harmless(void)
{
	uint8_t *image = sample("s512.state1"), *want = sample("s512.atstate1");
	uint8_t *is_free = sample_free("s512");

	for (unsigned int bit = 0; bit < 100 * 8; bit += 13) {
		struct dev *dev = memdev_new(image, SAMPLE_SIZE, 512);
		bool count = bit / 8 >= 12 && bit / 8 < 16;

		memdev_data(dev)[bit / 8] ^= 1 << bit % 8;
		if (bow_restore(dev) || bit / 8 < 4)
			check(!memdev_ops_done(dev));
		else
			check(count || same(memdev_data(dev), want, is_free,
					    SAMPLE_SIZE));
		memdev_free(dev);
	}
	free(image);
	free(want);
	free(is_free);
}

static void a_published_log_can_be_kept(void)
{
	uint8_t *image = sample("s4k.state1");
	struct dev *dev = memdev_new(image, SAMPLE_SIZE, 512);
	struct bow_info info;

	check(!bow_probe(dev, &info));
	check(!bow_keep(dev));
	check(!memcmp(memdev_data(dev), image + info.sector0 * 512, 4096));
	check(!memcmp(memdev_data(dev) + 4096, image + 4096,
		      SAMPLE_SIZE - 4096));
	memdev_free(dev);
	free(image);
}

static void a_tiny_device_has_no_log(void)
{
	struct bow_info info;
	struct dev *dev = memdev_new("BOW", 3, 1);

	check(!bow_probe(dev, &info) && info.kind == BOW_NONE);
	check(!bow_restore(dev) && !bow_keep(dev));
	memdev_free(dev);
}

/* ---- our own writer ------------------------------------------------------ */

static const struct writer_shape shapes[] = {
	{ 512, 512, 300, 120 },	  { 1024, 512, 300, 120 },
	{ 2048, 512, 300, 120 },  { 4096, 512, 300, 150 },
	{ 4096, 4096, 300, 150 }, { 512, 512, 40, 12 },
	{ 4096, 512, 700, 400 },
};

#define N_SHAPES (sizeof(shapes) / sizeof(shapes[0]))

/* Restores with cuts now and then; the device must be as at state 1. */
static void check_restore(struct writer *w, unsigned int cut)
{
	unsigned int tries = 0;

	memdev_cut(w->dev, cut);
	while (bow_restore(w->dev)) {
		check(memdev_is_cut(w->dev));
		memdev_reboot(w->dev, rand());
		memdev_cut(w->dev, ++tries < 3 ? 1 + rand() % 40 : 0);
		if (test_failed)
			return;
	}
	check(writer_is_as_at_state_1(w));
}

static void writers_log_restores(void)
{
	for (unsigned int i = 0; i < 25 * N_SHAPES && !test_failed; i++) {
		struct writer *w = writer_new(&shapes[i % N_SHAPES], i);
		unsigned int ops = 20 + rand() % 200;

		while (ops--)
			writer_step(w);
		check_restore(w, rand() % 2 ? 0 : 1 + rand() % 60);
		writer_free(w);
	}
}

static unsigned int flushes_of_a_restore(const struct writer_shape *shape,
					 unsigned int seed, unsigned int steps)
{
	struct writer *w = writer_new(shape, seed);
	unsigned int before, n;

	while (steps--)
		writer_step(w);
	before = memdev_flushes(w->dev);
	check(!bow_restore(w->dev));
	n = memdev_flushes(w->dev) - before;
	check(writer_is_as_at_state_1(w));
	writer_free(w);
	return n;
}

/*
 * Whatever was saved, freed, used for another backup and moved in between, as
 * long as the trial did not use all the free space there is several times over.
 */
static void a_restore_flushes_eight_times(void)
{
	static const struct writer_shape roomy[] = {
		{ 512, 512, 800, 400 },
		{ 1024, 512, 800, 400 },
		{ 4096, 512, 800, 400 },
		{ 4096, 4096, 800, 400 },
	};
	unsigned int most = 0, n;

	for (unsigned int i = 0; i < 120 && !test_failed; i++) {
		n = flushes_of_a_restore(&roomy[i % 4], i, 20 + i * 2);
		most = n > most ? n : most;
		check(n <= 8);
	}
	printf("     at most %u flushes\n", most);
	check(most > 5); /* or nothing stood in its own way */
}

/* Without room to save it, every piece that is in its own way costs two. */
static void a_full_device_restores_too(void)
{
	for (unsigned int i = 0; i < 8 * N_SHAPES && !test_failed; i++)
		check(flushes_of_a_restore(&shapes[i % N_SHAPES], i, 500) <
		      120);
}

/* A cut at any write of the writer, entering state 1 included. */
static void a_writer_may_be_cut_anywhere(void)
{
	for (unsigned int i = 0; i < 60 * N_SHAPES && !test_failed; i++) {
		struct writer *w = writer_new(&shapes[i % N_SHAPES], i);

		if (i % 4 == 0) {
			writer_forget(w);
			memdev_cut(w->dev, 1 + rand() % 12);
			writer_enter(w);
		} else {
			memdev_cut(w->dev, 1 + rand() % 600);
		}
		for (int n = 0; n < 300 && !memdev_is_cut(w->dev); n++)
			writer_step(w);
		memdev_reboot(w->dev, rand());
		check_restore(w, rand() % 2 ? 0 : 1 + rand() % 60);
		writer_free(w);
	}
}

/* What inspect says of the newest log block. */
struct told_newest {
	unsigned int count;
	unsigned int from, to; /* entries without effect; 0: none */
};

#define NO_EFFECT " never took effect: the power failed before %n"

static void read_newest(struct told_newest *t, const char *report)
{
	const char *next = strchr(report, '\n') + 1;
	int end = 0;

	sscanf(report, "log block %*u: block size %*u, %u", &t->count);
	sscanf(next, "  entry %u" NO_EFFECT, &t->from, &end);
	t->to = t->from;
	if (!end)
		sscanf(next, "  entries %u to %u" NO_EFFECT, &t->from, &t->to,
		       &end);
	if (!end)
		t->from = t->to = 0;
}

static void ask_newest(struct dev *dev, struct told_newest *t)
{
	char *report = NULL;
	struct bow_info info;
	size_t len;
	FILE *out = open_memstream(&report, &len);

	check(!bow_inspect(dev, out, &info) && info.kind == BOW_LOG);
	fclose(out);
	read_newest(t, report);
	free(report);
}

static unsigned int count_of(struct dev *dev)
{
	struct bow_log log;
	const char *why;

	check(!bow_log_header(&log, memdev_data(dev), dev_size(dev) / 512,
			      &why));
	bow_log_block(&log, memdev_data(dev));
	return log.count;
}

/* Only the others are counted. */
static void entries_without_effect_are_told(void)
{
	unsigned int one = 0, more = 0;

	for (unsigned int i = 0; i < 60 * N_SHAPES && !test_failed; i++) {
		struct writer *w = writer_new(&shapes[i % N_SHAPES], i);
		struct told_newest told;

		memdev_cut(w->dev, 1 + rand() % 600);
		for (int n = 0; n < 300 && !memdev_is_cut(w->dev); n++)
			writer_step(w);
		memdev_reboot(w->dev, rand());
		ask_newest(w->dev, &told);
		check(count_of(w->dev) == (told.to ? told.to + 1 : told.count));
		check(!told.to || told.count == told.from);
		one += told.to && told.to == told.from;
		more += told.to > told.from;
		writer_free(w);
	}
	printf("     one: %u times, more: %u\n", one, more);
	check(one && more);
}

static void a_keep_may_be_cut_anywhere(void)
{
	for (unsigned int i = 0; i < 15 * N_SHAPES && !test_failed; i++) {
		struct writer *w = writer_new(&shapes[i % N_SHAPES], i);
		unsigned int ops = 20 + rand() % 200;

		while (ops--)
			writer_step(w);
		dev_flush(w->dev);
		memdev_cut(w->dev, 1 + rand() % 6);
		while (bow_keep(w->dev)) {
			check(memdev_is_cut(w->dev));
			memdev_reboot(w->dev, rand());
			memdev_cut(w->dev, rand() % 6);
			if (test_failed)
				break;
		}
		check(writer_is_as_written(w));
		writer_free(w);
	}
}

static void a_begun_restore_is_not_kept(void)
{
	struct writer *w = writer_new(&shapes[0], 5);
	struct bow_info info;

	for (int n = 0; n < 100; n++)
		writer_step(w);
	dev_flush(w->dev);
	memdev_cut(w->dev, 5);
	check(bow_restore(w->dev));
	memdev_reboot(w->dev, 1);
	check(!bow_probe(w->dev, &info) && info.kind == BOW_RESTORING);
	check(bow_keep(w->dev));
	check_restore(w, 0);
	writer_free(w);
}

static void a_begun_keep_is_not_restored(void)
{
	struct writer *w = writer_new(&shapes[3], 5);
	struct bow_info info;

	for (int n = 0; n < 100; n++)
		writer_step(w);
	dev_flush(w->dev);
	memdev_cut(w->dev, 3);
	check(bow_keep(w->dev));
	memdev_reboot(w->dev, 1);
	check(!bow_probe(w->dev, &info) && info.kind == BOW_KEEPING);
	check(bow_restore(w->dev));
	check(!bow_keep(w->dev) && writer_is_as_written(w));
	writer_free(w);
}

/* Only the tail can tell that the place of the live block 0 is wrong. */
static void a_damaged_sector0_is_not_kept(void)
{
	for (unsigned int i = 0; i < N_SHAPES; i++) {
		struct writer *w = writer_new(&shapes[i], i);
		unsigned int before;

		for (int n = 0; n < 40; n++)
			writer_step(w);
		before = memdev_ops_done(w->dev);
		memdev_data(w->dev)[20] ^= 8;
		check(bow_keep(w->dev));
		check(memdev_ops_done(w->dev) == before);
		writer_free(w);
	}
}

/* Bytes changed at random where the log is: undone right, or not at all. */
static void a_damaged_log_is_refused_or_harmless(void)
{
	unsigned int refusals = 0;

	for (unsigned int i = 0; i < 100 * N_SHAPES && !test_failed; i++) {
		struct writer *w = writer_new(&shapes[i % N_SHAPES], i);
		unsigned int ops = rand() % 60, bytes = 1 + rand() % 3, before;

		while (ops--)
			writer_step(w);
		while (bytes--) {
			uint32_t at = rand() % w->shape.block_size;

			memdev_data(w->dev)[at] = rand() >> 8;
		}
		before = memdev_ops_done(w->dev);
		if (bow_restore(w->dev) || memdev_ops_done(w->dev) == before) {
			check(memdev_ops_done(w->dev) == before);
			refusals++;
		} else {
			check(writer_is_as_at_state_1(w));
		}
		writer_free(w);
	}
	check(refusals > 100);
}

/* Headers and entries that look right, full of numbers that do not. */
static void nonsense_does_no_harm(void)
{
	static const uint64_t numbers[] = { 0,	   1,	       2,   8,
					    63,	   64,	       65,  1u << 20,
					    ~0ull, 1ull << 63, 512, 100,
					    4096 };
	uint8_t image[65536];

	srand(9);
	for (int i = 0; i < 3000 && !test_failed; i++) {
		struct dev *dev;
		struct bow_info info;
		FILE *sink;

		memset(image, 0, sizeof(image));
		for (int b = 0; b < 8; b++) {
			struct bow_step first = { 0, 1 + rand() % 9, 512,
						  rand() % 2 };

			bow_log_start(image + b * 512, 512, BOW_HEADER_SIZE, 8,
				      &first);
		}
		for (int n = 0; n < 12; n++) {
			uint64_t v = numbers[rand() % 13];

			memcpy(image + rand() % 8 * 512 + 4 + rand() % 60, &v,
			       1 + rand() % 8);
		}
		dev = memdev_new(image, sizeof(image), 512);
		sink = fopen("/dev/null", "w");
		check(!bow_inspect(dev, sink, &info));
		fclose(sink);
		if (bow_restore(dev))
			check(!memcmp(memdev_data(dev), image, sizeof(image)));
		memdev_free(dev);
	}
}

/* ---- salvage --------------------------------------------------------------
 */

/* What a salvage said it would leave: sectors, a byte each. */
struct told {
	uint8_t *left;
	uint64_t sectors;
	bool unknown; /* it said that it does not know all */
};

static void read_report(struct told *told, const char *report)
{
	unsigned long long from, to;

	for (const char *p = report; *p; p = strchr(p, '\n') + 1) {
		if (sscanf(p, "sectors %llu to %llu stay as they are: ", &from,
			   &to) != 2)
			continue;
		check(from <= to && to < told->sectors);
		if (to < told->sectors)
			memset(told->left + from, 1, to + 1 - from);
	}
}

static int salvage(struct dev *dev, struct told *told, struct bow_salvage *done)
{
	char *report = NULL;
	size_t len;
	FILE *to = open_memstream(&report, &len);
	int r = bow_salvage(dev, to, -1, done);

	fclose(to);
	read_report(told, report);
	told->unknown |= done->unknown;
	free(report);
	return r;
}

/* One flipped bit in one backup: all but what that entry saved is undone. */
static void a_damaged_sample_is_salvaged(void)
{
	uint8_t *image = sample("bad_flip_backup_data.state1");
	struct dev *dev = memdev_new(image, SAMPLE_SIZE, 512);
	struct told told = { calloc(1, SAMPLE_SIZE / 512), SAMPLE_SIZE / 512,
			     false };
	struct bow_salvage done;
	struct bow_info info;

	check(!salvage(dev, &told, &done));
	check(done.kind == BOW_DAMAGED && done.block0 == BOW_BLOCK0_OLD);
	check(done.left == 4096 && done.undone > 10 * 4096);
	for (uint64_t s = 0; s < told.sectors; s++)
		check(!told.left[s] || !memcmp(memdev_data(dev) + s * 512,
					       image + s * 512, 512));
	check(!bow_probe(dev, &info) && info.kind == BOW_NONE);
	memdev_free(dev);
	free(image);
	free(told.left);
}

static void a_whole_log_is_salvaged_whole(void)
{
	struct writer *w = writer_new(&shapes[0], 4);
	struct told told = { calloc(1, 300), 300, false };
	struct bow_salvage done;

	for (int n = 0; n < 100; n++)
		writer_step(w);
	check(!salvage(w->dev, &told, &done));
	check(done.kind == BOW_LOG && !done.left && !done.unknown);
	check(writer_is_as_at_state_1(w));
	free(told.left);
	writer_free(w);
}

/* Flips a bit in some of the blocks that were free when state 1 began. */
static void rot(struct writer *w, unsigned int places)
{
	uint32_t size = w->shape.block_size;

	while (places) {
		uint64_t block = 1 + rand() % (w->shape.blocks - 1);

		if (!w->was_free[block])
			continue;
		memdev_data(w->dev)[block * size + rand() % size] ^= 4;
		places--;
	}
	memdev_settle(w->dev);
}

static unsigned int compared;

/*
 * Every sector is as at state 1, or it was named and is as it was before. Where
 * it is not even known what was saved there is no telling.
 */
static void check_salvaged(struct writer *w, const uint8_t *before,
			   const struct told *told)
{
	uint32_t size = w->shape.block_size;

	if (told->unknown)
		return;
	compared++;
	for (uint64_t s = size / 512; s < told->sectors && !test_failed; s++) {
		const uint8_t *now = memdev_data(w->dev) + s * 512;

		if (w->was_free[s * 512 / size] ||
		    !memcmp(now, w->at_state_1 + s * 512, 512))
			continue;
		check(!memcmp(now, before + s * 512, 512));
		check(told->left[s]);
	}
}

static void check_block0(struct writer *w, const struct bow_salvage *done)
{
	uint32_t size = w->shape.block_size;

	if (done->block0 == BOW_BLOCK0_OLD)
		check(!memcmp(memdev_data(w->dev), w->at_state_1, size));
	check(!bow_log_is(memdev_data(w->dev)));
}

/* Salvages with cuts; what was said the first time counts. */
static void check_salvage(struct writer *w, unsigned int cut)
{
	uint64_t size = (uint64_t)w->shape.blocks * w->shape.block_size;
	struct told told = { calloc(1, size / 512), size / 512, false };
	struct bow_salvage done = { 0 };
	uint8_t *before = malloc(size);
	unsigned int tries = 0;

	memcpy(before, memdev_data(w->dev), size);
	memdev_cut(w->dev, cut);
	while (salvage(w->dev, &told, &done) && !test_failed) {
		check(memdev_is_cut(w->dev));
		memdev_reboot(w->dev, rand());
		memdev_cut(w->dev, ++tries < 3 ? 1 + rand() % 30 : 0);
	}
	check_salvaged(w, before, &told);
	if (!tries)
		check_block0(w, &done);
	free(before);
	free(told.left);
}

static void rotten_backups_are_told(void)
{
	compared = 0;
	for (unsigned int i = 0; i < 60 * N_SHAPES && !test_failed; i++) {
		struct writer *w = writer_new(&shapes[i % N_SHAPES], i);
		unsigned int ops = 10 + rand() % 100;

		while (ops--)
			writer_step(w);
		dev_flush(w->dev);
		rot(w, 1 + rand() % 6);
		check_salvage(w, rand() % 2 ? 0 : 1 + rand() % 60);
		writer_free(w);
	}
	check(compared > 100);
}

static void a_damaged_block_0_is_salvaged(void)
{
	compared = 0;
	for (unsigned int i = 0; i < 60 * N_SHAPES && !test_failed; i++) {
		struct writer *w = writer_new(&shapes[i % N_SHAPES], i);
		unsigned int ops = rand() % 60, bytes = 1 + rand() % 3;

		while (ops--)
			writer_step(w);
		dev_flush(w->dev);
		while (bytes--)
			memdev_data(w->dev)[4 + rand() % (w->shape.block_size -
							  4)] = rand() >> 8;
		memdev_settle(w->dev);
		check_salvage(w, rand() % 2 ? 0 : 1 + rand() % 60);
		writer_free(w);
	}
	check(compared > 100);
}

/* Has the backup of block 0 had to make way, by what the first log block says?
 */
static bool backup_moved(const struct writer *w)
{
	const struct bow_header *h = (void *)memdev_data(w->dev);
	const struct bow_entry *e = (void *)((uint8_t *)h + h->header_size);

	for (uint32_t i = 1; i < h->count; i++)
		if (e[i].source <= e[0].dest &&
		    e[0].dest < e[i].source + e[i].size / 512)
			return true;
	return false;
}

static void a_lost_header_is_found_by_what_it_saved(void)
{
	unsigned int moved = 0;

	for (unsigned int i = 0; i < 40 * N_SHAPES && !test_failed; i++) {
		struct writer *w = writer_new(&shapes[i % N_SHAPES], i);
		struct bow_header *h = (void *)memdev_data(w->dev);
		struct bow_salvage done;

		for (int n = 0; n < 12 && !h->sequence; n++)
			writer_step(w);
		memdev_settle(w->dev);
		if (!h->sequence) {
			moved += backup_moved(w);
			h->count = 0xffff;
			check(!bow_drop(w->dev, &done));
			check(done.block0 == BOW_BLOCK0_LIVE);
			check(writer_is_as_written(w));
		}
		writer_free(w);
	}
	check(moved > 5);
}

/* The last write never came, and its backup is bad: nothing is lost. */
static void an_entry_without_effect_needs_no_undo(void)
{
	struct writer *w = writer_new(&shapes[0], 8);
	struct told told = { calloc(1, 300), 300, false };
	struct bow_step step = { 100, 0, 512, 0 };
	struct bow_salvage done;

	for (uint64_t b = 1; !step.dest; b++)
		if (w->was_free[b] && b * 512 != w->live * 512)
			step.dest = b;
	while (w->was_free[step.source])
		step.source++;
	step.checksum = bow_checksum(step.source, 512,
				     w->at_state_1 + step.source * 512, 512);
	check(!bow_log_append(memdev_data(w->dev), &step));
	memset(memdev_data(w->dev) + step.dest * 512, 0x5A, 512);
	check(bow_restore(w->dev));
	check(!salvage(w->dev, &told, &done));
	check(done.kind == BOW_DAMAGED && !done.left && !done.unknown);
	check(writer_is_as_at_state_1(w));
	free(told.left);
	writer_free(w);
}

/* Wherever a bit is flipped, but in sector0, which only the tail covers. */
static void a_damaged_log_is_dropped(void)
{
	unsigned int lives = 0;

	for (unsigned int i = 0; i < 40 * N_SHAPES && !test_failed; i++) {
		struct writer *w = writer_new(&shapes[i % N_SHAPES], i);
		unsigned int ops = rand() % 60, at;
		struct bow_salvage done;

		while (ops--)
			writer_step(w);
		do
			at = 4 + rand() % 60;
		while (at >= 20 && at < 28);
		memdev_data(w->dev)[at] ^= 1 << rand() % 8;
		check(!bow_drop(w->dev, &done));
		check_block0(w, &done);
		if (done.block0 == BOW_BLOCK0_LIVE)
			check(!memcmp(memdev_data(w->dev), w->upper,
				      w->shape.block_size));
		lives += done.block0 == BOW_BLOCK0_LIVE;
		writer_free(w);
	}
	check(lives > 30 * N_SHAPES);
}

static const struct test tests[] = {
	{ "samples restore exactly", samples_restore_exactly },
	{ "a restore may be cut anywhere", a_restore_may_be_cut_anywhere },
	{ "damaged samples are left alone", damaged_samples_are_left_alone },
	{ "a flipped bit is refused or harmless",
	  a_flipped_bit_is_refused_or_harmless },
	{ "a published log can be kept", a_published_log_can_be_kept },
	{ "a tiny device has no log", a_tiny_device_has_no_log },
	{ "the writer's log restores", writers_log_restores },
	{ "a restore flushes eight times", a_restore_flushes_eight_times },
	{ "a full device restores too", a_full_device_restores_too },
	{ "a writer may be cut anywhere", a_writer_may_be_cut_anywhere },
	{ "entries without effect are told", entries_without_effect_are_told },
	{ "a keep may be cut anywhere", a_keep_may_be_cut_anywhere },
	{ "a begun restore is not kept", a_begun_restore_is_not_kept },
	{ "a begun keep is not restored", a_begun_keep_is_not_restored },
	{ "a damaged sector0 is not kept", a_damaged_sector0_is_not_kept },
	{ "a damaged log is refused or harmless",
	  a_damaged_log_is_refused_or_harmless },
	{ "nonsense does no harm", nonsense_does_no_harm },
	{ "a damaged sample is salvaged", a_damaged_sample_is_salvaged },
	{ "a whole log is salvaged whole", a_whole_log_is_salvaged_whole },
	{ "rotten backups are told", rotten_backups_are_told },
	{ "a damaged block 0 is salvaged", a_damaged_block_0_is_salvaged },
	{ "a lost header is found by what it saved",
	  a_lost_header_is_found_by_what_it_saved },
	{ "an entry without effect needs no undo",
	  an_entry_without_effect_needs_no_undo },
	{ "a damaged log is dropped", a_damaged_log_is_dropped },
};

int main(void)
{
	memdev_quiet();
	io = &memdev_ops;
	return RUN_TESTS(tests);
}
