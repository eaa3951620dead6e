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
		FILE *sink;

		memset(image, 0, sizeof(image));
		for (int b = 0; b < 8; b++)
			bow_log_start(image + b * 512, 512, 8, 1 + rand() % 9,
				      rand() % 2);
		for (int n = 0; n < 12; n++) {
			uint64_t v = numbers[rand() % 13];

			memcpy(image + rand() % 8 * 512 + 4 + rand() % 60, &v,
			       1 + rand() % 8);
		}
		dev = memdev_new(image, sizeof(image), 512);
		sink = fopen("/dev/null", "w");
		check(!bow_inspect(dev, sink));
		fclose(sink);
		if (bow_restore(dev))
			check(!memcmp(memdev_data(dev), image, sizeof(image)));
		memdev_free(dev);
	}
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
	{ "a writer may be cut anywhere", a_writer_may_be_cut_anywhere },
	{ "a keep may be cut anywhere", a_keep_may_be_cut_anywhere },
	{ "a begun restore is not kept", a_begun_restore_is_not_kept },
	{ "a begun keep is not restored", a_begun_keep_is_not_restored },
	{ "a damaged sector0 is not kept", a_damaged_sector0_is_not_kept },
	{ "a damaged log is refused or harmless",
	  a_damaged_log_is_refused_or_harmless },
	{ "nonsense does no harm", nonsense_does_no_harm },
};

int main(void)
{
	memdev_quiet();
	io = &memdev_ops;
	return RUN_TESTS(tests);
}
