// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Making diffs and reading them back: whatever the images, sizes and options,
 * old plus diff is new, and the same input gives the same bytes.
 */
#include <fcntl.h>
#include <glob.h>
#include <sys/stat.h>
#include <unistd.h>

#include "test.h"
#include "diff.h"

static char folder[] = "/tmp/t-update-diff.XXXXXX";

static const char *in(const char *name)
{
	static char path[4][256];
	static int turn;

	turn = (turn + 1) % 4;
	snprintf(path[turn], sizeof(path[0]), "%s/%s", folder, name);
	return path[turn];
}

static uint64_t next_random(void)
{
	static uint64_t state = 7;

	state = state * 6364136223846793005u + 1442695040888963407u;
	return state >> 16;
}

static void put(const char *name, const uint8_t *data, size_t len)
{
	FILE *f = fopen(in(name), "w");

	check(f && fwrite(data, 1, len, f) == len);
	if (f)
		fclose(f);
}

static uint8_t *get(const char *path, size_t *len)
{
	FILE *f = fopen(path, "r");
	uint8_t *data = malloc(4 << 20);

	*len = f ? fread(data, 1, 4 << 20, f) : 0;
	check(f);
	if (f)
		fclose(f);
	return data;
}

static int same_files(const char *a, const char *b)
{
	size_t a_len, b_len;
	uint8_t *a_data = get(a, &a_len), *b_data = get(b, &b_len);
	int same = a_len == b_len && !memcmp(a_data, b_data, a_len);

	free(a_data);
	free(b_data);
	return same;
}

/* ---- images ------------------------------------------------------------- */

static void fill(uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		p[i] = i % 3000 < 1000 ? next_random() : i >> 8;
}

static void scatter(uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len / 9000; i++)
		p[next_random() % len]++;
}

static void shift(uint8_t *p, size_t len)
{
	memmove(p + 100, p, len > 100 ? len - 100 : 0);
}

static void zero_run(uint8_t *p, size_t len)
{
	memset(p + len / 4, 0, len / 2);
}

static void repeat(uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		p[i] = i / 4096 % 3 * 85 + 1;
}

static void nothing(uint8_t *p, size_t len)
{
}

static const struct {
	void (*edit)(uint8_t *p, size_t len);
	size_t old_len, new_len;
	uint32_t block, chunk;
	enum update_compression compression;
} rounds[] = {
	{ fill, 1 << 20, 1 << 20, 4096, 65536, UPDATE_ZSTD },
	{ scatter, 1 << 20, 1 << 20, 4096, 65536, UPDATE_ZSTD },
	{ scatter, 1 << 20, 1 << 20, 4096, 65536, UPDATE_NONE },
	{ scatter, 1 << 20, 1 << 20, 512, 512, UPDATE_NONE },
	{ scatter, 1 << 20, 1 << 20, 512, 3 * 512, UPDATE_ZSTD },
	{ scatter, 3 << 20, 3 << 20, 2 << 20, 2 << 20, UPDATE_ZSTD },
	{ scatter, 3 << 20, 3 << 20, 4096, 4 << 20, UPDATE_ZSTD },
	{ shift, 1 << 20, 1 << 20, 4096, 65536, UPDATE_ZSTD },
	{ zero_run, 1 << 20, 1 << 20, 4096, 65536, UPDATE_ZSTD },
	{ zero_run, 1 << 20, 1 << 20, 4096, 65536, UPDATE_NONE },
	{ repeat, 1 << 20, 1 << 20, 4096, 8192, UPDATE_ZSTD },
	{ nothing, 1 << 20, 1 << 20, 4096, 65536, UPDATE_ZSTD },
	{ nothing, 1 << 20, 1 << 20, 4096, 65536, UPDATE_NONE },
	{ nothing, 1 << 20, (1 << 20) + 512, 4096, 65536, UPDATE_ZSTD },
	{ nothing, 1 << 20, 2 << 20, 4096, 65536, UPDATE_ZSTD },
	{ scatter, 2 << 20, 1 << 20, 4096, 65536, UPDATE_ZSTD },
	{ fill, 1 << 20, 1 << 20, 4096, 65536, UPDATE_LZ4 },
	{ scatter, 1 << 20, (1 << 20) + 512, 512, 3 * 512, UPDATE_LZ4 },
	{ zero_run, 1 << 20, 1 << 20, 4096, 65536, UPDATE_LZ4 },
	{ nothing, 1 << 20, 1 << 20, 4096, 65536, UPDATE_LZ4 },
	{ nothing, 2 << 20, (1 << 20) + 1536, 4096, 65536, UPDATE_ZSTD },
	{ scatter, 1000001, 999999, 4096, 65536, UPDATE_ZSTD },
	{ scatter, 1000001, 1000003, 4096, 65536, UPDATE_NONE },
	{ fill, 0, 70000, 4096, 65536, UPDATE_ZSTD },
	{ fill, 1, 1, 4096, 65536, UPDATE_ZSTD },
};

static void write_images(size_t i)
{
	size_t old_len = rounds[i].old_len, new_len = rounds[i].new_len;
	uint8_t *data = calloc(1, 4 << 20);

	fill(data, 4 << 20);
	put("old", data, old_len);
	rounds[i].edit(data, new_len);
	put("new", data, new_len);
	free(data);
}

static struct diff_options options_of(size_t i)
{
	return (struct diff_options){ .block_size = rounds[i].block,
				      .chunk_size = rounds[i].chunk,
				      .compression = rounds[i].compression,
				      .level = 3,
				      .threads = 1 + i % 3 };
}

static int make(const char *out, const struct diff_options *options,
		struct diff_result *result)
{
	return diff_make(in("old"), in("new"), in(out), options, result);
}

/* Applies the diff at @path on @old; the result is at in("image"). */
static int apply(const char *old, const char *path, size_t len)
{
	struct dev *from = dev_open(old, DEV_READ), *image;
	int fd = open(in("image"), O_RDWR | O_CREAT | O_TRUNC, 0600), r = -1;

	check(fd >= 0 && !ftruncate(fd, len));
	close(fd);
	image = dev_open(in("image"), DEV_WRITE);
	if (from && image)
		r = diff_apply(from, path, image);
	dev_close(from);
	dev_close(image);
	return r;
}

static int nothing_else_grows(void)
{
	glob_t found;
	int r = glob(in("diff.*"), 0, NULL, &found);

	globfree(&found);
	return r == GLOB_NOMATCH;
}

static void old_plus_diff_is_new(void)
{
	for (size_t i = 0; i < sizeof(rounds) / sizeof(rounds[0]); i++) {
		struct diff_options options = options_of(i);
		struct diff_result result;
		struct stat st;
		int ok;

		write_images(i);
		ok = !make("diff", &options, &result) &&
		     !apply(in("old"), in("diff"), rounds[i].new_len) &&
		     same_files(in("image"), in("new"));
		if (!ok)
			printf("round %zu\n", i);
		check(ok);
		check(!stat(in("diff"), &st) &&
		      st.st_size % DIFF_PADDING == 0 &&
		      (uint64_t)st.st_size == result.size);
		check(nothing_else_grows());
	}
}

/* As a merge does it: over the old image, and again after half of it. */
static void a_diff_applies_in_place_and_twice(void)
{
	struct diff_options options = options_of(0);
	struct diff_result result;
	struct dev *dev;

	write_images(1);
	check(!make("diff", &options, &result));
	dev = dev_open(in("old"), DEV_WRITE);
	check(dev && !diff_apply(dev, in("diff"), dev));
	check(dev && !diff_apply(dev, in("diff"), dev));
	dev_close(dev);
	check(same_files(in("old"), in("new")));
}

static void only_changed_blocks_are_stored(void)
{
	struct diff_options options = options_of(0);
	struct diff_result result;
	uint8_t *data = calloc(1, 1 << 20);

	put("old", data, 1 << 20);
	data[5 * 4096] = 1;
	data[7 * 4096 - 1] = 2;
	data[9 * 4096] = 1; /* equal to block 5 */
	put("new", data, 1 << 20);
	options.compression = UPDATE_NONE;
	check(!make("diff", &options, &result));
	check(result.blocks == 256 && result.changed == 3);
	check(result.size == 64 + 2 * 4096 + 4 * 16 + 4096 - 128);
	put("new", data, 0);
	check(make("diff", &options, &result)); /* an empty image */
	free(data);
}

/* Even where the bytes read before look the same. */
static void what_old_does_not_have_is_changed(void)
{
	struct diff_options options = options_of(0);
	struct diff_result result;
	uint8_t *data = calloc(1, 2 << 20);

	put("old", data, (1 << 20) + 4096);
	put("new", data, 2 << 20);
	check(!make("diff", &options, &result));
	check(result.changed == 255);
	free(data);
}

static void the_bytes_do_not_depend_on_threads(void)
{
	struct diff_options options = options_of(0);
	struct diff_result result;

	write_images(7);
	options.chunk_size = 8192;
	options.threads = 1;
	check(!make("diff", &options, &result));
	options.threads = 7;
	check(!make("diff2", &options, &result));
	check(same_files(in("diff"), in("diff2")));
}

/* ---- diffs that others wrote, and damaged ones -------------------------- */

static void foreign_samples_are_read(void)
{
	static const char *const names[] = { "none-16.diff", "zstd-16.diff",
					     "zstd-3-shared.diff",
					     "lz4-5.diff" };
	const char *data = TEST_DATA "/update-v0/";
	char old[512], new[512], diff[512];

	snprintf(old, sizeof(old), "%sold.img", data);
	snprintf(new, sizeof(new), "%snew.img", data);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(diff, sizeof(diff), "%s%s", data, names[i]);
		check(!apply(old, diff, 196608));
		check(same_files(in("image"), new));
	}
	snprintf(diff, sizeof(diff), "%ssame.diff", data);
	check(!apply(old, diff, 196608));
	check(same_files(in("image"), old));
}

/* Any flipped bit is refused, or in what nobody reads. */
static void no_flipped_bit_is_believed(void)
{
	struct diff_options options = options_of(0);
	struct diff_result result;
	int refused = 0, fd;
	uint8_t byte;

	options.chunk_size = 16384;
	write_images(1);
	check(!make("diff", &options, &result));
	fd = open(in("diff"), O_RDWR);
	for (int i = 0; i < 150; i++) {
		off_t at = next_random() % (result.size - DIFF_PADDING);

		check(pread(fd, &byte, 1, at) == 1);
		byte ^= 1u << i % 8;
		check(pwrite(fd, &byte, 1, at) == 1);
		if (apply(in("old"), in("diff"), 1 << 20))
			refused++;
		else
			check(same_files(in("image"), in("new")));
		byte ^= 1u << i % 8;
		check(pwrite(fd, &byte, 1, at) == 1);
	}
	close(fd);
	check(refused > 140);
}

static void a_cut_diff_is_refused(void)
{
	struct diff_options options = options_of(0);
	struct diff_result result;

	write_images(1);
	check(!make("diff", &options, &result));
	check(!truncate(in("diff"), result.size - DIFF_PADDING));
	check(apply(in("old"), in("diff"), 1 << 20));
	check(!truncate(in("diff"), 10));
	check(apply(in("old"), in("diff"), 1 << 20));
}

static void an_image_is_never_overwritten(void)
{
	struct diff_options options = options_of(0);
	struct diff_result result;

	write_images(1);
	check(make("new", &options, &result));
	check(make("old", &options, &result));
	check(!mkfifo(in("fifo"), 0600));
	check(make("fifo", &options, &result));
	check(diff_make(in("old"), in("new"), in("no/folder"), &options,
			&result));
	check(diff_make(in("old"), in("nothing"), in("diff3"), &options,
			&result));
	check(access(in("diff3"), F_OK));
}

static const struct test tests[] = {
	{ "old plus diff is new", old_plus_diff_is_new },
	{ "a diff applies in place, and twice",
	  a_diff_applies_in_place_and_twice },
	{ "only changed blocks are stored", only_changed_blocks_are_stored },
	{ "what old does not have is changed",
	  what_old_does_not_have_is_changed },
	{ "the bytes do not depend on threads",
	  the_bytes_do_not_depend_on_threads },
	{ "diffs that others wrote are read", foreign_samples_are_read },
	{ "no flipped bit is believed", no_flipped_bit_is_believed },
	{ "a cut diff is refused", a_cut_diff_is_refused },
	{ "an image is never overwritten", an_image_is_never_overwritten },
};

int main(void)
{
	char command[300];
	int failed;

	if (!mkdtemp(folder))
		return 1;
	failed = RUN_TESTS(tests);
	snprintf(command, sizeof(command), "rm -r '%s'", folder);
	return system(command) || failed;
}
