// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * bowline apply on random pairs: to another file, in place with the power cut
 * at every write and flush, and the proof of the order, which has to be found
 * wrong whenever something that it needs is taken away.
 */
#include "test.h"
#include "apply.h"
#include "capture.h"
#include "memdev.h"
#include "v1-random.h"
#include "verbs.h"
#include "verify.h"

#define AT 4096 /* of the records on the stage */

/* A pair, and everything that apply sees of it. */
struct bench {
	struct v1_pair pair;
	struct dev *diff, *old, *system, *stage;
	struct v1_reader rd;
};

static const struct v1_shape shapes[] = {
	{ .block_bits = 9, .chunk_blocks = 4, .most_blocks = 24, .real = true },
	{ .block_bits = 12,
	  .chunk_blocks = 3,
	  .most_blocks = 40,
	  .real = true },
	{ .block_bits = 10, .chunk_blocks = 1, .most_blocks = 9, .real = true },
};

#define N_SHAPES (sizeof(shapes) / sizeof(shapes[0]))

static u64 whole(u64 bytes)
{
	return (bytes + 511) & ~511ull;
}

static void seal(struct v1_pair *p)
{
	sha256(p->old, p->old_size, p->w.super.old_sha256);
	sha256(p->new, p->new_size, p->w.super.new_sha256);
	v1_end(&p->w);
}

static void start(struct bench *b, u64 seed)
{
	v1_random_pair(&b->pair, seed, &shapes[seed % N_SHAPES]);
}

/* When nothing more is changed in the pair. */
static int open_bench(struct bench *b)
{
	struct v1_pair *p = &b->pair;
	u64 most = p->old_size > p->new_size ? p->old_size : p->new_size;
	u8 *zeros;
	u64 stage;

	seal(p);
	b->diff = memdev_new(p->w.file, p->w.size, 512);
	b->old = memdev_new(p->old, whole(p->old_size), 512);
	zeros = calloc(1, whole(most));
	memcpy(zeros, p->old, p->old_size);
	b->system = memdev_new(zeros, whole(most), 512);
	free(zeros);
	stage = AT + 8192 +
		((u64)le32_to_cpu(p->w.super.save_blocks)
		 << p->w.super.block_bits);
	zeros = calloc(1, stage);
	b->stage = memdev_new(zeros, stage, 512);
	free(zeros);
	return v1_open(&b->rd, b->diff);
}

static void end(struct bench *b)
{
	v1_close(&b->rd);
	memdev_free(b->diff);
	memdev_free(b->old);
	memdev_free(b->system);
	memdev_free(b->stage);
	v1_pair_free(&b->pair);
}

static bool is_new(const struct bench *b, struct dev *image)
{
	return !memcmp(memdev_data(image), b->pair.new, b->pair.new_size);
}

/* ---- to another file ----------------------------------------------------- */

static void the_new_image_is_made(void)
{
	for (u64 seed = 1; seed <= 300; seed++) {
		struct dev *image;
		struct bench b;
		u8 *zeros;

		start(&b, seed);
		check(!open_bench(&b));
		/* The size of a file: not of whole sectors. */
		zeros = calloc(1, b.pair.new_size);
		image = memdev_new(zeros, b.pair.new_size, 1);
		check(!apply_base(&b.rd, b.old));
		check(!apply_to(&b.rd, b.old, image));
		check(is_new(&b, image));
		memdev_free(image);
		free(zeros);
		end(&b);
	}
}

static void another_old_image_is_refused(void)
{
	struct bench b;

	start(&b, 1);
	check(!open_bench(&b));
	memdev_data(b.old)[b.pair.old_size - 1] ^= 1;
	check(apply_base(&b.rd, b.old));
	memdev_data(b.system)[0] ^= 1;
	memdev_settle(b.system);
	check(apply_in_place(&b.rd, b.system, b.stage, AT));
	check(!memdev_ops_done(b.system) && !memdev_ops_done(b.stage));
	end(&b);
}

static void a_wrong_new_image_is_noticed(void)
{
	struct bench b;

	start(&b, 1);
	b.pair.new[0] ^= 1;
	check(!open_bench(&b));
	check(apply_to(&b.rd, b.old, NULL));
	check(apply_in_place(&b.rd, b.system, b.stage, AT));
	end(&b);
}

/* ---- in place ------------------------------------------------------------ */

static int merge(struct bench *b)
{
	return apply_in_place(&b->rd, b->system, b->stage, AT);
}

/* Cut at the @n-th write or flush of one of the devices, and again. */
static void cut_merge(struct bench *b, bool of_stage, u32 n, u64 *state)
{
	for (int cuts = 0; cuts < 3; cuts++) {
		memdev_cut(of_stage ? b->stage : b->system, n);
		if (!merge(b))
			break;
		memdev_reboot(b->system, v1_below(state, 8));
		memdev_reboot(b->stage, v1_below(state, 8));
		n = 1 + v1_below(state, n + 3);
		of_stage = v1_below(state, 2);
	}
	memdev_cut(b->system, 0);
	memdev_cut(b->stage, 0);
	check(!merge(b));
	check(is_new(b, b->system));
}

/* As it was before the merge. */
static void put_back(struct bench *b)
{
	memset(memdev_data(b->system), 0, dev_size(b->system));
	memcpy(memdev_data(b->system), b->pair.old, b->pair.old_size);
	memset(memdev_data(b->stage), 0, dev_size(b->stage));
	memdev_settle(b->system);
	memdev_settle(b->stage);
}

static void every_cut_in_place_is_survived(void)
{
	u64 state = 1;
	u32 cuts = 0;

	for (u64 seed = 1; seed <= 60; seed++) {
		struct bench b;
		u32 ops[2];

		start(&b, seed);
		check(!open_bench(&b));
		check(!merge(&b));
		check(is_new(&b, b.system));
		ops[0] = memdev_ops_done(b.system);
		ops[1] = memdev_ops_done(b.stage);
		check(!merge(&b)); /* already done */
		check(memdev_ops_done(b.system) == ops[0]);
		for (u32 stage = 0; stage < 2; stage++)
			for (u32 n = 1; n <= ops[stage]; n++, cuts++) {
				put_back(&b);
				cut_merge(&b, stage, n, &state);
			}
		end(&b);
	}
	printf("%u cuts\n", cuts);
	check(cuts > 1000);
}

/* One flush of the system for each record, and of the stage two. */
static void no_flush_is_spared_or_wasted(void)
{
	for (u64 seed = 1; seed <= 30; seed++) {
		struct bench b;
		u32 epochs;

		start(&b, seed);
		check(!open_bench(&b));
		epochs = b.rd.dir.g.n_epochs;
		check(!merge(&b));
		check(memdev_flushes(b.system) == epochs);
		check(memdev_flushes(b.stage) == 2 * epochs + 2);
		end(&b);
	}
}

static void too_small_a_device_is_refused(void)
{
	struct bench b;
	struct dev *small;

	start(&b, 3);
	check(!open_bench(&b));
	small = memdev_new(memdev_data(b.stage), AT + 8192 - 512, 512);
	check(apply_in_place(&b.rd, b.system, small, AT));
	memdev_free(small);
	small = memdev_new(memdev_data(b.system), 512, 512);
	check(apply_in_place(&b.rd, small, b.stage, AT));
	memdev_free(small);
	check(!memdev_ops_done(b.stage));
	end(&b);
}

/* ---- the proof ----------------------------------------------------------- */

static void a_right_order_is_proven(void)
{
	for (u64 seed = 1; seed <= 1000; seed++) {
		struct bench b;

		start(&b, seed);
		check(!open_bench(&b));
		check(!apply_check_order(&b.rd));
		end(&b);
	}
}

/* The reason why the order is wrong, or "". */
static const char *verdict(struct bench *b)
{
	int r;

	check(!open_bench(b));
	capture_begin();
	r = apply_check_order(&b->rd);
	capture_end();
	check(!r == !captured_errors());
	end(b);
	return captured;
}

enum fault { SAVE_GONE, SAVE_SHORT, LAST_EARLY, EPOCH_LATE, ROOM_TAKEN };

/* Breaks save @i; false if this save cannot be broken so. */
static bool break_save(struct v1_writer *w, u32 i, enum fault fault)
{
	struct v1_save *s = &w->saves[i];

	switch (fault) {
	case SAVE_GONE:
		memmove(s, s + 1, (--w->n_saves - i) * sizeof(*s));
		return true;
	case SAVE_SHORT:
		return s->blocks-- > 1;
	case LAST_EARLY:
		return s->last-- > s->epoch;
	case EPOCH_LATE:
		return s->epoch++ < s->last;
	case ROOM_TAKEN:
		if (i + 1 == w->n_saves || s->epoch != s[1].epoch)
			return false;
		s->room = s[1].room;
		return true;
	}
	return false;
}

static void each_wrong_order_is_refused_for_its_reason(void)
{
	static const char *const reasons[] = {
		[SAVE_GONE] = "reads, and it is not saved",
		[SAVE_SHORT] = "reads, and it is not saved",
		[LAST_EARLY] = "reads, but it is saved from",
		[EPOCH_LATE] = "which does not overwrite it",
		[ROOM_TAKEN] = "at the same time",
	};
	u32 tried[5] = { 0 };

	for (u64 seed = 1; seed <= 400; seed++) {
		enum fault fault = seed % 5;
		const char *reason;
		struct bench b;
		u64 state = seed;

		start(&b, seed);
		if (!b.pair.w.n_saves ||
		    !break_save(&b.pair.w, v1_below(&state, b.pair.w.n_saves),
				fault)) {
			v1_pair_free(&b.pair);
			continue;
		}
		reason = verdict(&b);
		tried[fault]++;
		if (!strstr(reason, reasons[fault])) {
			printf("seed %llu: %s\n", (unsigned long long)seed,
			       reason);
			check(false);
		}
	}
	for (u32 i = 0; i < 5; i++)
		check(tried[i] > 10);
}

static void a_save_of_what_nobody_overwrites_is_refused(void)
{
	struct bench b;
	u64 seed = 1;

	do {
		start(&b, seed++);
		if (b.pair.w.n_extents && b.pair.w.extents[0].dest > 1)
			break;
		v1_pair_free(&b.pair);
	} while (1);
	v1_add_save(&b.pair.w, (struct v1_save){ 0, 1, 0, 0, 0 });
	memmove(b.pair.w.saves + 1, b.pair.w.saves,
		(b.pair.w.n_saves - 1) * sizeof(*b.pair.w.saves));
	b.pair.w.saves[0] = (struct v1_save){ 0, 1, 0, 0, 50 };
	check(strstr(verdict(&b), "which does not overwrite it"));
}

/* ---- damage -------------------------------------------------------------- */

static void a_bad_chunk_is_named_and_stops_the_merge(void)
{
	u32 tried = 0;

	for (u64 seed = 1; seed <= 60; seed++) {
		struct bench b;
		u64 at;

		start(&b, seed);
		if (b.pair.w.n_chunks != 1) {
			v1_pair_free(&b.pair);
			continue;
		}
		at = b.pair.w.chunks[0].at + b.pair.w.chunks[0].stored - 1;
		check(!open_bench(&b));
		memdev_data(b.diff)[at - 1] ^= 0x55;
		memdev_data(b.diff)[at] ^= 0x55;
		capture_begin();
		check(apply_to(&b.rd, b.old, NULL));
		check(merge(&b));
		capture_end();
		check(strstr(captured, "the chunk at byte "));
		memdev_data(b.diff)[at - 1] ^= 0x55;
		memdev_data(b.diff)[at] ^= 0x55;
		check(!merge(&b)); /* goes on when it can be read again */
		check(is_new(&b, b.system));
		end(&b);
		tried++;
	}
	check(tried > 3);
}

/* ---- the command --------------------------------------------------------- */

static int command(const char *line)
{
	char copy[512], *argv[16], *rest = copy;
	int argc = 0, r;

	snprintf(copy, sizeof(copy), "%s", line);
	while ((argv[argc] = strsep(&rest, " ")))
		argc++;
	io = &io_real;
	r = cmd_apply(argc, argv);
	io = &memdev_ops;
	return r;
}

static void same_files(const char *a, const char *b)
{
	size_t a_len, b_len;
	char *x = slurp(a, &a_len), *y = slurp(b, &b_len);

	check(a_len == b_len && !memcmp(x, y, a_len));
	free(x);
	free(y);
}

/*
 * Diffs that were made when the format was, and when its pieces began to stand
 * alone: they must be readable for ever.
 */
static void the_samples_are_read_as_ever(void)
{
	run("cp %s/update-v1-alone/* .", TEST_DATA);
	check(!command("apply --check old.img random.diff"));
	check(!command("apply old.img random.diff -o out"));
	same_files("out", "new.img");
	run("rm -f *; cp %s/update-v1/* .", TEST_DATA);
	check(!command("apply --check old.img random.diff"));
	check(!command("apply old.img random.diff -o out"));
	same_files("out", "new.img");
	check(!command("apply old.img random.diff --in-place --progress p "
		       "--offset 8192"));
	same_files("old.img", "new.img");
	/* Done is done. */
	check(!command("apply old.img random.diff --in-place --progress p "
		       "--offset 8192"));
	same_files("old.img", "new.img");
	/* But not for another diff, and not without the records. */
	check(command("apply old.img unsaved.diff --in-place --progress q"));
	check(access("q", F_OK));
	check(command("apply old.img random.diff --in-place --progress p"));
	same_files("old.img", "new.img");
	run("rm -f *");
}

static void format_0_is_read_too(void)
{
	static const char *const diffs[] = { "none-16", "zstd-16",
					     "zstd-3-shared" };
	char line[128];

	for (size_t i = 0; i < sizeof(diffs) / sizeof(diffs[0]); i++) {
		run("cp %s/update-v0/* .", TEST_DATA);
		snprintf(line, sizeof(line), "apply old.img %s.diff -o out",
			 diffs[i]);
		check(!command(line));
		same_files("out", "new.img");
		snprintf(line, sizeof(line), "apply old.img %s.diff --in-place",
			 diffs[i]);
		check(!command(line));
		same_files("old.img", "new.img");
		run("rm -f *");
	}
}

/* Images of other sizes: the file becomes as long as the new image. */
static void files_get_the_length_of_the_new_image(void)
{
	u32 longer = 0, shorter = 0;

	for (u64 seed = 1; seed <= 40; seed++) {
		struct v1_pair p;

		v1_random_pair(&p, seed, &shapes[seed % N_SHAPES]);
		seal(&p);
		longer += p.new_size > p.old_size;
		shorter += p.new_size < p.old_size;
		spill("old", p.old, p.old_size);
		spill("new", p.new, p.new_size);
		spill("diff", p.w.file, p.w.size);
		check(!command("apply old diff -o out"));
		same_files("out", "new");
		check(!command("apply old diff --in-place --progress p"));
		same_files("old", "new");
		run("rm -f *");
		v1_pair_free(&p);
	}
	check(longer > 5 && shorter > 5);
}

static const struct test tests[] = {
	{ "the new image is made", the_new_image_is_made },
	{ "another old image is refused", another_old_image_is_refused },
	{ "a wrong new image is noticed", a_wrong_new_image_is_noticed },
	{ "every cut in place is survived", every_cut_in_place_is_survived },
	{ "no flush is spared or wasted", no_flush_is_spared_or_wasted },
	{ "too small a device is refused", too_small_a_device_is_refused },
	{ "a right order is proven", a_right_order_is_proven },
	{ "each wrong order is refused for its reason",
	  each_wrong_order_is_refused_for_its_reason },
	{ "a save of what nobody overwrites is refused",
	  a_save_of_what_nobody_overwrites_is_refused },
	{ "a bad chunk is named and stops the merge",
	  a_bad_chunk_is_named_and_stops_the_merge },
	{ "the samples are read as ever", the_samples_are_read_as_ever },
	{ "format 0 is read too", format_0_is_read_too },
	{ "files get the length of the new image",
	  files_get_the_length_of_the_new_image },
};

int main(void)
{
	io = &memdev_ops;
	memdev_quiet();
	enter_folder();
	return RUN_TESTS(tests);
}
