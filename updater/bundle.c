// SPDX-License-Identifier: GPL-2.0-or-later
#define _GNU_SOURCE
#include <stdio.h>

#include "bundle.h"
#include "err.h"
#include "progress.h"

#define CHUNK (64u << 10) /* bytes read at once */

uint64_t bundle_length(const struct bundle_head *head, const struct manifest *m)
{
	uint64_t length = head->size;

	for (int kind = 0; kind < PAYLOAD_KINDS; kind++)
		length += bundle_padded(m->payload[kind].size);
	return length;
}

/* ---- the head ------------------------------------------------------------ */

static void make_id(struct bundle_head *head)
{
	uint8_t hash[HASH_SIZE];

	sha256(head->manifest, head->manifest_size, hash);
	for (int i = 0; i < UPDATE_ID_LEN / 2; i++)
		sprintf(head->id + 2 * i, "%02x", hash[i]);
}

static __le32 crc_of(const struct bundle_header *header)
{
	return cpu_to_le32(plat_crc32c(~0u, header,
				       sizeof(*header) - sizeof(header->crc)));
}

/* Space for a head of these parts, all zeros; the pointers are set. */
static int allocate(struct bundle_head *head, size_t manifest_size,
		    size_t signature_size, char *why)
{
	memset(head, 0, sizeof(*head));
	if (!manifest_size || !signature_size ||
	    signature_size > SIGNATURE_MAX ||
	    manifest_size >
		    STAGE_HEAD_MAX - BUNDLE_HEADER_SIZE - signature_size) {
		snprintf(why, BUNDLE_WHY,
			 "a manifest of %zu bytes and a signature of %zu are "
			 "out of range",
			 manifest_size, signature_size);
		return -1;
	}
	head->size = bundle_padded(BUNDLE_HEADER_SIZE + manifest_size +
				   signature_size);
	head->bytes = calloc(1, head->size);
	if (!head->bytes) {
		snprintf(why, BUNDLE_WHY, "no memory for its head");
		return -1;
	}
	head->manifest = (char *)head->bytes + BUNDLE_HEADER_SIZE;
	head->manifest_size = manifest_size;
	head->signature = (uint8_t *)head->manifest + manifest_size;
	head->signature_size = signature_size;
	return 0;
}

int bundle_head_make(struct bundle_head *head, const char *manifest,
		     size_t manifest_size, const void *signature,
		     size_t signature_size, char *why)
{
	struct bundle_header header = {
		.magic = BUNDLE_MAGIC,
		.version = cpu_to_le32(BUNDLE_VERSION),
		.manifest_size = cpu_to_le32(manifest_size),
		.signature_size = cpu_to_le32(signature_size),
	};
	uint8_t *p;

	if (allocate(head, manifest_size, signature_size, why))
		return -1;
	header.crc = crc_of(&header);
	p = mempcpy(head->bytes, &header, sizeof(header));
	p = mempcpy(p, manifest, manifest_size);
	memcpy(p, signature, signature_size);
	make_id(head);
	return 0;
}

void bundle_head_free(struct bundle_head *head)
{
	free(head->bytes);
	memset(head, 0, sizeof(*head));
}

/* Where a head is read from: the stream or the stage, front to back. */
struct source {
	struct stream *stream; /* or NULL */
	struct dev *stage;
	uint64_t offset; /* on the stage */
};

static int source_read(struct source *src, void *buf, size_t len)
{
	uint64_t at = src->offset;

	if (src->stream)
		return stream_read(src->stream, buf, len);
	src->offset += len;
	return dev_read(src->stage, at, buf, len);
}

static int check_header(const struct bundle_header *header, char *why)
{
	const char *problem = NULL;

	if (memcmp(header->magic, BUNDLE_MAGIC, sizeof(header->magic)))
		problem = "it does not begin like one";
	else if (header->crc != crc_of(header))
		problem = "the checksum of its header is wrong";
	else if (header->version != cpu_to_le32(BUNDLE_VERSION))
		problem = "its version is unknown";
	else if (header->zero[0] || header->zero[1])
		problem = "its header has unknown fields";
	if (!problem)
		return 0;
	snprintf(why, BUNDLE_WHY, "%s", problem);
	return -1;
}

bool bundle_zeros(const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (p[i])
			return false;
	return true;
}

/* -1 with an empty why: the source could not be read, and error() said so. */
static int read_head(struct source *src, struct bundle_head *head, char *why)
{
	struct bundle_header header;
	size_t used;

	memset(head, 0, sizeof(*head));
	why[0] = 0;
	if (source_read(src, &header, sizeof(header)) ||
	    check_header(&header, why) ||
	    allocate(head, le32_to_cpu(header.manifest_size),
		     le32_to_cpu(header.signature_size), why))
		return -1;
	memcpy(head->bytes, &header, sizeof(header));
	if (source_read(src, head->bytes + sizeof(header),
			head->size - sizeof(header)))
		goto free_head;
	used = sizeof(header) + head->manifest_size + head->signature_size;
	if (!bundle_zeros(head->bytes + used, head->size - used)) {
		snprintf(why, BUNDLE_WHY, "its head is not followed by zeros");
		goto free_head;
	}
	make_id(head);
	return 0;

free_head:
	bundle_head_free(head);
	return -1;
}

/* ---- from a stream ------------------------------------------------------- */

int bundle_try_head(struct stream *s, struct bundle_head *head, char *why)
{
	struct source src = { .stream = s };

	return read_head(&src, head, why);
}

int bundle_read_head(struct stream *s, struct bundle_head *head)
{
	char why[BUNDLE_WHY];

	if (!bundle_try_head(s, head, why))
		return 0;
	return why[0] ? error("'%s' is not a bundle: %s", s->name, why) : -1;
}

const char *bundle_wrong_piece(const struct payload *p, u32 i,
			       const uint8_t *bytes)
{
	uint32_t len = piece_len(p, i);
	uint8_t hash[HASH_SIZE];

	sha256(bytes, len, hash);
	if (memcmp(hash, p->piece[i], HASH_SIZE))
		return "is not what its manifest says";
	if (!bundle_zeros(bytes + len, bundle_padded(len) - len))
		return "is not followed by zeros";
	return NULL;
}

/* ---- on the device ------------------------------------------------------- */

int bundle_hash(struct dev *dev, uint64_t offset, uint64_t len,
		uint64_t progress, uint8_t *hash)
{
	static uint8_t buf[CHUNK];
	struct sha256 sha;

	sha256_start(&sha);
	while (len) {
		size_t n = len < CHUNK ? len : CHUNK;

		if (dev_read(dev, offset, buf, n))
			return -1;
		sha256_add(&sha, buf, n);
		offset += n;
		len -= n;
		progress += n;
		progress_update(progress);
	}
	sha256_end(&sha, hash);
	return 0;
}

uint32_t bundle_bad_piece(struct dev *dev, uint64_t offset,
			  const struct payload *p)
{
	uint8_t hash[HASH_SIZE];

	for (uint32_t i = 0; i < p->n_pieces; i++) {
		uint64_t at = (uint64_t)i * p->piece_size;

		if (bundle_hash(dev, offset + at, piece_len(p, i), at, hash) ||
		    memcmp(hash, p->piece[i], HASH_SIZE))
			return i + 1;
	}
	return 0;
}

static int check_staged(const struct bundle_head *head,
			const struct stage_record *rec, struct manifest *m,
			char *why, size_t why_len)
{
	char message[MANIFEST_MESSAGE];

	if (strcmp(head->id, rec->id)) {
		snprintf(why, why_len, "the manifest on the stage is damaged");
		return -1;
	}
	if (manifest_parse(m, head->manifest, head->manifest_size, message)) {
		snprintf(why, why_len, "the manifest on the stage: %s",
			 message);
		return -1;
	}
	if (m->payload[PAYLOAD_DIFF].size == rec->payload &&
	    m->target_size == rec->image &&
	    (!rec->progress ||
	     rec->progress == STAGE_PAYLOAD + bundle_padded(rec->payload)))
		return 0;
	snprintf(why, why_len, "the stage record and the manifest differ");
	manifest_free(m);
	return -1;
}

static int check_pieces(struct dev *stage, struct manifest *m, char *why,
			size_t why_len)
{
	const struct payload *diff = &m->payload[PAYLOAD_DIFF];
	uint32_t bad;

	if (!diff->size)
		return 0;
	progress_start("checking the update", diff->size);
	bad = bundle_bad_piece(stage, STAGE_PAYLOAD, diff);
	if (!bad) {
		progress_end();
		return 0;
	}
	snprintf(why, why_len, "piece %u of the diff is damaged", bad);
	manifest_free(m);
	return -1;
}

int bundle_stage_verify(struct dev *stage, const struct stage_record *rec,
			struct manifest *m, char *why, size_t why_len)
{
	struct source src = { .stage = stage, .offset = STAGE_HEAD };
	struct bundle_head head;
	char problem[BUNDLE_WHY];
	int r;

	if (read_head(&src, &head, problem)) {
		snprintf(why, why_len,
			 "the bundle head on the stage is damaged");
		return -1;
	}
	r = check_staged(&head, rec, m, why, why_len);
	bundle_head_free(&head);
	return r ? -1 : check_pieces(stage, m, why, why_len);
}
