// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * bowline install over files, a simulated environment, and media that fail:
 * an update is tried at the next boot if and only if every byte of it is
 * signed, whole, and on the medium.
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

#include "bundle-fixture.h"
#include "err.h"
#include "install.h"

/* ---- the environment ---- */

#define MAX_VARS 12

static struct {
	struct {
		char name[20], value[ENV_VALUE_MAX];
	} var[MAX_VARS];
	int n;
	int lost, stores;
	char stored[256]; /* "NAME=value " of the last store */
} env;

static void set_env(const char *name, const char *value)
{
	int i = 0;

	while (i < env.n && strcmp(env.var[i].name, name))
		i++;
	if (i == MAX_VARS)
		abort();
	if (i == env.n)
		strcpy(env.var[env.n++].name, name);
	strcpy(env.var[i].value, value);
}

static int env_load(void (*get)(void *arg, const char *name, const char *value),
		    void *arg)
{
	for (int i = 0; i < env.n && !env.lost; i++)
		get(arg, env.var[i].name, env.var[i].value);
	return env.lost;
}

static void check_all_flushed(void);

static int env_store(const struct env_pair *pairs, size_t n)
{
	check_all_flushed();
	env.stores++;
	env.stored[0] = 0;
	env.lost = 0;
	for (size_t i = 0; i < n; i++) {
		strcat(env.stored, pairs[i].name);
		strcat(env.stored, "=");
		strcat(env.stored, pairs[i].value);
		strcat(env.stored, " ");
		set_env(pairs[i].name, pairs[i].value);
	}
	return 0;
}

static const struct env_ops env_fake = { env_load, env_store };

/* ---- media that fail ---- */

enum fault { NO_FAULT, WRITE_FAILS, WRITE_LOST, FLUSH_FAILS, READ_FAILS };

static struct {
	enum fault fault;
	int countdown; /* the call that fails, from 1; 0 = none */
	int unflushed; /* writes since the last flush of their device */
	int calls;     /* of the kind of the fault */
} medium;

static bool due(enum fault fault)
{
	if (medium.fault != fault)
		return false;
	medium.calls++;
	return medium.calls == medium.countdown;
}

static void check_all_flushed(void)
{
	check(!medium.unflushed);
}

static int faulty_write(struct dev *dev, uint64_t offset, const void *buf,
			size_t len)
{
	if (due(WRITE_FAILS))
		return error("'%s' fails", dev_name(dev));
	if (due(WRITE_LOST))
		return 0;
	/* A record vouches only for what is on the medium. */
	if (len == STAGE_RECORD_SIZE && offset < 2 * STAGE_RECORD_SIZE &&
	    ((const uint8_t *)buf)[6] == STAGE_TRIAL)
		check_all_flushed();
	medium.unflushed |= 1 << (dev_name(dev)[0] == 's');
	return io_real.write(dev, offset, buf, len);
}

static int faulty_flush(struct dev *dev)
{
	if (due(FLUSH_FAILS))
		return error("'%s' fails", dev_name(dev));
	medium.unflushed &= ~(1 << (dev_name(dev)[0] == 's'));
	return io_real.flush(dev);
}

static int faulty_read(struct dev *dev, uint64_t offset, void *buf, size_t len)
{
	if (due(READ_FAILS))
		return error("'%s' fails", dev_name(dev));
	return io_real.read(dev, offset, buf, len);
}

static struct io_ops io_faulty;

/* ---- the device ---- */

static struct board board = {
	.name = "test",
	.system = "system",
	.stage = "stage",
	.boot = { "boot-a", "boot-b" },
	.version_file = "os-release",
	.keys = "keys",
};

static char running = 'A';
static struct manifest manifest;
static struct bundle_head head;
static size_t length; /* of the bundle */

/* Makes the file when it is not there. */
static void resize(const char *path, off_t size)
{
	int fd = open(path, O_WRONLY | O_CREAT, 0666);

	if (fd < 0 || ftruncate(fd, size))
		abort();
	close(fd);
}

static void make_device(void)
{
	static uint8_t zero[BOOT_PART];

	spill("system", old_image, SYSTEM_SIZE);
	spill("boot-a", new_image, BOOT_PART);
	spill("boot-b", zero, sizeof(zero));
	resize("stage", 0);
	resize("stage", STAGE_SIZE);
	spill("os-release", "ID=x\nIMAGE_VERSION=\"1.5\"\n", 25);
	memset(&env, 0, sizeof(env));
	set_env("BOOT_ORDER", "A B");
	memset(&medium, 0, sizeof(medium));
}

/* The bundle of manifest, signed. */
static void pack(void)
{
	bundle_head_free(&head);
	make_head(&head, &manifest, "key");
	length = spill_bundle("bundle", &head, &manifest);
}

static bool same(const char *path, const void *want, size_t len)
{
	size_t got_len;
	char *got = slurp(path, &got_len);
	bool r = got_len >= len && !memcmp(got, want, len);

	free(got);
	return r;
}

static enum stage_phase staged(void)
{
	struct dev *stage = dev_open("stage", DEV_READ);
	struct stage_record rec;

	check(!stage_read(stage, &rec));
	dev_close(stage);
	return rec.phase;
}

/* Standard output is for people; standard error is captured. */
static int call(const char *path, bool allow_downgrade)
{
	int saved = dup(STDOUT_FILENO), r;
	FILE *null = fopen("/dev/null", "w");

	fflush(stdout);
	dup2(fileno(null), STDOUT_FILENO);
	fclose(null);
	capture_begin();
	r = install_bundle(&board, running, path, allow_downgrade);
	capture_end();
	fflush(stdout);
	dup2(saved, STDOUT_FILENO);
	close(saved);
	return r;
}

static int install(const char *path)
{
	int r = call(path, false);

	check(captured_errors() == (r ? 1 : 0));
	return r;
}

static bool untouched(void)
{
	static uint8_t zero[BOOT_PART];
	size_t len;
	char *stage = slurp("stage", &len);
	bool r = same("system", old_image, SYSTEM_SIZE) &&
		 same("boot-a", new_image, BOOT_PART) &&
		 same("boot-b", zero, BOOT_PART) && !env.stores;

	for (size_t i = 0; i < len; i++)
		r = r && !stage[i];
	free(stage);
	return r;
}

static void said(const char *message)
{
	if (!strstr(captured, message)) {
		printf("wanted '%s', got %s\n", message, captured);
		check(!"the message");
	}
}

/* Refused before the first write, with this message. */
static void refused(const char *message)
{
	check(install("bundle"));
	said(message);
	check(untouched());
}

/* Refused while it was written: nothing vouches for what arrived. */
static void not_started(void)
{
	check(!env.stores);
	check(staged() == STAGE_EMPTY);
	check(same("system", old_image, SYSTEM_SIZE));
	check(same("boot-a", new_image, BOOT_PART));
}

static int from_pipe(const char *path)
{
	int saved = dup(STDIN_FILENO), fd = open(path, O_RDONLY), ends[2], r;
	char byte;

	if (pipe(ends))
		abort();
	if (!fork()) {
		/* Small portions: a pipe gives what it has. */
		close(ends[0]);
		signal(SIGPIPE, SIG_DFL);
		while (read(fd, &byte, 1) == 1 && write(ends[1], &byte, 1) == 1)
			;
		_exit(0);
	}
	close(ends[1]);
	dup2(ends[0], STDIN_FILENO);
	close(ends[0]);
	r = install("-");
	dup2(saved, STDIN_FILENO);
	close(saved);
	close(fd);
	wait(NULL);
	return r;
}

/* ---- tests ---- */

static void a_good_bundle_is_installed(void)
{
	char want[256];

	make_device();
	pack();
	check(!install("bundle"));
	check(env.stores == 1);
	snprintf(want, sizeof(want),
		 "bowline_phase=trial bowline_trial=B bowline_update=%s "
		 "BOOT_ORDER=B A BOOT_B_LEFT=3 ",
		 head.id);
	check(!strcmp(env.stored, want));
	check(staged() == STAGE_TRIAL);
	check(same("boot-b", contents[PAYLOAD_BOOT], BOOT_SIZE));
	check(same("boot-a", new_image, BOOT_PART));
	check(same("system", old_image, SYSTEM_SIZE));
}

static void what_it_stages_is_what_boot_verifies(void)
{
	struct dev *stage;
	struct stage_record rec;
	struct manifest m;
	char why[64] = "";

	make_device();
	check(!install("bundle"));
	stage = dev_open("stage", DEV_READ);
	check(!stage_read(stage, &rec));
	check(!strcmp(rec.id, head.id) && rec.base == 'A');
	capture_begin();
	check(!bundle_stage_verify(stage, &rec, &m, why, sizeof(why)));
	capture_end();
	check(!strcmp(why, ""));
	manifest_free(&m);
	dev_close(stage);
}

static void a_pipe_does_as_well(void)
{
	make_device();
	check(!from_pipe("bundle"));
	check(env.stores == 1);
	check(same("boot-b", contents[PAYLOAD_BOOT], BOOT_SIZE));
}

static void without_a_kernel_the_running_one_is_taken(void)
{
	u64 size = manifest.payload[PAYLOAD_BOOT].size;

	make_device();
	manifest.payload[PAYLOAD_BOOT].size = 0;
	pack();
	manifest.payload[PAYLOAD_BOOT].size = size;
	check(!install("bundle"));
	check(same("boot-b", new_image, BOOT_PART));
	check(env.stores == 1);
	make_device();
	medium.fault = WRITE_LOST; /* after the record and three pieces */
	medium.countdown = 5;
	check(install("bundle"));
	said("differs from 'boot-a'");
	not_started();
	pack();
}

static void every_truncation_is_refused(void)
{
	size_t whole;
	char *bytes = slurp("bundle", &whole);

	for (size_t len = 0; len < length; len += len < 1500 ? 13 : 1021) {
		make_device();
		spill("short", bytes, len);
		check(install("short"));
		said("'short' is not a whole bundle");
		check(untouched());
	}
	free(bytes);
}

static void a_truncated_pipe_is_refused(void)
{
	size_t whole;
	char *bytes = slurp("bundle", &whole);

	for (size_t len = 100; len < length; len += 1511) {
		make_device();
		spill("short", bytes, len);
		check(from_pipe("short"));
		said("'standard input' is not a whole bundle: it ends at byte");
		not_started();
	}
	free(bytes);
}

static void what_follows_the_end_is_refused(void)
{
	make_device();
	run("(cat bundle; echo) >long");
	check(install("long"));
	said("'long' is not a whole bundle");
	check(untouched());
	check(from_pipe("long"));
	said("goes on after the end of the bundle");
	not_started();
}

static void every_flipped_bit_is_refused(void)
{
	size_t len;
	uint8_t *bytes = (uint8_t *)slurp("bundle", &len);

	for (size_t i = 0; i < len; i += i < head.size ? 5 : 97) {
		make_device();
		bytes[i] ^= 1 << i % 8;
		spill("flipped", bytes, len);
		check(install("flipped"));
		not_started();
		/* Nothing unchecked was written. */
		if (i < head.size)
			check(untouched());
		else
			check(strstr(captured, "not what its manifest says") ||
			      strstr(captured, "not followed by zeros"));
		bytes[i] ^= 1 << i % 8;
	}
	free(bytes);
}

static void the_signature_is_of_this_manifest_by_a_trusted_key(void)
{
	struct bundle_head other;

	make_device();
	make_head(&other, &manifest, "bad-key");
	spill_bundle("bundle", &other, &manifest);
	refused("the signature is by none of the 1 trusted keys in 'keys'");
	bundle_head_free(&other);
	/* Signed by us, but no manifest. */
	sign_head(&other, "hello\n", 6, "key");
	spill_bundle("bundle", &other, &manifest);
	refused("the manifest in 'bundle' is wrong, line 1: expected key");
	bundle_head_free(&other);
	strcpy(board.keys, "missing");
	pack();
	refused("cannot open the folder of trusted keys 'missing'");
	strcpy(board.keys, "keys");
}

static void a_bundle_for_something_else_is_refused(void)
{
	u64 size = manifest.payload[PAYLOAD_DIFF].size;

	make_device();
	strcpy(manifest.board, "toaster");
	pack();
	refused("the bundle is for board 'toaster', this is 'test'");
	strcpy(manifest.board, "test");
	manifest.source_hash[0] ^= 1;
	pack();
	refused("the system in 'system' is not the one the update was made "
		"from: its SHA-256 is ");
	manifest.source_hash[0] ^= 1;
	manifest.payload[PAYLOAD_DIFF].size = 0;
	pack();
	refused("the bundle 'bundle' has no diff");
	manifest.payload[PAYLOAD_DIFF].size = size;
	pack();
}

static void versions_are_kept(void)
{
	make_device();
	strcpy(manifest.version, "1.4.9");
	pack();
	refused("the bundle holds version 1.4.9, older than the running 1.5");
	check(!call("bundle", true));
	make_device();
	strcpy(manifest.version, "1.5.0"); /* the same */
	pack();
	check(!install("bundle"));
	make_device();
	strcpy(manifest.min_version, "1.5.1");
	pack();
	refused("version 1.5 cannot be updated to 1.5.0: at least version "
		"1.5.1 is needed");
	strcpy(manifest.version, "2");
	strcpy(manifest.min_version, "1");
	pack();
	spill("os-release", "VERSION=1\n", 10);
	refused("'os-release' has no line IMAGE_VERSION=");
	spill("os-release", "IMAGE_VERSION=1.x\n", 18);
	refused("'os-release' has no line IMAGE_VERSION=");
	run("rm os-release");
	refused("cannot open the version file 'os-release'");
}

static void what_does_not_fit_is_refused(void)
{
	make_device();
	resize("system", SYSTEM_SIZE - 1);
	check(install("bundle"));
	said("'system' is too small for the old system");
	make_device();
	manifest.target_size++;
	pack();
	refused("'system' is too small for the new system");
	manifest.target_size--;
	pack();
	make_device();
	resize("stage", STAGE_PAYLOAD + 12287);
	refused("'stage' is too small for the diff");
	resize("stage", STAGE_PAYLOAD);
	refused("the stage 'stage' is too small");
	resize("stage", 0);
	refused("the stage 'stage' is too small");
	make_device();
	resize("boot-b", 8191);
	check(install("bundle"));
	said("'boot-b' is too small for the kernel of the update");
	check(!env.stores && staged() == STAGE_EMPTY);
	make_device();
	resize("boot-b", 8192);
	resize("stage", STAGE_PAYLOAD + 12288);
	check(!install("bundle"));
}

static void another_update_under_way_is_respected(void)
{
	static const struct {
		const char *phase, *message;
	} busy[] = {
		{ "trial", "update '0123456789abcdef' is on trial in slot B" },
		{ "commit", "is committed but not merged" },
		{ "rollback", "is being rolled back: reboot first" },
	};
	struct stage_record rec = { .phase = STAGE_COMMIT,
				    .base = 'A',
				    .id = "0123456789abcdef" };
	struct dev *stage;

	for (int i = 0; i < 3; i++) {
		make_device();
		set_env("bowline_phase", busy[i].phase);
		set_env("bowline_trial", "B");
		set_env("bowline_update", "0123456789abcdef");
		refused(busy[i].message);
	}
	make_device();
	stage = dev_open("stage", DEV_WRITE);
	check(!stage_write(stage, &rec));
	check(install("bundle"));
	said("may be half merged into 'system'");
	check(!env.stores && staged() == STAGE_COMMIT);
	rec.phase = STAGE_TRIAL;
	check(!stage_write(stage, &rec));
	env.lost = 1;
	check(install("bundle"));
	said("the environment is lost and update");
	check(!env.stores && staged() == STAGE_TRIAL);
	/* What a cut before the store left behind is nothing. */
	env.lost = 0;
	check(!install("bundle"));
	dev_close(stage);
}

/* Until the trial is stored, the next boot must not be of the other slot. */
static void the_next_boot_must_be_of_the_running_slot(void)
{
	make_device();
	set_env("BOOT_ORDER", "B A");
	refused("BOOT_ORDER 'B A' chooses slot B for the next boot, but slot A "
		"is running");
	set_env("BOOT_ORDER", "B");
	refused("BOOT_ORDER 'B' chooses slot B");
	set_env("BOOT_ORDER", "B A");
	set_env("BOOT_B_LEFT", "0"); /* closed: it will not be booted */
	check(!install("bundle"));
	check(strstr(env.stored, "BOOT_ORDER=B A BOOT_B_LEFT=3"));
}

static void the_slot_that_is_written_is_the_other(void)
{
	make_device();
	set_env("BOOT_ORDER", "B A");
	running = 'B';
	check(!install("bundle"));
	check(strstr(env.stored, "bowline_trial=A"));
	check(same("boot-a", contents[PAYLOAD_BOOT], BOOT_SIZE));
	make_device();
	set_env("BOOT_ORDER", "B A");
	running = 0; /* the command line does not say */
	check(!install("bundle"));
	check(strstr(env.stored, "bowline_trial=A"));
	running = 'A';
}

/* Whichever call fails: no trial of what is not whole, one clear line. */
static void every_failing_call_is_survived(void)
{
	static const enum fault faults[] = { WRITE_FAILS, WRITE_LOST,
					     FLUSH_FAILS, READ_FAILS };
	int failures = 0;

	io = &io_faulty;
	for (int f = 0; f < 4; f++)
		for (int n = 1;; n++) {
			int r;

			make_device();
			medium.fault = faults[f];
			medium.countdown = n;
			r = call("bundle", false);
			if (medium.calls < n)
				break; /* it was not reached */
			failures++;
			medium.fault = NO_FAULT;
			if (!r) {
				/* One of the two records was not needed. */
				check(env.stores == 1);
				check(staged() == STAGE_TRIAL);
				continue;
			}
			check(captured_errors() >= 1);
			check(!env.stores);
			check(same("system", old_image, SYSTEM_SIZE));
			check(same("boot-a", new_image, BOOT_PART));
		}
	io = &io_real;
	printf("     %d calls failed\n", failures);
	check(failures > 30);
}

static const struct test tests[] = {
	{ "a good bundle is installed", a_good_bundle_is_installed },
	{ "what it stages is what boot verifies",
	  what_it_stages_is_what_boot_verifies },
	{ "a pipe does as well", a_pipe_does_as_well },
	{ "without a kernel the running one is taken",
	  without_a_kernel_the_running_one_is_taken },
	{ "every truncation is refused", every_truncation_is_refused },
	{ "a truncated pipe is refused", a_truncated_pipe_is_refused },
	{ "what follows the end is refused", what_follows_the_end_is_refused },
	{ "every flipped bit is refused", every_flipped_bit_is_refused },
	{ "the signature is of this manifest by a trusted key",
	  the_signature_is_of_this_manifest_by_a_trusted_key },
	{ "a bundle for something else is refused",
	  a_bundle_for_something_else_is_refused },
	{ "versions are kept", versions_are_kept },
	{ "what does not fit is refused", what_does_not_fit_is_refused },
	{ "another update under way is respected",
	  another_update_under_way_is_respected },
	{ "the next boot must be of the running slot",
	  the_next_boot_must_be_of_the_running_slot },
	{ "the slot that is written is the other",
	  the_slot_that_is_written_is_the_other },
	{ "every failing call is survived", every_failing_call_is_survived },
};

int main(void)
{
	int r;

	enter_folder();
	make_fixture();
	fixture_manifest(&manifest);
	env_backend = &env_fake;
	io_faulty = io_real;
	io_faulty.read = faulty_read;
	io_faulty.write = faulty_write;
	io_faulty.flush = faulty_flush;
	io = &io_faulty;
	r = RUN_TESTS(tests);
	bundle_head_free(&head);
	manifest_free(&manifest);
	return r;
}
