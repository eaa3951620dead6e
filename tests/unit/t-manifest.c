// SPDX-License-Identifier: GPL-2.0-or-later
/* The manifest: one spelling, every other one refused with its line. */
#include "manifest.h"
#include "test.h"

#define H0 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define H1 "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"

#define HEAD                      \
	"bowline-manifest=1\n"    \
	"board=qemu-arm64\n"      \
	"version=2.0.10\n"        \
	"min-version=1\n"         \
	"source-size=134217728\n" \
	"source-sha256=" H0 "\n"  \
	"target-size=134217729\n" \
	"target-sha256=" H1 "\n"
#define DIFF                   \
	"payload=diff\n"       \
	"size=1048577\n"       \
	"piece-size=1048576\n" \
	"piece=" H0 "\n"       \
	"piece=" H1 "\n"
#define BOOT                \
	"payload=boot\n"    \
	"size=1\n"          \
	"piece-size=4096\n" \
	"piece=" H1 "\n"

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
	check(!strcmp(m.version, "2.0.10"));
	check(!strcmp(m.min_version, "1"));
	check(m.source_size == 134217728 && m.target_size == 134217729);
	check(m.source_hash[0] == 0x01 && m.source_hash[31] == 0xef);
	check(m.target_hash[0] == 0xff);
	check(m.payload[PAYLOAD_DIFF].n_pieces == 2);
	check(m.payload[PAYLOAD_DIFF].piece[0][1] == 0x23);
	check(piece_len(&m.payload[PAYLOAD_DIFF], 0) == 1048576);
	check(piece_len(&m.payload[PAYLOAD_DIFF], 1) == 1);
	check(m.payload[PAYLOAD_BOOT].n_pieces == 1);
	manifest_free(&m);
}

static void it_is_written_as_it_was_read(void)
{
	static const char *const texts[] = { whole, HEAD DIFF, HEAD BOOT };
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
	  "line 3: expected key 'version', found 'board=x'" },
	{ "bowline-manifest=1\nboard=x\nversion=1\ncolour=red\n",
	  "line 4: expected key 'min-version', found 'colour=red'" },
	{ "bowline-manifest=1\nboard=x\nversion=1..2\n",
	  "line 3: not a version: '1..2'" },
	{ "bowline-manifest=1\n board=x\n",
	  "line 2: expected key 'board', found ' board=x'" },
	{ "bowline-manifest=1\nboard=\x01\n", "line 2: not a board name: '?'" },
	{ HEAD, "line 9: the text ends before key 'payload'" },
	{ HEAD "\n", "line 9: expected key 'payload', found ''" },
	{ HEAD "payload=tar\n",
	  "line 9: unknown, repeated or misplaced payload 'tar'" },
	{ HEAD BOOT DIFF,
	  "line 13: unknown, repeated or misplaced payload 'diff'" },
	{ HEAD DIFF DIFF,
	  "line 14: unknown, repeated or misplaced payload 'diff'" },
	{ HEAD DIFF "piece=" H0 "\n", "line 14: expected key 'payload'" },
	{ HEAD "payload=diff\nsize=0\n", "line 10: too small: '0'" },
	{ HEAD "payload=diff\nsize=01\n", "line 10: not a number '01'" },
	{ HEAD "payload=diff\nsize=-1\n", "line 10: not a number '-1'" },
	{ HEAD "payload=diff\nsize=0x10\n", "line 10: not a number '0x10'" },
	{ HEAD "payload=diff\nsize=1152921504606846977\n",
	  "line 10: too large: '1152921504606846977'" },
	{ HEAD "payload=diff\nsize=99999999999999999999999999999\n",
	  "line 10: too large: '99999999999999999999999999999'" },
	{ HEAD "payload=diff\nsize=1152921504606846976\npiece-size=4096\n",
	  "line 11: fewer pieces than the size needs" },
	{ HEAD "payload=diff\nsize=1\npiece-size=2048\n",
	  "line 11: too small: '2048'" },
	{ HEAD "payload=diff\nsize=1\npiece-size=4097\n",
	  "line 11: not a power of two: '4097'" },
	{ HEAD "payload=diff\nsize=1\npiece-size=2097152\n",
	  "line 11: too large: '2097152'" },
	{ HEAD "payload=diff\nsize=1\npiece-size=4096\npiece=0" H0 "\n",
	  "line 12: not 64 hex digits" },
	{ HEAD "payload=diff\nsize=1\npiece-size=4096\n"
	       "piece=G123456789abcdef0123456789abcdef0123456789abcdef0123"
	       "456789abcdef\n",
	  "line 12: not 64 hex digits" },
	{ HEAD "payload=diff\nsize=1\npiece-size=4096\n"
	       "piece=A123456789abcdef0123456789abcdef0123456789abcdef0123"
	       "456789abcdef\n",
	  "line 12: not 64 hex digits" },
	{ HEAD "payload=diff\nsize=4097\npiece-size=4096\npiece=" H0 "\n" BOOT,
	  "line 13: expected key 'piece', found 'payload=boot'" },
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
	{ "a name has a limit", a_name_has_a_limit },
	{ "versions are numbers and dots", versions_are_numbers_and_dots },
	{ "versions compare number by number",
	  versions_compare_number_by_number },
};

int main(void)
{
	return RUN_TESTS(tests);
}
