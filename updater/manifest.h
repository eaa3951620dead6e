/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The manifest of a bundle: what is in it, for whom, and the hash of every
 * piece. Pure: text in, struct out, and back; docs/FORMAT.md has the prose.
 *
 * The text has one spelling: lines of "key=value" in one order, so that a
 * manifest parsed and formatted again is the same bytes, and an unknown, a
 * repeated and a missing key are all the same mistake, an unexpected line.
 */
#ifndef BOWLINE_MANIFEST_H
#define BOWLINE_MANIFEST_H

#include "../kmod/plat.h"

#define MANIFEST_FORMAT	     1
#define MANIFEST_NAME_MAX    64	 /* bytes of board and versions with the NUL */
#define MANIFEST_LIST_MAX    256 /* of a list of hardware revisions */
#define MANIFEST_ANY	     "any"
#define MANIFEST_MESSAGE     128 /* enough for any message of manifest_parse */
#define MANIFEST_HASH_SIZE   32
#define MANIFEST_SIZE_MAX    ((u64)1 << 60) /* bytes of an image, a payload */
#define MANIFEST_PIECE	     (1u << 20) /* the usual piece, and the largest */
#define MANIFEST_PIECE_LEAST 4096u
#define MANIFEST_RANGE	     (1u << 30) /* largest piece of the old image */
#define MANIFEST_ROOM_LEAST  8192u	/* bytes: two records */

/* In the manifest each kind comes at most once, in this order. */
enum payload_kind {
	PAYLOAD_DIFF, /* "diff": goes to the stage */
	PAYLOAD_BOOT, /* "boot": goes to the other slot's boot partition */
	PAYLOAD_KINDS
};

struct payload {
	u64 size;	/* bytes, 0 = this kind is not in the bundle */
	u64 room;	/* diff: bytes its merge takes behind it, else 0 */
	u32 piece_size; /* bytes: a power of two; the last piece may be shorter
			 */
	u32 n_pieces;	/* size / piece_size, rounded up */
	u8 (*piece)[MANIFEST_HASH_SIZE]; /* SHA-256 of each; plat_alloc */
};

struct manifest {
	char board[MANIFEST_NAME_MAX];
	char hardware[MANIFEST_LIST_MAX];    /* revisions, or MANIFEST_ANY */
	char version[MANIFEST_NAME_MAX];     /* of the new system */
	char min_version[MANIFEST_NAME_MAX]; /* least version to update from */
	struct payload source; /* the old image; size 0: it may be any */
	u8 source_hash[MANIFEST_HASH_SIZE];
	u64 target_size; /* bytes of the new image, 0: there is no diff */
	u8 target_hash[MANIFEST_HASH_SIZE];
	struct payload payload[PAYLOAD_KINDS];
};

/*
 * Parses len bytes of text. 0, or -1 with one line in message
 * (MANIFEST_MESSAGE bytes: "line 3: ..."); then nothing is left to free.
 */
int manifest_parse(struct manifest *m, const char *text, size_t len,
		   char *message);

/*
 * Writes the text into buf, at most cap bytes and no NUL; returns the bytes
 * that the whole text takes, whether they fitted or not.
 */
size_t manifest_format(const struct manifest *m, char *buf, size_t cap);

void manifest_free(struct manifest *m);

/* "diff", "boot": as in the manifest. */
const char *payload_name(enum payload_kind kind);
/* "diff", "boot image": for people. */
const char *payload_title(enum payload_kind kind);

/* Letters, digits, '.', '_' and '-', fewer than MANIFEST_NAME_MAX. */
bool board_name_valid(const char *name);

/* Such names, joined by commas, or "any". */
bool hardware_valid(const char *list);
/* Is this revision one of the list? */
bool hardware_listed(const char *list, const char *revision);

/*
 * A version is decimal numbers joined by dots, compared number by number; a
 * missing number counts as 0, so "1.2" equals "1.2.0" and is older than
 * "1.10". Numbers may have any length.
 */
bool version_valid(const char *version);
/* Less than, equal to or greater than 0, as strcmp; both must be valid. */
int version_compare(const char *a, const char *b);

/* Bytes of piece i. */
static inline u32 piece_len(const struct payload *p, u32 i)
{
	u64 rest = p->size - (u64)i * p->piece_size;

	return rest < p->piece_size ? rest : p->piece_size;
}

#endif
