// SPDX-License-Identifier: GPL-2.0-or-later
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bundle.h"
#include "err.h"
#include "options.h"
#include "outfile.h"
#include "payload.h"
#include "progress.h"
#include "sign-token.h"
#include "v1.h"
#include "verbs.h"

const char help_bundle[] =
	"put a diff, a kernel or both into one signed file\n"
	"\n"
	"usage: bowline bundle --board BOARD --version V -o OUT\n"
	"           [--old OLD.img] [--new NEW.img --diff DIFF] [--boot FIT]\n"
	"           {--key KEY | --signature FILE | --manifest-only}\n"
	"           [--hardware LIST] [--min-version V]\n"
	"\n"
	"  --board BOARD      the device's name for itself: BOARD= of its\n"
	"                     board file\n"
	"  --version V        of the new system: numbers joined by dots\n"
	"  --hardware LIST    revisions it is for, joined by commas: the\n"
	"                     device's is in its HARDWARE_FILE (any)\n"
	"  --min-version V    least version that may be updated (0)\n"
	"  --old, --new       the two system images; only their hashes are\n"
	"                     taken. Without --old the device's system is not\n"
	"                     looked at; a diff needs both\n"
	"  --diff DIFF        what 'bowline diff OLD.img NEW.img' made, in\n"
	"                     either format\n"
	"  --boot FIT         kernel and initramfs; without it the device\n"
	"                     keeps the kernel it runs\n"
	"  --key KEY          sign with this private key, ECDSA P-256 or RSA\n"
	"                     of 2048 to 8192 bits: a PEM file, not encrypted,\n"
	"                     or pkcs11:... , a key in a PKCS #11 token\n"
	"  --signature FILE   take a signature that was made elsewhere\n"
	"  --manifest-only    write only the text to be signed\n"
	"  -o, --output OUT   replaced only when it is complete\n"
	"\n"
	"Signing elsewhere, with the key in a safe place:\n"
	"\n"
	"  bowline bundle ... --manifest-only -o manifest\n"
	"  openssl dgst -sha256 -sign KEY.pem -out signature manifest\n"
	"  bowline bundle ... --signature signature -o OUT\n"
	"\n"
	"A key in a PKCS #11 token never leaves it: --key 'pkcs11:object=NAME'\n"
	"has openssl sign with its pkcs11 engine (libengine-pkcs11-openssl).\n"
	"Its PIN is in the file that ?pin-source=FILE behind the name says;\n"
	"PKCS11_MODULE_PATH is the token's library. The same by hand:\n"
	"\n"
	"  openssl dgst -sha256 -engine pkcs11 -keyform engine \\\n"
	"      -sign 'pkcs11:object=NAME' -out signature manifest\n"
	"\n"
	"The same inputs give the same manifest. Devices trust the public\n"
	"keys (openssl pkey -in KEY.pem -pubout) in their folder of keys.\n"
	"\n"
	"Exit status: 0 made, 1 failed and OUT is as it was, 2 usage.\n";

#define FDT_MAGIC     0xd00dfeed /* at byte 0, big-endian */
#define SOURCE_PIECES 1024	 /* about so many hashes of the old image */

struct build {
	const char *board, *version, *min_version, *hardware;
	const char *old, *new;
	const char *payload[PAYLOAD_KINDS]; /* files, or NULL */
	const char *key, *signature, *out;
	bool manifest_only;
	struct manifest manifest;
	struct bundle_head head;
	struct outfile file;
	uint64_t written; /* bytes of it */
	uint8_t *buf;	  /* MANIFEST_PIECE bytes */
};

/* ---- the manifest -------------------------------------------------------- */

/* Where the sizes of the pieces are known, what is hashed goes there. */
static int allot_pieces(struct payload *p, uint32_t piece_size)
{
	p->piece_size = piece_size;
	p->n_pieces = (p->size + piece_size - 1) / piece_size;
	p->piece = plat_alloc(p->n_pieces * sizeof(*p->piece));
	return p->piece ? 0 : error("out of memory for hashes");
}

/* Pieces of the old image are only to be named: so many are enough. */
static uint32_t source_piece(uint64_t size)
{
	uint32_t piece = MANIFEST_PIECE;

	while (size / piece >= SOURCE_PIECES && piece < MANIFEST_RANGE)
		piece *= 2;
	return piece;
}

/* Of piece i, and into the hash of the whole. */
static int hash_range(struct dev *dev, struct payload *p, uint32_t i,
		      struct sha256 *whole)
{
	uint64_t at = (uint64_t)i * p->piece_size;
	uint64_t end = at + piece_len(p, i);
	static uint8_t buf[64 << 10];
	struct sha256 piece;

	sha256_start(&piece);
	for (; at < end; at += sizeof(buf)) {
		size_t n = end - at < sizeof(buf) ? end - at : sizeof(buf);

		if (dev_read(dev, at, buf, n))
			return -1;
		sha256_add(&piece, buf, n);
		sha256_add(whole, buf, n);
		progress_update(at + n);
	}
	sha256_end(&piece, p->piece[i]);
	return 0;
}

static int hash_image(const char *path, const char *what, uint64_t *size,
		      uint8_t *hash)
{
	struct dev *dev = dev_open(path, DEV_READ);
	int r;

	if (!dev)
		return -1;
	*size = dev_size(dev);
	progress_start(what, *size);
	r = *size ? bundle_hash(dev, 0, *size, 0, hash)
		  : error("'%s' is empty", path);
	if (!r)
		progress_end();
	dev_close(dev);
	return r;
}

/* Piece by piece, for the device to tell where its own differs. */
static int hash_source(struct dev *dev, struct payload *p, uint8_t *hash)
{
	struct sha256 whole;

	progress_start("hashing the old image", p->size);
	sha256_start(&whole);
	for (uint32_t i = 0; i < p->n_pieces; i++)
		if (hash_range(dev, p, i, &whole))
			return -1;
	sha256_end(&whole, hash);
	progress_end();
	return 0;
}

static int describe_source(struct build *b)
{
	struct manifest *m = &b->manifest;
	struct dev *dev = dev_open(b->old, DEV_READ);
	int r = -1;

	if (!dev)
		return -1;
	m->source.size = dev_size(dev);
	if (!m->source.size)
		r = error("'%s' is empty", b->old);
	else if (!allot_pieces(&m->source, source_piece(m->source.size)))
		r = hash_source(dev, &m->source, m->source_hash);
	dev_close(dev);
	return r;
}

static int hash_pieces(struct build *b, struct dev *dev, struct payload *p)
{
	p->size = dev_size(dev);
	if (allot_pieces(p, MANIFEST_PIECE))
		return -1;
	for (uint32_t i = 0; i < p->n_pieces; i++)
		if (bundle_hash(dev, (uint64_t)i * MANIFEST_PIECE,
				piece_len(p, i), (uint64_t)i * MANIFEST_PIECE,
				p->piece[i]))
			return -1;
	return 0;
}

/* Format 1 tells all its structure beforehand, so that is looked at, too. */
static int check_directory(struct dev *dev)
{
	struct v1_reader reader;

	if (v1_open(&reader, dev))
		return -1;
	v1_close(&reader);
	return 0;
}

/* As the update target will read it. */
static int check_diff(struct build *b, struct dev *dev)
{
	struct manifest *m = &b->manifest;
	uint64_t size = dev_size(dev);
	int format = v1_format(dev);
	const char *why;

	if (format < 0)
		return -1;
	memset(b->buf, 0, PAYLOAD_HEAD);
	if (dev_read(dev, 0, b->buf, size < PAYLOAD_HEAD ? size : PAYLOAD_HEAD))
		return -1;
	if (payload_diff(b->buf, size, m, &m->payload[PAYLOAD_DIFF].room, &why))
		return error("'%s' is not a diff from '%s' to '%s': %s",
			     dev_name(dev), b->old, b->new, why);
	return format ? check_directory(dev) : 0;
}

/* A flattened device tree, as every FIT image is, and all of it. */
static int check_boot(struct dev *dev)
{
	__be32 head[2] = { 0 };

	if (dev_size(dev) >= sizeof(head) &&
	    dev_read(dev, 0, head, sizeof(head)))
		return -1;
	if (be32toh(head[0]) != FDT_MAGIC)
		return error("'%s' is not a FIT image", dev_name(dev));
	if (be32toh(head[1]) > dev_size(dev))
		return error("'%s' is not a whole FIT image: it has %llu bytes "
			     "of %u",
			     dev_name(dev), (unsigned long long)dev_size(dev),
			     be32toh(head[1]));
	return 0;
}

static int check_payload(struct build *b, enum payload_kind kind,
			 struct dev *dev)
{
	if (!dev_size(dev))
		return error("'%s' is empty", dev_name(dev));
	return kind == PAYLOAD_DIFF ? check_diff(b, dev) : check_boot(dev);
}

static int describe_payload(struct build *b, enum payload_kind kind)
{
	struct dev *dev;
	char what[32];
	int r;

	if (!b->payload[kind])
		return 0;
	snprintf(what, sizeof(what), "hashing the %s", payload_title(kind));
	dev = dev_open(b->payload[kind], DEV_READ);
	if (!dev)
		return -1;
	progress_start(what, dev_size(dev));
	r = check_payload(b, kind, dev);
	if (!r)
		r = hash_pieces(b, dev, &b->manifest.payload[kind]);
	if (!r)
		progress_end();
	dev_close(dev);
	return r;
}

static int describe(struct build *b)
{
	struct manifest *m = &b->manifest;

	strcpy(m->board, b->board);
	strcpy(m->hardware, b->hardware);
	strcpy(m->version, b->version);
	strcpy(m->min_version, b->min_version);
	sha256("", 0, m->source_hash); /* unless there are images */
	sha256("", 0, m->target_hash);
	if ((b->old && describe_source(b)) ||
	    (b->new &&hash_image(b->new, "hashing the new image",
				 &m->target_size, m->target_hash)))
		return -1;
	for (int kind = 0; kind < PAYLOAD_KINDS; kind++)
		if (describe_payload(b, kind))
			return -1;
	return 0;
}

/* ---- the signature ------------------------------------------------------- */

static int read_signature(const char *path, uint8_t *signature, size_t *len)
{
	struct dev *dev = dev_open(path, DEV_READ);
	int r;

	if (!dev)
		return -1;
	*len = dev_size(dev);
	if (!*len || *len > SIGNATURE_MAX)
		r = error("'%s' is not a signature: it has %zu bytes, expected "
			  "1 to %d",
			  path, *len, SIGNATURE_MAX);
	else
		r = dev_read(dev, 0, signature, *len);
	dev_close(dev);
	return r;
}

static int sign(const struct build *b, const char *text, size_t text_len,
		uint8_t *signature, size_t *len)
{
	if (!b->key)
		return read_signature(b->signature, signature, len);
	if (is_token(b->key))
		return token_sign(b->key, text, text_len, signature, len);
	return sign_text(b->key, text, text_len, signature, len);
}

static int make_head(struct build *b, const char *text, size_t text_len)
{
	uint8_t signature[SIGNATURE_MAX];
	char why[BUNDLE_WHY];
	size_t len;

	if (sign(b, text, text_len, signature, &len))
		return -1;
	if (bundle_head_make(&b->head, text, text_len, signature, len, why))
		return error("cannot make the bundle '%s': %s", b->out, why);
	return 0;
}

/* ---- the file ------------------------------------------------------------ */

static int put(struct build *b, const void *bytes, size_t len)
{
	if (outfile_write(&b->file, b->written, bytes, len))
		return -1;
	b->written += len;
	return 0;
}

/* The file was hashed before; it must still be the same. */
static int put_payload(struct build *b, const struct payload *p,
		       struct dev *dev)
{
	uint8_t hash[HASH_SIZE];

	progress_start("writing the bundle", p->size);
	for (uint32_t i = 0; i < p->n_pieces; i++) {
		uint32_t len = piece_len(p, i);
		uint32_t padded = bundle_padded(len);
		uint64_t at = (uint64_t)i * p->piece_size;

		if (dev_read(dev, at, b->buf, len))
			return -1;
		sha256(b->buf, len, hash);
		if (memcmp(hash, p->piece[i], HASH_SIZE))
			return error("'%s' changed while it was read",
				     dev_name(dev));
		memset(b->buf + len, 0, padded - len);
		if (put(b, b->buf, padded))
			return -1;
		progress_update(at);
	}
	progress_end();
	return 0;
}

static int put_bundle(struct build *b)
{
	if (put(b, b->head.bytes, b->head.size))
		return -1;
	for (int kind = 0; kind < PAYLOAD_KINDS; kind++) {
		struct dev *dev;
		int r;

		if (!b->payload[kind])
			continue;
		dev = dev_open(b->payload[kind], DEV_READ);
		if (!dev)
			return -1;
		r = put_payload(b, &b->manifest.payload[kind], dev);
		dev_close(dev);
		if (r)
			return -1;
	}
	return 0;
}

static int write_out(struct build *b, const char *text, size_t text_len)
{
	int r;

	if (outfile_begin(&b->file, b->out))
		return -1;
	r = b->manifest_only ? put(b, text, text_len) : put_bundle(b);
	return outfile_end(&b->file, r);
}

static int build(struct build *b)
{
	size_t len;
	char *text;
	int r = -1;

	b->buf = malloc(MANIFEST_PIECE);
	if (!b->buf)
		return error("out of memory");
	if (describe(b))
		goto free_buf;
	len = manifest_format(&b->manifest, NULL, 0);
	text = malloc(len);
	if (!text) {
		error("out of memory");
		goto free_buf;
	}
	manifest_format(&b->manifest, text, len);
	if (b->manifest_only || !make_head(b, text, len))
		r = write_out(b, text, len);
	if (!r && !b->manifest_only)
		say("update %s: '%s' has %llu bytes", b->head.id, b->out,
		    (unsigned long long)bundle_length(&b->head, &b->manifest));
	bundle_head_free(&b->head);
	free(text);
free_buf:
	manifest_free(&b->manifest);
	free(b->buf);
	return r;
}

/* ---- the arguments ------------------------------------------------------- */

static int check_contents(const struct build *b)
{
	const char *diff = b->payload[PAYLOAD_DIFF];

	if (!diff && !b->payload[PAYLOAD_BOOT])
		return usage_error("bundle", "expected --diff, --boot or both");
	if (diff && !(b->old && b->new))
		return usage_error("bundle",
				   "a diff needs its images: --old and --new");
	if (!diff && b->new)
		return usage_error("bundle", "--new is for a diff");
	return 0;
}

static int check_options(const struct build *b)
{
	const struct {
		const char *name, *value;
	} required[] = {
		{ "board", b->board },
		{ "version", b->version },
		{ "output", b->out },
	};

	for (size_t i = 0; i < sizeof(required) / sizeof(required[0]); i++)
		if (!required[i].value)
			return usage_error("bundle", "option '--%s' is missing",
					   required[i].name);
	if (check_contents(b))
		return 2;
	if (!!b->key + !!b->signature + b->manifest_only != 1)
		return usage_error("bundle", "expected one of --key, "
					     "--signature and --manifest-only");
	if (!board_name_valid(b->board))
		return usage_error("bundle",
				   "--board is '%s', expected letters, digits, "
				   "'.', '_' and '-'",
				   b->board);
	if (!hardware_valid(b->hardware))
		return usage_error("bundle",
				   "--hardware is '%s', expected names joined "
				   "by commas, at most %d bytes",
				   b->hardware, MANIFEST_LIST_MAX - 1);
	for (int i = 0; i < 2; i++) {
		const char *version = i ? b->min_version : b->version;

		if (!version_valid(version))
			return usage_error("bundle",
					   "--%sversion is '%s', expected "
					   "numbers joined by dots",
					   i ? "min-" : "", version);
	}
	return 0;
}

int cmd_bundle(int argc, char **argv)
{
	struct build b = { .min_version = "0", .hardware = MANIFEST_ANY };
	const struct opt opts[] = {
		{ "board", 0, &b.board, NULL },
		{ "version", 0, &b.version, NULL },
		{ "min-version", 0, &b.min_version, NULL },
		{ "hardware", 0, &b.hardware, NULL },
		{ "old", 0, &b.old, NULL },
		{ "new", 0, &b.new, NULL },
		{ "diff", 0, &b.payload[PAYLOAD_DIFF], NULL },
		{ "boot", 0, &b.payload[PAYLOAD_BOOT], NULL },
		{ "key", 0, &b.key, NULL },
		{ "signature", 0, &b.signature, NULL },
		{ "manifest-only", 0, NULL, &b.manifest_only },
		{ "output", 'o', &b.out, NULL },
		{ 0 },
	};

	if (options_parse("bundle", argc, argv, opts, "", NULL) ||
	    check_options(&b))
		return 2;
	return build(&b) ? 1 : 0;
}
