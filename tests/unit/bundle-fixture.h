/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A small device as files in the test's folder, and bundles for it. Pieces
 * are 4 KiB, so that a payload has several though it is small.
 */
#ifndef BOWLINE_BUNDLE_FIXTURE_H
#define BOWLINE_BUNDLE_FIXTURE_H

#include "bowline-format.h"
#include "bundle.h"
#include "capture.h"
#include "test.h"

#define SYSTEM_SIZE   (64u << 10)
#define DIFF_SIZE     10000u /* two pieces and a part */
#define BOOT_SIZE     5000u
#define DIFF_ROOM     8192u
#define STAGE_SIZE    (STAGE_PAYLOAD + (32u << 10))
#define BOOT_PART     (16u << 10)
#define FIXTURE_PIECE 4096u

static uint8_t old_image[SYSTEM_SIZE], new_image[SYSTEM_SIZE];
static uint8_t contents[PAYLOAD_KINDS][16384];

static void fill(uint8_t *p, size_t len, uint32_t seed)
{
	for (size_t i = 0; i < len; i++) {
		seed = seed * 1664525 + 1013904223;
		p[i] = seed >> 24;
	}
}

static void describe_contents(struct payload *p, const uint8_t *bytes,
			      size_t size)
{
	p->size = size;
	p->piece_size = FIXTURE_PIECE;
	p->n_pieces = (size + FIXTURE_PIECE - 1) / FIXTURE_PIECE;
	p->piece = calloc(p->n_pieces, sizeof(*p->piece));
	for (uint32_t i = 0; i < p->n_pieces; i++)
		sha256(bytes + i * FIXTURE_PIECE, piece_len(p, i), p->piece[i]);
}

/* A diff of format 0, as far as its superblock goes. */
static inline void fill_diff(uint8_t *diff)
{
	const struct update_super super = {
		.magic = UPDATE_MAGIC,
		.block_bits = 12,
		.chunk_blocks = cpu_to_le32(16),
		.compression = "zstd",
		.dir_offset = cpu_to_le64(DIFF_SIZE - 100),
		.dir_compressed_size = cpu_to_le64(80),
		.dir_n = cpu_to_le64(10),
	};

	fill(diff, DIFF_SIZE, 3);
	memcpy(diff, &super, sizeof(super));
}

/* Keys in keys/, one more that nobody trusts, and the contents. */
static inline void make_fixture(void)
{
	run("mkdir keys && "
	    "openssl ecparam -name prime256v1 -genkey -noout -out key && "
	    "openssl ecparam -name prime256v1 -genkey -noout -out bad-key && "
	    "openssl pkey -in key -pubout -out keys/key.pem");
	fill(old_image, sizeof(old_image), 1);
	fill(new_image, sizeof(new_image), 2);
	fill_diff(contents[PAYLOAD_DIFF]);
	fill(contents[PAYLOAD_BOOT], BOOT_SIZE, 4);
}

/* What a good bundle says; to be changed at will, then manifest_free(). */
static inline void fixture_manifest(struct manifest *m)
{
	memset(m, 0, sizeof(*m));
	strcpy(m->board, "test");
	strcpy(m->hardware, MANIFEST_ANY);
	strcpy(m->version, "2");
	strcpy(m->min_version, "1");
	m->target_size = SYSTEM_SIZE;
	describe_contents(&m->source, old_image, SYSTEM_SIZE);
	sha256(old_image, SYSTEM_SIZE, m->source_hash);
	sha256(new_image, SYSTEM_SIZE, m->target_hash);
	describe_contents(&m->payload[PAYLOAD_DIFF], contents[PAYLOAD_DIFF],
			  DIFF_SIZE);
	m->payload[PAYLOAD_DIFF].room = DIFF_ROOM;
	describe_contents(&m->payload[PAYLOAD_BOOT], contents[PAYLOAD_BOOT],
			  BOOT_SIZE);
}

static inline void sign_head(struct bundle_head *head, const char *text,
			     size_t len, const char *key)
{
	uint8_t signature[SIGNATURE_MAX];
	char why[BUNDLE_WHY];
	size_t signature_len;

	if (sign_text(key, text, len, signature, &signature_len) ||
	    bundle_head_make(head, text, len, signature, signature_len, why))
		abort();
}

static inline void make_head(struct bundle_head *head, const struct manifest *m,
			     const char *key)
{
	static char text[8192];
	size_t len = manifest_format(m, text, sizeof(text));

	sign_head(head, text, len, key);
}

/* head and contents as a file; returns its length. */
static inline size_t spill_bundle(const char *path,
				  const struct bundle_head *head,
				  const struct manifest *m)
{
	static uint8_t bytes[65536];
	size_t len = head->size;

	memset(bytes, 0, sizeof(bytes));
	memcpy(bytes, head->bytes, head->size);
	for (int kind = 0; kind < PAYLOAD_KINDS; kind++) {
		memcpy(bytes + len, contents[kind], m->payload[kind].size);
		len += bundle_padded(m->payload[kind].size);
	}
	spill(path, bytes, len);
	return len;
}

#endif
