/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The container of an update, docs/FORMAT.md "The bundle":
 *
 *   header, manifest, signature    the head, zeros to a multiple of 4096
 *   payload, payload, ...          each with zeros to a multiple of 4096
 *
 * The head and the payloads lie on the device exactly as in the bundle, zeros
 * included, so installing is copying.
 */
#ifndef BOWLINE_BUNDLE_H
#define BOWLINE_BUNDLE_H

#include "env.h"
#include "io.h"
#include "manifest.h"
#include "stage.h"
#include "stream.h"
#include "verify.h"

#define BUNDLE_MAGIC	   "bowline" /* 8 bytes with the final NUL */
#define BUNDLE_VERSION	   1
#define BUNDLE_ALIGN	   4096u
#define BUNDLE_HEADER_SIZE 32
#define BUNDLE_WHY	   96 /* bytes of a reason with its NUL */

struct bundle_header {
	__u8 magic[8];
	__le32 version;
	__le32 manifest_size;  /* bytes, at least 1 */
	__le32 signature_size; /* bytes, 1 to SIGNATURE_MAX */
	__le32 zero[2];
	__le32 crc; /* CRC-32C, seed ~0, over everything before it */
} __attribute__((packed));
_Static_assert(sizeof(struct bundle_header) == BUNDLE_HEADER_SIZE, "header");

struct bundle_head {
	uint8_t *bytes; /* as in the bundle; malloc */
	size_t size;	/* a multiple of BUNDLE_ALIGN, <= STAGE_HEAD_MAX */
	const char *manifest; /* inside bytes, no NUL behind it */
	size_t manifest_size;
	const uint8_t *signature; /* inside bytes */
	size_t signature_size;
	char id[UPDATE_ID_LEN + 1]; /* of the manifest */
};

/* Of size bytes, with the zeros behind them. */
static inline uint64_t bundle_padded(uint64_t size)
{
	return (size + BUNDLE_ALIGN - 1) / BUNDLE_ALIGN * BUNDLE_ALIGN;
}

/* Are these the zeros that must be behind a head or a payload? */
bool bundle_zeros(const uint8_t *p, size_t len);

/* Where the bundle ends, from the sizes in its manifest. */
uint64_t bundle_length(const struct bundle_head *head,
		       const struct manifest *m);

/*
 * A head of its parts; to be freed. 0, or -1 with a reason in why (BUNDLE_WHY
 * bytes): too large for STAGE_HEAD_MAX, or no memory.
 */
int bundle_head_make(struct bundle_head *head, const char *manifest,
		     size_t manifest_size, const void *signature,
		     size_t signature_size, char *why);
void bundle_head_free(struct bundle_head *head);

/*
 * The head, its layout checked; who signed it and what it says is not. 0, or
 * -1 after error().
 */
int bundle_read_head(struct stream *s, struct bundle_head *head);
/* The same, but what is wrong with the layout is in why, of BUNDLE_WHY bytes;
 * -1 with an empty one: error() said that the stream ended or failed.
 */
int bundle_try_head(struct stream *s, struct bundle_head *head, char *why);

/*
 * What is wrong with the bytes of piece i and the zeros behind it; NULL: they
 * are what the manifest says.
 */
const char *bundle_wrong_piece(const struct payload *p, u32 i,
			       const uint8_t *bytes);

/*
 * SHA-256 of len bytes of dev. The progress step under way is at "progress"
 * when it starts. 0, or -1 after error().
 */
int bundle_hash(struct dev *dev, uint64_t offset, uint64_t len,
		uint64_t progress, uint8_t *hash);

/*
 * Hashes a payload that lies on dev at a byte offset. 0, or i + 1 when piece i
 * is not what the manifest says or cannot be read (error() said so then).
 */
uint32_t bundle_bad_piece(struct dev *dev, uint64_t offset,
			  const struct payload *p);

/*
 * Is the update that lies on the stage whole, and the one that rec means? Reads
 * all of it. 0 with *m filled (manifest_free() it), or -1 with a short reason
 * in why, such as "piece 17 of the diff is damaged". A read error is damage.
 */
int bundle_stage_verify(struct dev *stage, const struct stage_record *rec,
			struct manifest *m, char *why, size_t why_len);

#endif
