// SPDX-License-Identifier: GPL-2.0-or-later
/* The container, and the check of a staged update before it is booted. */
#include "bundle-fixture.h"

static struct manifest manifest;
static struct bundle_head head;

/* ---- the head ---- */

/* Reads the head of bytes as a file; 0, or -1 with exactly one error. */
static int read_back(const void *bytes, size_t len, struct bundle_head *to)
{
	struct stream s;
	int r;

	spill("file", bytes, len);
	capture_begin();
	r = stream_open(&s, "file", NULL) || bundle_read_head(&s, to);
	stream_close(&s);
	capture_end();
	check(captured_errors() == (r ? 1 : 0));
	return r ? -1 : 0;
}

static void refused(const void *bytes, size_t len, const char *message)
{
	struct bundle_head got;
	int r = read_back(bytes, len, &got);

	check(r);
	if (!r)
		bundle_head_free(&got);
	if (!strstr(captured, message)) {
		printf("wanted '%s', got %s\n", message, captured);
		check(!"the message");
	}
}

static void a_head_is_read(void)
{
	struct bundle_head got;
	uint8_t hash[HASH_SIZE];

	check(head.size % BUNDLE_ALIGN == 0);
	check(!read_back(head.bytes, head.size, &got));
	check(got.size == head.size);
	check(!memcmp(got.bytes, head.bytes, head.size));
	check(got.manifest_size == head.manifest_size);
	check(!memcmp(got.signature, head.signature, head.signature_size));
	check(!strcmp(got.id, head.id));
	sha256(got.manifest, got.manifest_size, hash);
	check(strlen(got.id) == 16);
	check(strtoul((char[]){ got.id[0], got.id[1], 0 }, NULL, 16) ==
	      hash[0]);
	bundle_head_free(&got);
}

static void every_truncated_head_is_refused(void)
{
	for (size_t len = 0; len < head.size;
	     len += len < 64 || len > head.size - 8 ? 1 : 37)
		refused(head.bytes, len,
			"is not a whole bundle: it ends at "
			"byte");
}

static void every_flipped_bit_of_the_header_is_refused(void)
{
	uint8_t *bytes = malloc(head.size);

	memcpy(bytes, head.bytes, head.size);
	for (int i = 0; i < 8 * BUNDLE_HEADER_SIZE; i++) {
		bytes[i / 8] ^= 1 << i % 8;
		refused(bytes, head.size, "is not a bundle: ");
		bytes[i / 8] ^= 1 << i % 8;
	}
	for (size_t i = BUNDLE_HEADER_SIZE + head.manifest_size +
			head.signature_size;
	     i < head.size; i += 11) {
		bytes[i] = 1;
		refused(bytes, head.size, "not followed by zeros");
		bytes[i] = 0;
	}
	free(bytes);
}

/* Headers whose checksum is right and whose numbers are not. */
static void numbers_out_of_range_are_refused(void)
{
	static const struct {
		uint32_t version, manifest, signature, zero[2];
		const char *message;
	} bad[] = {
		{ 2, 100, 70, { 0, 0 }, "version is unknown" },
		{ 0, 100, 70, { 0, 0 }, "version is unknown" },
		{ 1, 0, 70, { 0, 0 }, "out of range" },
		{ 1, 100, 0, { 0, 0 }, "out of range" },
		{ 1, 100, SIGNATURE_MAX + 1, { 0, 0 }, "out of range" },
		{ 1, 100, ~0u, { 0, 0 }, "out of range" },
		{ 1, ~0u, 70, { 0, 0 }, "out of range" },
		{ 1, ~0u - 31, 32, { 0, 0 }, "out of range" },
		{ 1,
		  STAGE_HEAD_MAX - 32 - 70 + 1,
		  70,
		  { 0, 0 },
		  "out of range" },
		{ 1,
		  STAGE_HEAD_MAX - 32 - 70,
		  70,
		  { 0, 0 },
		  "it ends at byte" },
		{ 1, 100, 70, { 1, 0 }, "unknown fields" },
		{ 1, 100, 70, { 0, 1 }, "unknown fields" },
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct bundle_header h = {
			.magic = BUNDLE_MAGIC,
			.version = cpu_to_le32(bad[i].version),
			.manifest_size = cpu_to_le32(bad[i].manifest),
			.signature_size = cpu_to_le32(bad[i].signature),
			.zero = { bad[i].zero[0], bad[i].zero[1] },
		};

		h.crc = cpu_to_le32(plat_crc32c(~0u, &h, sizeof(h) - 4));
		refused(&h, sizeof(h), bad[i].message);
	}
}

static void other_files_are_refused(void)
{
	struct stream s;

	refused("bowlinx", 8, "it ends at byte");
	refused(old_image, sizeof(old_image), "does not begin like one");
	capture_begin();
	check(stream_open(&s, "missing", NULL));
	check(!stream_open(&s, "keys", NULL));
	check(bundle_read_head(&s, &(struct bundle_head){ 0 }));
	stream_close(&s);
	capture_end();
	check(captured_errors() == 2);
}

static void a_head_has_a_largest_size(void)
{
	size_t most = STAGE_HEAD_MAX - BUNDLE_HEADER_SIZE - 10;
	char *text = calloc(1, most + 1), why[BUNDLE_WHY];
	struct bundle_head big;

	check(!bundle_head_make(&big, text, most, text, 10, why));
	check(big.size == STAGE_HEAD_MAX);
	bundle_head_free(&big);
	check(bundle_head_make(&big, text, most + 1, text, 10, why) == -1);
	check(strstr(why, "out of range"));
	free(text);
}

/* ---- the stage ---- */

static struct stage_record record;

static void write_stage(void)
{
	struct dev *stage;

	run("rm -f stage; truncate -s %u stage", STAGE_SIZE);
	stage = dev_open("stage", DEV_WRITE);
	check(!dev_write(stage, STAGE_HEAD, head.bytes, head.size));
	check(!dev_write(stage, STAGE_PAYLOAD, contents[PAYLOAD_DIFF],
			 DIFF_SIZE));
	dev_close(stage);
	record = (struct stage_record){ .phase = STAGE_TRIAL,
					.base = 'A',
					.payload = DIFF_SIZE,
					.image = SYSTEM_SIZE };
	strcpy(record.id, head.id);
}

static void flip_stage(uint64_t at)
{
	struct dev *stage = dev_open("stage", DEV_WRITE);
	uint8_t byte;

	check(!dev_read(stage, at, &byte, 1));
	byte ^= 0x10;
	check(!dev_write(stage, at, &byte, 1));
	dev_close(stage);
}

static int verify_stage(char *why)
{
	struct dev *stage = dev_open("stage", DEV_READ);
	struct manifest m;
	int r;

	memset(why, 'x', 64);
	capture_begin();
	r = bundle_stage_verify(stage, &record, &m, why, 64);
	capture_end();
	dev_close(stage);
	if (!r) {
		check(m.target_size == SYSTEM_SIZE);
		manifest_free(&m);
	}
	return r;
}

static void a_whole_stage_is_good(void)
{
	char why[64];

	write_stage();
	check(!verify_stage(why));
	/* What lies behind the payload is nobody's. */
	flip_stage(STAGE_PAYLOAD + DIFF_SIZE);
	check(!verify_stage(why));
}

static void damaged(uint64_t at, const char *reason)
{
	char why[64];

	flip_stage(at);
	check(verify_stage(why) == -1);
	if (strcmp(why, reason)) {
		printf("wanted '%s', got '%s'\n", reason, why);
		check(!"the reason");
	}
	flip_stage(at);
}

static void a_damaged_stage_is_found(void)
{
	char why[64];

	write_stage();
	for (unsigned int i = 0; i < BUNDLE_HEADER_SIZE; i++)
		damaged(STAGE_HEAD + i, "the bundle head on the stage is "
					"damaged");
	for (unsigned int i = 0; i < head.manifest_size; i += 9)
		damaged(STAGE_HEAD + BUNDLE_HEADER_SIZE + i,
			"the manifest on the stage is damaged");
	damaged(STAGE_PAYLOAD, "piece 1 of the diff is damaged");
	damaged(STAGE_PAYLOAD + 4095, "piece 1 of the diff is damaged");
	damaged(STAGE_PAYLOAD + 4096, "piece 2 of the diff is damaged");
	damaged(STAGE_PAYLOAD + DIFF_SIZE - 1,
		"piece 3 of the diff is damaged");
	check(!verify_stage(why));
}

static void the_record_must_mean_this_update(void)
{
	char why[64];

	write_stage();
	record.id[3] ^= 1;
	check(verify_stage(why) == -1);
	record.id[3] ^= 1;
	record.payload++;
	check(verify_stage(why) == -1);
	check(!strcmp(why, "the stage record and the manifest differ"));
	record.payload--;
	record.image--;
	check(verify_stage(why) == -1);
}

static void a_stage_that_cannot_be_read_is_damaged(void)
{
	char why[64];

	write_stage();
	run("truncate -s %u stage", STAGE_PAYLOAD + 5000);
	check(verify_stage(why) == -1);
	check(!strcmp(why, "piece 2 of the diff is damaged"));
	run("truncate -s %u stage", STAGE_HEAD + 10);
	check(verify_stage(why) == -1);
	check(!strcmp(why, "the bundle head on the stage is damaged"));
}

/* Its hash is right, and yet it is none: an id is no signature. */
static void a_manifest_that_is_none_is_damage(void)
{
	struct bundle_head good = head;
	char why[64];

	sign_head(&head, "hello\n", 6, "key");
	write_stage();
	check(verify_stage(why) == -1);
	check(!strncmp(why, "the manifest on the stage: line 1", 33));
	bundle_head_free(&head);
	head = good;
}

static const struct test tests[] = {
	{ "a head is read", a_head_is_read },
	{ "every truncated head is refused", every_truncated_head_is_refused },
	{ "every flipped bit of the header is refused",
	  every_flipped_bit_of_the_header_is_refused },
	{ "numbers out of range are refused",
	  numbers_out_of_range_are_refused },
	{ "other files are refused", other_files_are_refused },
	{ "a head has a largest size", a_head_has_a_largest_size },
	{ "a whole stage is good", a_whole_stage_is_good },
	{ "a damaged stage is found", a_damaged_stage_is_found },
	{ "the record must mean this update",
	  the_record_must_mean_this_update },
	{ "a stage that cannot be read is damaged",
	  a_stage_that_cannot_be_read_is_damaged },
	{ "a manifest that is none is damage",
	  a_manifest_that_is_none_is_damage },
};

int main(void)
{
	int r;

	enter_folder();
	make_fixture();
	fixture_manifest(&manifest);
	make_head(&head, &manifest, "key");
	r = RUN_TESTS(tests);
	bundle_head_free(&head);
	manifest_free(&manifest);
	return r;
}
