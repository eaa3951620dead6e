// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What a bundle consists of before anybody vouches for it, any bytes. The first
 * one says what the others are: the beginning of a bundle, a manifest, a
 * signature, a public key. What is taken for a manifest has one spelling.
 */
#define _GNU_SOURCE
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bundle.h"
#include "fuzz.h"
#include "payload.h"

static const char text[] = "signed\n";
static char folder[] = "/tmp/bowline-fuzz-XXXXXX";
static char key[sizeof(folder) + 8];

static void drop_folder(void)
{
	unlink(key);
	rmdir(folder);
}

int LLVMFuzzerInitialize(int *argc, char ***argv);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	must(mkdtemp(folder));
	sprintf(key, "%s/key.pem", folder);
	atexit(drop_folder);
	return 0;
}

static void save_key(const void *bytes, size_t len)
{
	FILE *f = fopen(key, "w");

	must(f && fwrite(bytes, 1, len, f) == len && !fclose(f));
}

/* A manifest that is taken is the same when it is written again. */
static void check_manifest(const char *bytes, size_t len)
{
	char message[MANIFEST_MESSAGE], *back;
	struct manifest m;

	if (manifest_parse(&m, bytes, len, message)) {
		must(memchr(message, 0, sizeof(message)));
		return;
	}
	must(manifest_format(&m, NULL, 0) == len);
	back = malloc(len);
	must(back);
	manifest_format(&m, back, len);
	must(!memcmp(back, bytes, len));
	free(back);
	must(board_name_valid(m.board) && version_valid(m.version));
	must(hardware_valid(m.hardware));
	manifest_free(&m);
}

static void check_head(const uint8_t *data, size_t size)
{
	struct stream s = { .fd = memfd_create("bundle", 0), .name = "fuzz" };
	struct bundle_head head;

	must(s.fd >= 0 && write(s.fd, data, size) == (ssize_t)size);
	lseek(s.fd, 0, SEEK_SET);
	if (!bundle_read_head(&s, &head)) {
		must(head.size <= STAGE_HEAD_MAX && head.size <= size);
		must(!memcmp(head.bytes, data, head.size));
		must(strlen(head.id) == UPDATE_ID_LEN);
		check_manifest(head.manifest, head.manifest_size);
		bundle_head_free(&head);
	}
	close(s.fd);
}

/* Nobody here has the private key. */
static void check_signature(const uint8_t *data, size_t size)
{
	static const char pem[] =
		"-----BEGIN PUBLIC KEY-----\n"
		"MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEseyMYRBJrT5ytz/5iTjsEtJH5fh5"
		"\n"
		"WNdC6xn/dsBNULSjoowqSz1rLf98PrdYNK/sas+bBPiDU3mYdR50k1lYqA==\n"
		"-----END PUBLIC KEY-----\n";

	save_key(pem, sizeof(pem) - 1);
	must(verify_signature(folder, text, sizeof(text) - 1, data, size));
}

static void check_key(const uint8_t *data, size_t size)
{
	static const uint8_t signature[64] = { 0x30, 62 };

	save_key(data, size);
	must(verify_signature(folder, text, sizeof(text) - 1, signature,
			      sizeof(signature)));
}

/* The first bytes of a diff, against a manifest that knows no image. */
static void check_diff(const uint8_t *data, size_t size)
{
	const struct manifest m = { .source.size = 1, .target_size = 1 << 20 };
	uint8_t head[PAYLOAD_HEAD] = { 0 };
	const char *why = NULL;
	uint64_t room;

	memcpy(head, data, size < sizeof(head) ? size : sizeof(head));
	if (payload_diff(head, 1 << 20, &m, &room, &why))
		must(why);
	else
		must(room >= MANIFEST_ROOM_LEAST && room % BUNDLE_ALIGN == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const checks[])(const uint8_t *, size_t) = {
		check_head,
		check_signature,
		check_key,
		check_diff,
	};
	uint8_t kind;

	if (!size)
		return 0;
	kind = *data++ % 5;
	size--;
	if (kind == 4)
		check_manifest((const char *)data, size);
	else
		checks[kind](data, size);
	return 0;
}
