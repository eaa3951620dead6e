// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Power cuts over the life of an update: install, trial, commit, merge; and
 * install, three failed attempts, rollback. The updater's own code runs on a
 * simulated device; the power is cut at every durable operation, with four
 * ways to lose what was not flushed, and once more at every operation of the
 * recovery. After each cut the device boots until it is idle, and whatever
 * runs on the way must be the old system with the old data or the new system
 * with the new data.
 *
 * All that with a diff of either format. The merge of format 1 is that of
 * `bowline apply --in-place`, on the place that the installation left for it.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <getopt.h>
#include <sys/stat.h>
#include <unistd.h>

#include "apply.h"
#include "bowline-format.h"
#include "bundle.h"
#include "install.h"
#include "live.h"
#include "plat.h"
#include "sim.h"
#include "slots.h"
#include "test.h"
#include "verbs.h"

#define IMAGE	  (256u << 10) /* bytes of a system image */
#define KERNEL	  (64u << 10)
#define STAGE	  (STAGE_PAYLOAD + (768u << 10))
#define BLOCK	  512u
#define BLOCKS	  128u /* of the data device */
#define FREE	  96u  /* first free block */
#define MAX_BOOTS 24

const char *__asan_default_options(void);

/* A cut is a jump out of the code under test: its memory is not given back. */
const char *__asan_default_options(void)
{
	return "detect_leaks=0";
}

static char dir[] = "/tmp/bowline-cut-XXXXXX";
static uint8_t old_image[IMAGE], new_image[IMAGE];
static uint8_t old_data[FREE * BLOCK];
static struct board board;
static const struct install_options usual;
static char format = '0'; /* of the diff in the bundle that is installed */
static char broken[256];  /* the first promise that did not hold */

static void promise(bool holds, const char *what)
{
	if (!holds && !broken[0])
		snprintf(broken, sizeof(broken), "%s", what);
}

/* ---- fixtures: two images, keys, a bundle ---- */

static const char *in_dir(const char *name)
{
	static char paths[8][128];
	static unsigned int turn;
	char *path = paths[turn++ % 8];

	snprintf(path, 128, "%s/%s", dir, name);
	return path;
}

static void save(const char *name, const void *bytes, size_t len)
{
	FILE *f = fopen(in_dir(name), "w");

	if (!f || fwrite(bytes, 1, len, f) != len || fclose(f))
		abort();
}

static void fill(uint8_t *p, size_t len, unsigned int seed)
{
	for (size_t i = 0; i < len; i++)
		p[i] = rand_r(&seed) >> 7;
}

static int verb(int (*run)(int, char **), const char *line)
{
	char text[1024], *argv[32];
	int argc = 0;

	snprintf(text, sizeof(text), "%s", line);
	for (char *word = strtok(text, " "); word; word = strtok(NULL, " "))
		argv[argc++] = word;
	argv[argc] = NULL;
	optind = 0; /* getopt starts again */
	return run(argc, argv);
}

static const char *bundle_path(void)
{
	char name[] = "bundle-X";

	name[7] = format;
	return in_dir(name);
}

/* Of the diff in this format. */
static void pack(void)
{
	char line[1024];

	snprintf(line, sizeof(line), "diff %s %s -o %s --level 1 --format %c",
		 in_dir("old"), in_dir("new"), in_dir("diff"), format);
	if (verb(cmd_diff, line))
		abort();
	snprintf(line, sizeof(line),
		 "bundle --board sim --version 2 --old %s --new %s --diff %s "
		 "--boot %s --key %s -o %s",
		 in_dir("old"), in_dir("new"), in_dir("diff"), in_dir("kernel"),
		 in_dir("key"), bundle_path());
	if (verb(cmd_bundle, line))
		abort();
}

static void make_bundles(void)
{
	static uint8_t kernel[KERNEL];
	const __be32 fit[] = { htobe32(0xd00dfeed), htobe32(KERNEL) };
	char line[1024];

	fill(kernel, sizeof(kernel), 9);
	memcpy(kernel, fit, sizeof(fit)); /* bundle looks at the beginning */
	save("old", old_image, IMAGE);
	save("new", new_image, IMAGE);
	save("kernel", kernel, KERNEL);
	save("version", "IMAGE_VERSION=1\n", 16);
	snprintf(line, sizeof(line),
		 "cd %s && openssl ecparam -genkey -name prime256v1 -noout "
		 "-out key && mkdir keys && openssl pkey -in key -pubout -out "
		 "keys/key.pem",
		 dir);
	if (system(line))
		abort();
	for (format = '0'; format <= '1'; format++)
		pack();
	format = '0';
}

/*
 * What an earlier merge of the same diff left on the stage: it is all done. An
 * installation that does not forget it would never merge.
 */
static void leave_progress(void)
{
	struct dev *diff = dev_open(in_dir("diff"), DEV_READ);
	struct update1_progress progress = { 0 };
	struct update1_record record;
	struct v1_reader reader;
	uint64_t at;

	if (!diff || v1_open(&reader, diff))
		abort();
	at = STAGE_PAYLOAD + bundle_padded(dev_size(diff));
	update1_progress_record(&reader.dir.g, &progress, reader.dir.g.n_epochs,
				&record);
	memcpy(sim_bytes(SIM_STAGE) + at, &record, sizeof(record));
	v1_close(&reader);
	dev_close(diff);
}

static void make_board(void)
{
	strcpy(board.name, "sim");
	strcpy(board.system, sim_name(SIM_SYSTEM));
	strcpy(board.stage, sim_name(SIM_STAGE));
	strcpy(board.data, sim_name(SIM_DATA));
	strcpy(board.boot[0], sim_name(SIM_BOOT_A));
	strcpy(board.boot[1], sim_name(SIM_BOOT_B));
	strcpy(board.data_mount, "/data");
	snprintf(board.version_file, sizeof(board.version_file), "%s",
		 in_dir("version"));
	snprintf(board.keys, sizeof(board.keys), "%s", in_dir("keys"));
}

static void set_up(void)
{
	static const uint64_t sizes[SIM_DISKS] = { IMAGE, STAGE, BLOCKS * BLOCK,
						   KERNEL, KERNEL };

	if (!mkdtemp(dir))
		abort();
	fill(old_image, IMAGE, 1);
	memcpy(new_image, old_image, IMAGE);
	for (int i = 1; i < 8; i++)
		fill(new_image + i * (IMAGE / 8), 5000, 10 + i);
	/* What changes places is copied, and has to be saved on the way. */
	memcpy(new_image, old_image + IMAGE / 2 + 8192, 16384);
	memcpy(new_image + IMAGE / 2 + 8192, old_image, 16384);
	make_bundles();
	for (int i = 0; i < SIM_DISKS; i++)
		sim_make(i, sizes[i]);
	make_board();
	leave_progress();
	memcpy(sim_bytes(SIM_SYSTEM), old_image, IMAGE);
	fill(sim_bytes(SIM_DATA), BLOCKS * BLOCK, 3);
	memcpy(old_data, sim_bytes(SIM_DATA), sizeof(old_data));
	sim_setenv("BOOT_ORDER", "A B");
	sim_setenv("BOOT_A_LEFT", "3");
	sim_setenv("BOOT_B_LEFT", "3");
	sim_settle();
	sim_save();
	io = &sim_io;
	env_backend = &sim_env;
	machine = &sim_machine;
}

static void tear_down(void)
{
	char line[64];

	snprintf(line, sizeof(line), "rm -r %s", dir);
	if (system(line))
		abort();
}

/* ---- the kernel's side ---- */

static uint8_t *block(unsigned int i)
{
	return sim_bytes(SIM_DATA) + i * BLOCK;
}

static unsigned int n_entries;

/* Backs block `from` up into `to` and notes it in the log at block 0. */
static void back_up(uint8_t *log, unsigned int from, unsigned int to,
		    const uint8_t *contents)
{
	struct bow_entry *e =
		(void *)(log + BOW_HEADER_SIZE + BOW_ENTRY_SIZE * n_entries++);

	memcpy(block(to), contents, BLOCK);
	e->source = cpu_to_le64(from);
	e->dest = cpu_to_le64(to);
	e->size = cpu_to_le32(BLOCK);
	e->checksum = cpu_to_le32(plat_crc32(from, contents, BLOCK));
}

/* What the bow target has done by the time a trial is cut off. */
static bool enter_state_1(void)
{
	static const unsigned int written[] = { 5, 9, 20, 21, 70, 95 };
	uint8_t log[BLOCK] = { 0 };
	struct bow_header *h = (void *)log;

	promise(!memcmp(block(0), old_data, sizeof(old_data)),
		"an attempt starts from other data than the old");
	n_entries = 0;
	back_up(log, 0, FREE, block(0));
	memcpy(block(FREE + 1), block(0), BLOCK);
	for (size_t i = 0; i < sizeof(written) / sizeof(written[0]); i++) {
		back_up(log, written[i], FREE + 2 + i, block(written[i]));
		memset(block(written[i]), 0x20 + i, BLOCK);
	}
	memset(block(FREE + 1), 0xEE, BLOCK); /* block 0 was written too */
	h->magic = cpu_to_le32(BOW_MAGIC);
	h->version = cpu_to_le16(BOW_VERSION);
	h->header_size = cpu_to_le16(BOW_HEADER_SIZE);
	h->block_size = cpu_to_le32(BLOCK);
	h->count = cpu_to_le32(n_entries);
	h->sector0 = cpu_to_le64(FREE + 1);
	memcpy(block(0), log, BLOCK);
	sim_settle();
	sim_tick();
	return true;
}

static void state_2(void)
{
	memcpy(block(0), block(FREE + 1), BLOCK);
	sim_settle();
	sim_tick();
}

static bool copy_new_image(void)
{
	for (unsigned int at = 0; at < IMAGE; at += IMAGE / 8) {
		memcpy(sim_bytes(SIM_SYSTEM) + at, new_image + at, IMAGE / 8);
		sim_settle();
		sim_tick();
	}
	return false;
}

/* As the target would go on from what the records say. */
static bool merge_in_place(const struct stage_record *rec)
{
	struct dev *stage = dev_open(sim_name(SIM_STAGE), DEV_WRITE);
	struct dev *system = dev_open(sim_name(SIM_SYSTEM), DEV_WRITE);
	struct dev *diff = sim_part(SIM_STAGE, STAGE_PAYLOAD, rec->payload);
	struct v1_reader reader;

	promise(!v1_open(&reader, diff), "no diff is staged");
	if (broken[0])
		return false;
	promise(reader.dir.g.n_saves, "nothing had to be saved");
	promise(!apply_in_place(&reader, system, stage, rec->progress),
		"the merge in place failed");
	v1_close(&reader);
	return false;
}

static bool merge(const struct stage_record *rec)
{
	return format == '1' ? merge_in_place(rec) : copy_new_image();
}

/* ---- one life ---- */

static bool data_is_old(void)
{
	return !memcmp(block(0), old_data, sizeof(old_data));
}

/* As written in the trial, block 0 from its live copy. */
static bool data_is_new(void)
{
	return block(0)[7] == 0xEE && block(5)[0] == 0x20 &&
	       block(95)[0] == 0x25 &&
	       !memcmp(block(6), old_data + 6 * BLOCK, 3 * BLOCK);
}

static bool system_is(const uint8_t *image)
{
	return !memcmp(sim_bytes(SIM_SYSTEM), image, IMAGE);
}

static void look(void)
{
	if (sim_running.rebooted)
		return;
	promise(sim_running.root && sim_running.data, "nothing is mounted");
	if (sim_running.mode == SYSTEM_PLAIN)
		promise((system_is(old_image) && data_is_old()) ||
				(system_is(new_image) && data_is_new()),
			"a plain boot shows neither old + old nor new + new");
	if (sim_running.mode == SYSTEM_MERGE)
		promise(data_is_new(), "a merging system without its data");
	if (sim_running.mode == SYSTEM_TRIAL) {
		promise(system_is(old_image), "a trial wrote to the system");
		promise(sim_running.bow && sim_running.watchdog,
			"a trial without log or watchdog");
	}
}

/* The boot script: its model, its stores. */
static void u_boot(struct boot *boot)
{
	const struct slots_facts facts = {
		.order = sim_getenv("BOOT_ORDER"),
		.left = { sim_getenv("BOOT_A_LEFT"),
			  sim_getenv("BOOT_B_LEFT") },
		.phase = sim_getenv("bowline_phase"),
		.trial = sim_getenv("bowline_trial"),
		.attempts = sim_getenv("bowline_attempts"),
		.loads = { true, true },
		.store_works = true,
	};
	const struct slots_step *last;
	struct slots_outcome out;

	slots_choose(&facts, &out);
	for (unsigned int i = 0; i < out.n; i++) {
		char name[] = "BOOT_X_LEFT";
		char left[] = { '0' + out.step[i].left, 0 };
		const struct env_pair pair = { name, left };

		if (out.step[i].kind != SLOTS_STORE)
			continue;
		name[5] = out.step[i].slot;
		sim_env.store(&pair, 1);
	}
	last = &out.step[out.n - 1];
	promise(last->done, "no slot boots");
	memset(&boot->cmd, 0, sizeof(boot->cmd));
	boot->cmd.slot = last->slot;
	boot->cmd.attempt = last->attempt;
	boot->cmd.failed = last->failed;
	boot->cmd.rescue = last->rescue;
}

struct life {
	bool good; /* the new system commits itself */
	unsigned int boots, attempts;
};

static void finish(struct boot *boot)
{
	promise(!live_commit(boot), "the commit failed");
	look();
	promise(!live_merge(boot, true), "the merge failed");
	look();
}

/* From power-on to power-off; true when the device is idle. */
static bool one_boot(struct life *life)
{
	static struct boot boot;
	bool rebooted;

	life->boots++;
	memset(&sim_running, 0, sizeof(sim_running));
	memset(&boot, 0, sizeof(boot));
	boot.board = board;
	u_boot(&boot);
	promise(!boot_gather(&boot), "no facts");
	if (boot_run(&boot, "/sysroot", &rebooted)) {
		promise(false, "the boot failed");
		return false;
	}
	look();
	if (sim_running.mode == SYSTEM_TRIAL && !rebooted)
		life->attempts++;
	if (sim_running.mode == SYSTEM_MERGE ||
	    (sim_running.mode == SYSTEM_TRIAL && life->good && !rebooted))
		finish(&boot);
	return boot.env.phase == PHASE_IDLE;
}

/* Until idle. A device without the update installs it; good ones keep it. */
static void live(struct life *life)
{
	bool installed = sim_getenv("bowline_last") ||
			 (sim_getenv("bowline_phase") &&
			  strcmp(sim_getenv("bowline_phase"), "idle"));

	if (!installed && install_bundle(&board, 0, bundle_path(), &usual))
		promise(false, "the installation failed");
	while (!one_boot(life) || !sim_getenv("bowline_last"))
		if (life->boots > MAX_BOOTS || broken[0]) {
			promise(false, "the device never comes to rest");
			return;
		}
}

static void at_rest(const struct life *life)
{
	const char *last = sim_getenv("bowline_last");
	const char *word = life->good ? "committed " : "rolled-back ";

	promise(last && !strncmp(last, word, strlen(word)),
		"bowline_last does not tell what became of the update");
	promise(system_is(life->good ? new_image : old_image),
		"the wrong system is kept");
	promise(life->good ? data_is_new() : data_is_old(),
		"the wrong data is kept");
	/* A cut after the third count can cost an attempt, never give one. */
	promise(life->attempts <= 3, "more than three attempts");
}

/* ---- quiet, so that thousands of lives do not fill the log ---- */

static int real_out, real_err; /* opened first, before set_up() */

static void keep_output(void)
{
	real_out = dup(1);
	real_err = dup(2);
}

static void quiet(void)
{
	int null = open("/dev/null", O_WRONLY);

	fflush(stdout);
	dup2(null, 1);
	dup2(null, 2);
	close(null);
}

static void loud(void)
{
	fflush(stdout);
	dup2(real_out, 1);
	dup2(real_err, 2);
}

/*
 * A life with the power cut at operation `first`, and again `second`
 * operations after that (0: not). Returns the operations it took.
 */
static unsigned int cut_life(bool good, unsigned int first, unsigned int second,
			     enum sim_loss loss)
{
	static struct life life;
	static unsigned int cuts;

	sim_load();
	life = (struct life){ .good = good };
	cuts = 0;
	sim_cut_after(first);
	if (setjmp(sim_cut)) {
		sim_power_on(loss, first * 1000 + second);
		cuts++;
		sim_cut_after(cuts == 1 ? second : 0);
		/* A bundle that was being read is still open. */
		close_range(real_err + 1, ~0u, 0);
	}
	live(&life);
	at_rest(&life);
	return sim_count();
}

static unsigned int tried;

static bool holds(bool good, unsigned int first, unsigned int second,
		  enum sim_loss loss)
{
	tried++;
	cut_life(good, first, second, loss);
	if (!broken[0])
		return true;
	loud();
	printf("     %s life, cut at %u and %u, loss %d: %s\n",
	       good ? "good" : "bad", first, second, loss, broken);
	check(!broken[0]);
	quiet();
	return false;
}

/* The first life; quiet from here on. Returns the operations it took. */
static unsigned int uncut(bool good)
{
	unsigned int n;

	broken[0] = 0;
	tried = 0;
	quiet();
	n = cut_life(good, 0, 0, LOSE_ALL);
	if (broken[0])
		holds(good, 0, 0, LOSE_ALL);
	return n;
}

static void cut_everywhere(bool good)
{
	unsigned int n = uncut(good);

	for (unsigned int first = 1; first <= n && !broken[0]; first++)
		for (int loss = 0; loss < SIM_LOSSES; loss++)
			if (!holds(good, first, 0, loss))
				break;
	loud();
	printf("     %u durable operations, %u lives\n", n, tried);
	check(n > 20);
}

/* With either diff: only a good update comes to the merge of format 1. */
static void test_one_cut_in_a_good_update(void)
{
	for (format = '0'; format <= '1'; format++)
		cut_everywhere(true);
	format = '0';
}

static void test_one_cut_in_a_bad_update(void)
{
	for (format = '0'; format <= '1'; format++)
		cut_everywhere(false);
	format = '0';
}

/* A second cut at every operation after the first, loss by turns. */
static void cut_twice(bool good)
{
	unsigned int n = uncut(good);

	for (unsigned int first = 1; first <= n && !broken[0]; first++)
		for (unsigned int second = 1; second <= n && !broken[0];
		     second++)
			holds(good, first, second,
			      (first + second) % SIM_LOSSES);
	loud();
	printf("     %u lives\n", tried);
}

static void test_two_cuts_in_a_good_update(void)
{
	for (format = '0'; format <= '1'; format++)
		cut_twice(true);
	format = '0';
}

static void test_two_cuts_in_a_bad_update(void)
{
	cut_twice(false);
}

/* ---- a data log that was damaged ---- */

static struct life damaged; /* of the device with such a log */

/* Installs, and makes the one attempt whose log is then damaged. */
static void one_attempt(void (*damage)(void))
{
	sim_load();
	broken[0] = 0;
	damaged = (struct life){ .good = false };
	if (install_bundle(&board, 'A', bundle_path(), &usual))
		abort();
	one_boot(&damaged);
	damage();
	sim_settle();
}

/* What its backup of block 9 was: damaged in one bit. */
static void rot_backup(void)
{
	block(FREE + 3)[17] ^= 1;
}

/* A count that does not fit: nothing the header says can be relied on. */
static void break_header(void)
{
	block(0)[14] = 77;
}

static const char *record_reason(void)
{
	static struct stage_record rec;
	struct dev *stage = dev_open(sim_name(SIM_STAGE), DEV_READ);

	if (!stage || stage_read(stage, &rec))
		abort();
	return rec.reason;
}

static bool last_says(const char *part)
{
	const char *last = sim_getenv("bowline_last");

	return last && strstr(last, part);
}

static bool at_idle(void)
{
	return !strcmp(sim_getenv("bowline_phase"), "idle") &&
	       system_is(old_image);
}

static void boot_until_told(void)
{
	while (damaged.boots < 8 && !(one_boot(&damaged) && last_says("")))
		;
}

/* Block 9 stays as the trial left it; all others are as they were. */
static bool all_but_block_9_is_old(void)
{
	return !memcmp(block(0), old_data, 9 * BLOCK) && block(9)[0] == 0x21 &&
	       !memcmp(block(10), old_data + 10 * BLOCK, (FREE - 10) * BLOCK);
}

/* No boot can restore it: what is proven is undone. */
static void test_a_damaged_log_is_salvaged(void)
{
	static void (*const damage[])(void) = { rot_backup, break_header };

	for (int i = 0; i < 2; i++) {
		quiet();
		one_attempt(damage[i]);
		boot_until_told();
		loud();
		check(damaged.attempts == 1);
		check(last_says("data log damaged: salvaged, in part"));
		check(at_idle() && sim_running.data && sim_running.checked);
		check(i ? data_is_old() : all_but_block_9_is_old());
		one_boot(&damaged); /* checked once, not at every boot */
		check(sim_running.data && !sim_running.checked);
	}
}

static void test_a_damaged_log_is_kept(void)
{
	static void (*const damage[])(void) = { rot_backup, break_header };

	for (int i = 0; i < 2; i++) {
		quiet();
		board.bow_damaged = DAMAGED_KEEP;
		one_attempt(damage[i]);
		boot_until_told();
		board.bow_damaged = DAMAGED_SALVAGE;
		loud();
		check(last_says("data log damaged: kept, data not restored"));
		check(at_idle() && sim_running.data && sim_running.checked);
		check(data_is_new());
	}
}

/* The old system, no data; every byte of the data device as it was. */
static void test_a_damaged_log_stops(void)
{
	static uint8_t before[BLOCKS * BLOCK];
	unsigned int stores = 0;

	quiet();
	board.bow_damaged = DAMAGED_STOP;
	one_attempt(rot_backup);
	memcpy(before, block(0), sizeof(before));
	for (int i = 0; i < 5; i++) {
		if (i == 4)
			stores = sim_env_stores();
		one_boot(&damaged);
	}
	check(stores == sim_env_stores());
	board.bow_damaged = DAMAGED_SALVAGE;
	loud();
	check(sim_running.root && !sim_running.data && system_is(old_image));
	check(!memcmp(before, block(0), sizeof(before)));
	check(last_says("data log damaged: stopped, data not mounted"));
	check(damaged.attempts == 1);
	quiet();
	one_boot(&damaged); /* somebody chose another policy */
	loud();
	check(at_idle() && all_but_block_9_is_old());
	check(last_says("data log damaged: salvaged, in part; "));
}

/* Cut at every operation of the recovery, it ends the same. */
static unsigned int cut_recovery(unsigned int cut, enum sim_loss loss)
{
	static unsigned int cuts, before;

	one_attempt(rot_backup);
	cuts = 0;
	before = sim_count();
	sim_cut_after(cut);
	if (setjmp(sim_cut)) {
		sim_power_on(loss, cut);
		cuts++;
		sim_cut_after(0);
	}
	boot_until_told();
	if (!sim_running.data)
		one_boot(&damaged);
	return sim_count() - before;
}

static void test_a_salvage_may_be_cut_anywhere(void)
{
	unsigned int n, lives = 0;

	quiet();
	n = cut_recovery(0, LOSE_ALL);
	for (unsigned int cut = 1; cut <= n && !test_failed; cut++)
		for (int loss = 0; loss < SIM_LOSSES; loss++) {
			cut_recovery(cut, loss);
			lives++;
			check(at_idle() && all_but_block_9_is_old());
			check(last_says("data log damaged: salvaged"));
			check(!strncmp(record_reason(), "checked, ", 9));
			if (test_failed)
				break;
		}
	loud();
	printf("     %u durable operations, %u lives\n", n, lives);
	check(n > 10);
}

static bool no_space(void)
{
	return false;
}

/* An attempt that the initramfs itself cannot go through with. */
static void test_a_step_that_fails_is_the_reason(void)
{
	static struct life life;

	quiet();
	sim_load();
	life = (struct life){ .good = true };
	sim_kernel.enter_state_1 = no_space;
	if (install_bundle(&board, 'A', bundle_path(), &usual))
		abort();
	while (life.boots < 8 && !sim_getenv("bowline_last"))
		one_boot(&life);
	sim_kernel.enter_state_1 = enter_state_1;
	loud();
	check(life.boots == 4); /* three attempts, the rollback */
	check(sim_getenv("bowline_last") &&
	      strstr(sim_getenv("bowline_last"),
		     " initramfs: step data-bow failed"));
	check(system_is(old_image) && data_is_old());
}

static void test_environment_stores_are_few(void)
{
	quiet();
	broken[0] = 0;
	cut_life(true, 0, 0, LOSE_ALL);
	check(sim_env_stores() == 4); /* install, attempt, commit, idle */
	cut_life(false, 0, 0, LOSE_ALL);
	check(sim_env_stores() == 6); /* install, 3 attempts, rollback, idle */
	loud();
	check(!broken[0]);
}

int main(void)
{
	static const struct test tests[] = {
		{ "one_cut_in_a_good_update", test_one_cut_in_a_good_update },
		{ "one_cut_in_a_bad_update", test_one_cut_in_a_bad_update },
		{ "two_cuts_in_a_good_update", test_two_cuts_in_a_good_update },
		{ "two_cuts_in_a_bad_update", test_two_cuts_in_a_bad_update },
		{ "a_damaged_log_is_salvaged", test_a_damaged_log_is_salvaged },
		{ "a_damaged_log_is_kept", test_a_damaged_log_is_kept },
		{ "a_damaged_log_stops", test_a_damaged_log_stops },
		{ "a_salvage_may_be_cut_anywhere",
		  test_a_salvage_may_be_cut_anywhere },
		{ "a_step_that_fails_is_the_reason",
		  test_a_step_that_fails_is_the_reason },
		{ "environment_stores_are_few",
		  test_environment_stores_are_few },
	};
	int r;

	sim_kernel = (struct sim_kernel){ enter_state_1, state_2, merge };
	keep_output();
	set_up();
	r = RUN_TESTS(tests);
	tear_down();
	return r;
}
