// SPDX-License-Identifier: GPL-2.0-or-later
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bundle.h"
#include "err.h"
#include "options.h"
#include "payload.h"
#include "progress.h"
#include "verbs.h"

const char help_info[] =
	"say what is in a bundle, and whether it is whole\n"
	"\n"
	"usage: bowline info [--keys FOLDER] [--ca FILE] BUNDLE\n"
	"\n"
	"BUNDLE is a file, a URL, or '-' for standard input. All of it is\n"
	"read, and every piece checked against the manifest.\n"
	"\n"
	"  --keys FOLDER   trusted public keys (*.pem): the signature must be\n"
	"                  by one of them. Without it nobody vouches for the\n"
	"                  manifest\n"
	"  --ca FILE       certificates to trust for https, instead of those\n"
	"                  in /etc/ssl/certs\n"
	"\n"
	"Exit status: 0 it is whole, 1 it is not, 2 usage.\n";

struct info {
	const char *keys;
	struct stream stream;
	struct bundle_head head;
	struct manifest manifest;
	uint8_t *buf; /* MANIFEST_PIECE bytes */
};

/* ---- what it says -------------------------------------------------------- */

static void line(const char *name, const char *value)
{
	printf("%-12s %s\n", name, value);
}

static void image_line(const char *name, uint64_t size, const uint8_t *hash)
{
	char text[24 + 16 + 2 * HASH_SIZE];
	int n;

	if (!size) {
		line(name, "-");
		return;
	}
	n = sprintf(text, "%llu bytes, ", (unsigned long long)size);
	for (int i = 0; i < HASH_SIZE; i++)
		n += sprintf(text + n, "%02x", hash[i]);
	line(name, text);
}

static void payload_line(enum payload_kind kind, const struct payload *p)
{
	char text[96];
	int n;

	if (!p->size)
		return;
	n = snprintf(text, sizeof(text), "%llu bytes",
		     (unsigned long long)p->size);
	if (kind == PAYLOAD_DIFF)
		snprintf(text + n, sizeof(text) - n,
			 ", its merge takes %llu more",
			 (unsigned long long)p->room);
	line(payload_title(kind), text);
}

static void print_manifest(const struct info *in)
{
	const struct manifest *m = &in->manifest;

	line("update", in->head.id);
	line("board", m->board);
	line("hardware", m->hardware);
	line("version", m->version);
	line("from version", m->min_version);
	image_line("old image", m->source.size, m->source_hash);
	image_line("new image", m->target_size, m->target_hash);
	for (int kind = 0; kind < PAYLOAD_KINDS; kind++)
		payload_line(kind, &m->payload[kind]);
	line("signature", in->keys ? "by a trusted key" : "not looked at");
}

/* ---- whether it is so ---------------------------------------------------- */

/* As an installation would: nothing unsigned is parsed if there are keys. */
static int read_manifest(struct info *in)
{
	const struct bundle_head *head = &in->head;
	char message[MANIFEST_MESSAGE];

	if (bundle_read_head(&in->stream, &in->head))
		return -1;
	if (in->keys &&
	    verify_signature(in->keys, head->manifest, head->manifest_size,
			     head->signature, head->signature_size))
		return -1;
	if (manifest_parse(&in->manifest, head->manifest, head->manifest_size,
			   message))
		return error("the manifest in '%s' is wrong, %s",
			     in->stream.name, message);
	return stream_check_length(&in->stream,
				   bundle_length(head, &in->manifest));
}

static int check_first(struct info *in, enum payload_kind kind)
{
	const struct payload *p = &in->manifest.payload[kind];
	const char *why;
	uint64_t room;

	if (kind != PAYLOAD_DIFF)
		return 0;
	if (payload_diff(in->buf, p->size, &in->manifest, &room, &why))
		return error("the diff in '%s' cannot be used: %s",
			     in->stream.name, why);
	return room == p->room
		       ? 0
		       : error("the merge of the diff in '%s' takes %llu "
			       "bytes, its manifest says %llu",
			       in->stream.name, (unsigned long long)room,
			       (unsigned long long)p->room);
}

static int check_payload(struct info *in, enum payload_kind kind)
{
	const struct payload *p = &in->manifest.payload[kind];
	const char *why;

	for (u32 i = 0; i < p->n_pieces; i++) {
		if (stream_read(&in->stream, in->buf,
				bundle_padded(piece_len(p, i))))
			return -1;
		why = bundle_wrong_piece(p, i, in->buf);
		if (why)
			return error("piece %u of the %s in '%s' %s", i + 1,
				     payload_title(kind), in->stream.name, why);
		if (!i && check_first(in, kind))
			return -1;
		progress_update(in->stream.offset);
	}
	return 0;
}

static int check_payloads(struct info *in)
{
	progress_start("checking the bundle",
		       bundle_length(&in->head, &in->manifest));
	for (int kind = 0; kind < PAYLOAD_KINDS; kind++)
		if (check_payload(in, kind))
			return -1;
	if (stream_expect_end(&in->stream))
		return -1;
	progress_end();
	return 0;
}

static int info(struct info *in)
{
	int r = -1;

	in->buf = malloc(MANIFEST_PIECE);
	if (!in->buf)
		error("out of memory");
	else if (!read_manifest(in) && !check_payloads(in))
		r = 0;
	if (!r)
		print_manifest(in);
	free(in->buf);
	manifest_free(&in->manifest);
	bundle_head_free(&in->head);
	stream_close(&in->stream);
	return r;
}

int cmd_info(int argc, char **argv)
{
	struct stream_options link = { .retries = STREAM_RETRIES,
				       .timeout = STREAM_TIMEOUT };
	struct info in = { 0 };
	const char *path;
	const struct opt opts[] = {
		{ "keys", 0, &in.keys, NULL },
		{ "ca", 0, &link.ca, NULL },
		{ 0 },
	};

	if (options_parse("info", argc, argv, opts, "BUNDLE", &path))
		return 2;
	if (stream_open(&in.stream, path, &link) || info(&in))
		return 1;
	return 0;
}
