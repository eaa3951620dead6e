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
	int pieces;    /* of payloads that were written */
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
	medium.pieces += len == FIXTURE_PIECE &&
			 (dev_name(dev)[0] == 'b' || offset >= STAGE_PAYLOAD);
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

/* After the contents of the diff were changed. */
static void describe_again(void)
{
	struct payload *p = &manifest.payload[PAYLOAD_DIFF];
	u64 room = p->room;

	free(p->piece);
	describe_contents(p, contents[PAYLOAD_DIFF], DIFF_SIZE);
	p->room = room;
	pack();
}

/* A superblock of format 1 without contents, of images of the right size. */
static void seal_v1(struct update1_super *v1)
{
	v1->crc = cpu_to_le32(
		plat_crc32c(~0u, v1, sizeof(*v1) - sizeof(v1->crc)));
}

static void fill_v1(struct update1_super *v1)
{
	*v1 = (struct update1_super){
		.magic = UPDATE_MAGIC,
		.version = UPDATE_VERSION_1,
		.block_bits = 12,
		.chunk_bytes = cpu_to_le32(65536),
		.prefix_bytes = cpu_to_le32(65536),
		.piece_bytes = cpu_to_le32(65536),
		.old_size = cpu_to_le64(SYSTEM_SIZE),
		.new_size = cpu_to_le64(SYSTEM_SIZE),
		.file_size = cpu_to_le64(4096),
		.dir_offset = cpu_to_le64(4096),
	};
	seal_v1(v1);
}

static bool same(const char *path, const void *want, size_t len)
{
	size_t got_len;
	char *got = slurp(path, &got_len);
	bool r = got_len >= len && !memcmp(got, want, len);

	free(got);
	return r;
}

static struct stage_record staged_record(void)
{
	struct dev *stage = dev_open("stage", DEV_READ);
	struct stage_record rec;

	check(!stage_read(stage, &rec));
	dev_close(stage);
	return rec;
}

static enum stage_phase staged(void)
{
	return staged_record().phase;
}

/* Standard output is for people; standard error is captured. */
static int call(const char *path, bool allow_downgrade)
{
	const struct install_options options = {
		.allow_downgrade = allow_downgrade,
	};
	int saved = dup(STDOUT_FILENO), r;
	FILE *null = fopen("/dev/null", "w");

	fflush(stdout);
	dup2(fileno(null), STDOUT_FILENO);
	fclose(null);
	capture_begin();
	r = install_bundle(&board, running, path, &options);
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

/* What is before the bundle on standard input is somebody else's. */
static int from_the_middle(const char *path)
{
	int saved = dup(STDIN_FILENO), fd, r;

	run("(echo before; cat %s) >both", path);
	fd = open("both", O_RDONLY);
	lseek(fd, strlen("before\n"), SEEK_SET);
	dup2(fd, STDIN_FILENO);
	r = install("-");
	dup2(saved, STDIN_FILENO);
	close(saved);
	close(fd);
	return r;
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
	medium.fault = WRITE_LOST; /* after record, three pieces, progress */
	medium.countdown = 6;
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
	make_device();
	strcpy(manifest.board, "toaster");
	pack();
	refused("the bundle is for board 'toaster', this is 'test'");
	strcpy(manifest.board, "test");
	strcpy(manifest.hardware, "rev-a,rev-c");
	pack();
	refused("the bundle is for hardware 'rev-a,rev-c', and this device does "
		"not know its own");
	strcpy(board.hardware_file, "revision");
	refused("cannot open the hardware file 'revision'");
	spill("revision", "rev-b\0", 6);
	refused("the bundle is for hardware 'rev-a,rev-c', this is 'rev-b'");
	spill("revision", "rev-c\nmore\n", 11);
	check(!install("bundle"));
	strcpy(board.hardware_file, "");
	strcpy(manifest.hardware, MANIFEST_ANY);
	pack();
}

/* What differs is named; a system that does not differ is not needed. */
static void another_base_is_refused(void)
{
	static uint8_t other[SYSTEM_SIZE];
	u8 *hashes[8];

	make_device();
	for (int i = 0; i < 8; i++)
		hashes[i] = manifest.source.piece[2 * i];
	hashes[0][0] ^= 1;
	pack();
	refused("the system in 'system' is not the one the update was made "
		"from: 4096 of 65536 bytes are in pieces that differ: 0 to "
		"4095");
	manifest.source.piece[1][0] ^= 1;
	hashes[7][0] ^= 1;
	pack();
	refused("12288 of 65536 bytes are in pieces that differ: 0 to 8191, "
		"57344 to 61439");
	for (int i = 2; i < 6; i++)
		hashes[i][0] ^= 1;
	pack();
	refused("28672 of 65536 bytes are in pieces that differ: 0 to 8191, "
		"16384 to 20479, 24576 to 28671, 32768 to 36863 and 2 ranges "
		"more");
	for (int i = 0; i < 8; i++)
		if (i != 1 && i != 6)
			hashes[i][0] ^= 1;
	manifest.source.piece[1][0] ^= 1;
	memset(other, 0, sizeof(other));
	spill("system", other, sizeof(other));
	pack();
	check(install("bundle"));
	said("65536 of 65536 bytes are in pieces that differ: 0 to 65535");
	manifest.source.size = 0;
	pack();
	check(!install("bundle")); /* for any system */
	manifest.source.size = SYSTEM_SIZE;
	pack();
}

/* The system stays, and so does what lies on the stage where a diff would. */
static void a_kernel_alone_is_an_update(void)
{
	u64 diff = manifest.payload[PAYLOAD_DIFF].size;

	make_device();
	manifest.payload[PAYLOAD_DIFF].size = manifest.target_size = 0;
	pack();
	resize("stage", STAGE_PAYLOAD + 4096);
	check(!install("bundle"));
	check(staged() == STAGE_TRIAL && env.stores == 1);
	check(same("boot-b", contents[PAYLOAD_BOOT], BOOT_SIZE));
	check(!staged_record().payload && !staged_record().progress);
	manifest.payload[PAYLOAD_DIFF].size = diff;
	manifest.target_size = SYSTEM_SIZE;
	pack();
}

/* What is there already is not written again; what is not right is. */
static void an_installation_goes_on_where_it_stopped(void)
{
	size_t len;
	char *whole = slurp("bundle", &len);

	make_device();
	spill("part", whole, head.size + 2 * 4096);
	check(from_pipe("part"));
	not_started();
	medium.pieces = 0;
	check(!install("bundle"));
	/* Two pieces of the diff are there: the third, two of the kernel. */
	check(medium.pieces == 3);
	check(same("boot-b", contents[PAYLOAD_BOOT], BOOT_SIZE));
	make_device();
	check(from_pipe("part"));
	check(!from_the_middle("bundle"));
	check(same("boot-b", contents[PAYLOAD_BOOT], BOOT_SIZE));
	free(whole);
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
	resize("stage", STAGE_PAYLOAD + 12288 + 8191);
	refused("'stage' is too small for the diff and its merge");
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
	resize("stage", STAGE_PAYLOAD + 12288 + 8192);
	check(!install("bundle"));
}

/* The stage has to hold what the merge saves, too: that is known beforehand. */
static void the_merge_has_its_room(void)
{
	struct payload *diff = &manifest.payload[PAYLOAD_DIFF];

	make_device();
	diff->room = 20480 + 4096;
	pack();
	refused("'stage' is too small for the diff and its merge: 2134016 bytes "
		"are needed, it has 2129920");
	diff->room = DIFF_ROOM + 4096;
	pack();
	refused("the merge of the diff in 'bundle' takes 8192 bytes, its "
		"manifest says 12288");
	diff->room = DIFF_ROOM;
	pack();
}

/* What lies where the records of the merge will be would be believed by it. */
static void progress_of_an_earlier_merge_is_forgotten(void)
{
	static uint8_t stage[STAGE_SIZE], zero[DIFF_ROOM];
	const size_t at = STAGE_PAYLOAD + 12288;
	size_t len;
	char *bytes;

	make_device();
	fill(stage, sizeof(stage), 7);
	memset(stage, 0, STAGE_HEAD);
	spill("stage", stage, sizeof(stage));
	check(!install("bundle"));
	bytes = slurp("stage", &len);
	check(!memcmp(bytes + at, zero, DIFF_ROOM));
	check(!memcmp(bytes + at + DIFF_ROOM, stage + at + DIFF_ROOM,
		      STAGE_SIZE - at - DIFF_ROOM));
	free(bytes);
	check(staged_record().progress == at);
}

/* A diff that its own superblock says is for something else. */
static void a_diff_of_other_images_is_refused(void)
{
	uint8_t *diff = contents[PAYLOAD_DIFF];
	static struct update1_super v1;

	make_device();
	diff[8] = 9;
	describe_again();
	refused("the diff in 'bundle' cannot be used: Unknown version of the "
		"update diff");
	fill_v1(&v1);
	memcpy(diff, &v1, sizeof(v1));
	describe_again();
	refused("the diff in 'bundle' cannot be used: It is for another old "
		"image");
	memcpy(v1.old_sha256, manifest.source_hash, sizeof(v1.old_sha256));
	seal_v1(&v1);
	memcpy(diff, &v1, sizeof(v1));
	describe_again();
	refused("the diff in 'bundle' cannot be used: It is for another new "
		"image");
	memcpy(v1.new_sha256, manifest.target_hash, sizeof(v1.new_sha256));
	v1.save_blocks = cpu_to_le32(1);
	seal_v1(&v1);
	memcpy(diff, &v1, sizeof(v1));
	describe_again();
	refused("takes 12288 bytes, its manifest says 8192");
	manifest.payload[PAYLOAD_DIFF].room = 12288;
	pack();
	check(!install("bundle"));
	fill_diff(diff);
	manifest.payload[PAYLOAD_DIFF].room = DIFF_ROOM;
	describe_again();
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

/* What the trial will boot and show, to its last byte. */
static bool all_is_there(void)
{
	size_t len;
	char *stage = slurp("stage", &len);
	bool r = same("boot-b", contents[PAYLOAD_BOOT], BOOT_SIZE) &&
		 !memcmp(stage + STAGE_HEAD, head.bytes, head.size) &&
		 !memcmp(stage + STAGE_PAYLOAD, contents[PAYLOAD_DIFF],
			 DIFF_SIZE);

	free(stage);
	return r;
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
				check(all_is_there());
				continue;
			}
			/* One record that cannot be read leaves the other. */
			check(captured_errors() == 1 ||
			      strstr(captured, "its record differs"));
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
	{ "another base is refused", another_base_is_refused },
	{ "a kernel alone is an update", a_kernel_alone_is_an_update },
	{ "an installation goes on where it stopped",
	  an_installation_goes_on_where_it_stopped },
	{ "versions are kept", versions_are_kept },
	{ "what does not fit is refused", what_does_not_fit_is_refused },
	{ "the merge has its room", the_merge_has_its_room },
	{ "progress of an earlier merge is forgotten",
	  progress_of_an_earlier_merge_is_forgotten },
	{ "a diff of other images is refused",
	  a_diff_of_other_images_is_refused },
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
