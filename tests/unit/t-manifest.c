// SPDX-License-Identifier: GPL-2.0-or-later
/* The manifest: one spelling, every other one refused with its line. */
#include "manifest.h"
#include "test.h"

#define H0 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define H1 "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"

#define HEAD                      \
	"bowline-manifest=1\n"    \
	"board=qemu-arm64\n"      \
	"hardware=rev-a,rev-b\n"  \
	"version=2.0.10\n"        \
	"min-version=1\n"         \
	"source-size=134217728\n" \
	"source-sha256=" H0 "\n"  \
	"piece-size=67108864\n"   \
	"piece=" H1 "\n"          \
	"piece=" H0 "\n"          \
	"target-size=134217729\n" \
	"target-sha256=" H1 "\n"
#define DIFF                   \
	"payload=diff\n"       \
	"size=1048577\n"       \
	"room=12288\n"         \
	"piece-size=1048576\n" \
	"piece=" H0 "\n"       \
	"piece=" H1 "\n"
#define BOOT                \
	"payload=boot\n"    \
	"size=1\n"          \
	"piece-size=4096\n" \
	"piece=" H1 "\n"

/* A kernel alone, for any system. */
#define NO_BASE                \
	"bowline-manifest=1\n" \
	"board=qemu-arm64\n"   \
	"hardware=any\n"       \
	"version=2\n"          \
	"min-version=0\n"      \
	"source-size=0\n"      \
	"source-sha256=" H1 "\n"
#define NO_IMAGES NO_BASE "target-size=0\ntarget-sha256=" H1 "\n"

static const char whole[] = HEAD DIFF BOOT;

/* A copy that ends where its memory ends: an overrun is seen. */
static int parse(const char *text, size_t len, struct manifest *m,
		 char *message)
{
	char *copy = malloc(len ? len : 1);
	int r;

	memcpy(copy, text, len);
	memset(message, 'x', MANIFEST_MESSAGE);
	r = manifest_parse(m, copy, len, message);
	check(memchr(message, 0, MANIFEST_MESSAGE) != NULL);
	free(copy);
	return r;
}

static void a_manifest_is_read(void)
{
	char message[MANIFEST_MESSAGE];
	struct manifest m;

	check(!parse(whole, strlen(whole), &m, message));
	check(!message[0]);
	check(!strcmp(m.board, "qemu-arm64"));
	check(!strcmp(m.hardware, "rev-a,rev-b"));
	check(m.source.n_pieces == 2 && m.source.piece[0][0] == 0xff);
	check(!strcmp(m.version, "2.0.10"));
	check(!strcmp(m.min_version, "1"));
	check(m.source.size == 134217728 && m.target_size == 134217729);
	check(m.source_hash[0] == 0x01 && m.source_hash[31] == 0xef);
	check(m.target_hash[0] == 0xff);
	check(m.payload[PAYLOAD_DIFF].n_pieces == 2);
	check(m.payload[PAYLOAD_DIFF].room == 12288);
	check(m.payload[PAYLOAD_DIFF].piece[0][1] == 0x23);
	check(piece_len(&m.payload[PAYLOAD_DIFF], 0) == 1048576);
	check(piece_len(&m.payload[PAYLOAD_DIFF], 1) == 1);
	check(m.payload[PAYLOAD_BOOT].n_pieces == 1);
	manifest_free(&m);
}

static void it_is_written_as_it_was_read(void)
{
	static const char *const texts[] = { whole, HEAD DIFF, NO_IMAGES BOOT };
	char message[MANIFEST_MESSAGE], back[sizeof(whole)];
	struct manifest m;

	for (int i = 0; i < 3; i++) {
		size_t len = strlen(texts[i]);

		check(!parse(texts[i], len, &m, message));
		check(manifest_format(&m, NULL, 0) == len);
		memset(back, 0, sizeof(back));
		check(manifest_format(&m, back, 5) == len);
		check(!back[5]);
		check(manifest_format(&m, back, sizeof(back)) == len);
		check(!memcmp(back, texts[i], len));
		manifest_free(&m);
	}
}

static void every_truncation_is_refused(void)
{
	char message[MANIFEST_MESSAGE];
	struct manifest m;

	for (size_t len = 0; len < strlen(whole); len++) {
		int r = parse(whole, len, &m, message);

		/* A whole payload less is a manifest too. */
		if (len == strlen(HEAD DIFF)) {
			check(!r);
			manifest_free(&m);
			continue;
		}
		check(r == -1);
		check(!strncmp(message, "line ", 5));
	}
}

/*
 * Whatever one changed byte makes of it: refused, or another manifest in its
 * one spelling (a digit of a hash, a letter of the board).
 */
static void every_changed_byte_is_refused_or_meant(void)
{
	char message[MANIFEST_MESSAGE], text[sizeof(whole)];
	char back[sizeof(whole)];
	size_t len = strlen(whole);
	unsigned int refused = 0;
	struct manifest m;

	for (size_t i = 0; i < 8 * len; i++) {
		memcpy(text, whole, len);
		text[i / 8] ^= 1 << i % 8;
		if (parse(text, len, &m, message)) {
			refused++;
			continue;
		}
		check(manifest_format(&m, back, sizeof(back)) == len);
		check(!memcmp(back, text, len));
		manifest_free(&m);
	}
	check(refused > 6 * len);
}

static const struct {
	const char *text;
	const char *message; /* its beginning */
} bad[] = {
	{ "", "line 1: the text ends before key 'bowline-manifest'" },
	{ "bowline-manifest=2\n", "line 1: unknown manifest format '2'" },
	{ "bowline-manifest=\n", "line 1: not a number ''" },
	{ "bowline-manifest=1", "line 1: no line feed ends" },
	{ "bowline-manifest=1\nboard=a b\n",
	  "line 2: not a board name: 'a b'" },
	{ "bowline-manifest=1\nboard=\n", "line 2: not a board name: ''" },
	{ "bowline-manifest=1\nversion=1\n",
	  "line 2: expected key 'board', found 'version=1'" },
	{ "bowline-manifest=1\nboard=x\nboard=x\n",
	  "line 3: expected key 'hardware', found 'board=x'" },
	{ "bowline-manifest=1\nboard=x\nhardware=any\nversion=1\n"
	  "colour=red\n",
	  "line 5: expected key 'min-version', found 'colour=red'" },
	{ "bowline-manifest=1\nboard=x\nhardware=any\nversion=1..2\n",
	  "line 4: not a version: '1..2'" },
	{ "bowline-manifest=1\n board=x\n",
	  "line 2: expected key 'board', found ' board=x'" },
	{ "bowline-manifest=1\nboard=\x01\n", "line 2: not a board name: '?'" },
	{ "bowline-manifest=1\nboard=x\nhardware=a,\n",
	  "line 3: not a list of names: 'a,'" },
	{ NO_BASE "target-size=0\ntarget-sha256=" H1 "\n" DIFF,
	  "line 15: a diff and a target-size go together" },
	{ HEAD BOOT, "line 16: a diff and a target-size go together" },
	{ HEAD, "line 13: the text ends before key 'payload'" },
	{ HEAD "\n", "line 13: expected key 'payload', found ''" },
	{ HEAD "payload=tar\n",
	  "line 13: unknown, repeated or misplaced payload 'tar'" },
	{ HEAD BOOT DIFF,
	  "line 17: unknown, repeated or misplaced payload 'diff'" },
	{ HEAD DIFF DIFF,
	  "line 19: unknown, repeated or misplaced payload 'diff'" },
	{ HEAD DIFF "piece=" H0 "\n", "line 19: expected key 'payload'" },
	{ HEAD "payload=diff\nsize=0\n", "line 14: too small: '0'" },
	{ HEAD "payload=diff\nsize=01\n", "line 14: not a number '01'" },
	{ HEAD "payload=diff\nsize=-1\n", "line 14: not a number '-1'" },
	{ HEAD "payload=diff\nsize=0x10\n", "line 14: not a number '0x10'" },
	{ HEAD "payload=diff\nsize=1152921504606846977\n",
	  "line 14: too large: '1152921504606846977'" },
	{ HEAD "payload=diff\nsize=99999999999999999999999999999\n",
	  "line 14: too large: '99999999999999999999999999999'" },
	{ HEAD "payload=diff\nsize=1\npiece-size=4096\n",
	  "line 15: expected key 'room', found 'piece-size=4096'" },
	{ HEAD "payload=diff\nsize=1\nroom=8191\n",
	  "line 15: too small: '8191'" },
	{ HEAD "payload=boot\nsize=1\nroom=8192\n",
	  "line 15: expected key 'piece-size', found 'room=8192'" },
	{ HEAD
	  "payload=diff\nsize=1152921504606846976\nroom=8192\npiece-size=4096\n",
	  "line 16: fewer pieces than the size needs" },
	{ HEAD "payload=diff\nsize=1\nroom=8192\npiece-size=2048\n",
	  "line 16: too small: '2048'" },
	{ HEAD "payload=diff\nsize=1\nroom=8192\npiece-size=4097\n",
	  "line 16: not a power of two: '4097'" },
	{ HEAD "payload=diff\nsize=1\nroom=8192\npiece-size=2097152\n",
	  "line 16: too large: '2097152'" },
	{ HEAD "payload=diff\nsize=1\nroom=8192\npiece-size=4096\npiece=0" H0
	       "\n",
	  "line 17: not 64 hex digits" },
	{ HEAD "payload=diff\nsize=1\nroom=8192\npiece-size=4096\n"
	       "piece=G123456789abcdef0123456789abcdef0123456789abcdef0123"
	       "456789abcdef\n",
	  "line 17: not 64 hex digits" },
	{ HEAD "payload=diff\nsize=1\nroom=8192\npiece-size=4096\n"
	       "piece=A123456789abcdef0123456789abcdef0123456789abcdef0123"
	       "456789abcdef\n",
	  "line 17: not 64 hex digits" },
	{ HEAD "payload=diff\nsize=4097\nroom=8192\npiece-size=4096\npiece=" H0
	       "\n" BOOT,
	  "line 18: expected key 'piece', found 'payload=boot'" },
};

static void each_mistake_is_named(void)
{
	char message[MANIFEST_MESSAGE];
	struct manifest m;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		const char *want = bad[i].message;
		int r = parse(bad[i].text, strlen(bad[i].text), &m, message);

		check(r == -1);
		if (!r)
			manifest_free(&m);
		if (strncmp(message, want, strlen(want))) {
			printf("wanted: %s\ngot:    %s\n", want, message);
			check(!"the message");
		}
	}
}

static void hardware_is_a_list(void)
{
	static const char *const lists[] = {
		"", ",", "a,", ",a", "a,,b", "a b"
	};
	char longest[MANIFEST_LIST_MAX + 1];

	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		check(!hardware_valid(lists[i]));
	memset(longest, 'x', sizeof(longest));
	longest[MANIFEST_LIST_MAX - 1] = 0;
	check(hardware_valid(longest));
	longest[MANIFEST_LIST_MAX - 1] = 'x';
	longest[MANIFEST_LIST_MAX] = 0;
	check(!hardware_valid(longest));
	check(hardware_valid("any") && hardware_valid("a,b-1,C_2.0"));
	check(hardware_listed("any", "whatever"));
	check(hardware_listed("a,b", "a") && hardware_listed("a,b", "b"));
	check(!hardware_listed("aa,b", "a") && !hardware_listed("a,b", "aa"));
	check(!hardware_listed("a,b", "") && !hardware_listed("a,b", "a,b"));
}

static void a_name_has_a_limit(void)
{
	char message[MANIFEST_MESSAGE], text[256];
	struct manifest m;

	snprintf(text, sizeof(text), "bowline-manifest=1\nboard=%.64s\n", H0);
	check(parse(text, strlen(text), &m, message) == -1);
	check(!strncmp(message, "line 2: not a board name:", 25));
	snprintf(text, sizeof(text), "bowline-manifest=1\nboard=%.63s\n", H0);
	check(parse(text, strlen(text), &m, message) == -1);
	check(!strncmp(message, "line 3: the text ends", 21));
}

static void versions_are_numbers_and_dots(void)
{
	static const char *const good[] = { "0", "1", "1.2", "10.020.3",
					    "99999999999999999999999999.1" };
	static const char *const wrong[] = { "",     ".",   "1.",  ".1",
					     "1..2", "1a",  "v1",  "1-2",
					     "1 ",   "1\n", "-1.2" };

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		check(version_valid(good[i]));
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		check(!version_valid(wrong[i]));
}

static void versions_compare_number_by_number(void)
{
	/* Each older than the next. */
	static const char *const order[] = { "0",
					     "0.0.1",
					     "0.2",
					     "1",
					     "1.0.1",
					     "1.2",
					     "1.9",
					     "1.10",
					     "1.10.1",
					     "2",
					     "10",
					     "18446744073709551616",
					     "18446744073709551617" };
	int n = sizeof(order) / sizeof(order[0]);

	for (int i = 0; i < n; i++)
		for (int j = 0; j < n; j++) {
			int diff = version_compare(order[i], order[j]);

			check((diff > 0) - (diff < 0) == (i > j) - (i < j));
		}
	check(!version_compare("1.2", "1.2.0"));
	check(!version_compare("1.2.0.0", "1.2"));
	check(!version_compare("01.002", "1.2"));
	check(!version_compare("0", "0.0"));
}

static const struct test tests[] = {
	{ "a manifest is read", a_manifest_is_read },
	{ "it is written as it was read", it_is_written_as_it_was_read },
	{ "every truncation is refused", every_truncation_is_refused },
	{ "every changed byte is refused or meant",
	  every_changed_byte_is_refused_or_meant },
	{ "each mistake is named", each_mistake_is_named },
	{ "hardware is a list", hardware_is_a_list },
	{ "a name has a limit", a_name_has_a_limit },
	{ "versions are numbers and dots", versions_are_numbers_and_dots },
	{ "versions compare number by number",
	  versions_compare_number_by_number },
};

int main(void)
{
	return RUN_TESTS(tests);
}
