// SPDX-License-Identifier: GPL-2.0-or-later
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bundle.h"
#include "env.h"
#include "err.h"
#include "install.h"
#include "progress.h"
#include "stage.h"

typedef unsigned long long ull;

struct install {
	const struct board *board;
	bool allow_downgrade;
	struct env env;
	char running; /* slot */
	char slot;    /* the other one, to be written */
	struct bundle_stream stream;
	struct bundle_head head;
	struct manifest manifest;
	struct dev *system;
	struct dev *stage;
	struct dev *boot;	  /* of the slot to be written */
	struct dev *running_boot; /* opened when the bundle has no kernel */
	uint8_t *buf;		  /* MANIFEST_PIECE bytes */
};

/* ---- may this device be updated now? ------------------------------------- */

static int check_phase(const struct env *env)
{
	switch (env->phase) {
	case PHASE_TRIAL:
		return error("update '%s' is on trial in slot %c: 'bowline "
			     "commit' or 'bowline rollback' it first",
			     env->update, env->trial);
	case PHASE_COMMIT:
		return error(
			"update '%s' is committed but not merged: 'bowline "
			"merge --wait' first",
			env->update);
	case PHASE_ROLLBACK:
		return error("update '%s' is being rolled back: reboot first",
			     env->update);
	case PHASE_IDLE:
		break;
	}
	return 0;
}

/*
 * Until the trial is stored, the next boot must be one of the running slot:
 * the other's boot partition is being written.
 */
static int choose_slot(struct install *in)
{
	const struct env *env = &in->env;

	if (!in->running)
		in->running = env->order[0];
	in->slot = other_slot(in->running);
	if (env->order[0] == in->running ||
	    env->left[slot_index(in->slot)] == '0')
		return 0;
	return error("BOOT_ORDER '%s' chooses slot %c for the next boot, but "
		     "slot %c is running: reboot, or set BOOT_ORDER, first",
		     env->order, in->slot, in->running);
}

static int check_stage(struct install *in)
{
	struct stage_record rec;

	in->stage = dev_open(in->board->stage, DEV_WRITE);
	if (!in->stage)
		return -1;
	if (dev_size(in->stage) <= STAGE_PAYLOAD)
		return error("the stage '%s' is too small: it has %llu bytes, "
			     "at least %u are needed",
			     dev_name(in->stage), (ull)dev_size(in->stage),
			     STAGE_PAYLOAD + BUNDLE_ALIGN);
	if (stage_read(in->stage, &rec))
		return -1;
	if (rec.phase == STAGE_COMMIT)
		return error(
			"update '%s' may be half merged into '%s': reboot, "
			"so that it is finished",
			rec.id, in->board->system);
	if (in->env.lost && rec.phase != STAGE_EMPTY)
		return error("the environment is lost and update '%s' is "
			     "staged: reboot, so that this is resolved",
			     rec.id);
	return 0;
}

static int check_device(struct install *in)
{
	if (env_read(&in->env) || check_phase(&in->env) || choose_slot(in))
		return -1;
	return check_stage(in);
}

/* ---- is this bundle for it? ---------------------------------------------- */

/* The value of IMAGE_VERSION=, perhaps in quotes, from the version file. */
static int running_version(const char *path, char *version)
{
	FILE *f = fopen(path, "re");
	char line[256], value[MANIFEST_NAME_MAX];

	if (!f)
		return error_errno("cannot open the version file '%s'", path);
	version[0] = 0;
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "IMAGE_VERSION=%*[\"']%63[0-9.]", value) ==
			    1 ||
		    sscanf(line, "IMAGE_VERSION=%63[0-9.]", value) == 1)
			strcpy(version, value);
	fclose(f);
	if (!version_valid(version))
		return error("'%s' has no line IMAGE_VERSION=N with numbers "
			     "joined by dots",
			     path);
	return 0;
}

static int check_version(struct install *in)
{
	const struct manifest *m = &in->manifest;
	char now[MANIFEST_NAME_MAX];

	if (running_version(in->board->version_file, now))
		return -1;
	if (version_compare(now, m->min_version) < 0)
		return error("version %s cannot be updated to %s: at least "
			     "version %s is needed",
			     now, m->version, m->min_version);
	if (version_compare(m->version, now) < 0 && !in->allow_downgrade)
		return error("the bundle holds version %s, older than the "
			     "running %s: --allow-downgrade permits it",
			     m->version, now);
	return 0;
}

/* Parsed only once its signature is known to be good. */
static int check_manifest(struct install *in)
{
	const struct bundle_head *head = &in->head;
	struct manifest *m = &in->manifest;
	char message[MANIFEST_MESSAGE];

	if (verify_signature(in->board->keys, head->manifest,
			     head->manifest_size, head->signature,
			     head->signature_size))
		return -1;
	if (manifest_parse(m, head->manifest, head->manifest_size, message))
		return error("the manifest in '%s' is wrong, %s",
			     in->stream.name, message);
	if (strcmp(m->board, in->board->name))
		return error("the bundle is for board '%s', this is '%s'",
			     m->board, in->board->name);
	if (!m->payload[PAYLOAD_DIFF].size)
		return error("the bundle '%s' has no diff", in->stream.name);
	return check_version(in);
}

static int check_room(struct dev *dev, const char *what, uint64_t need)
{
	if (dev_size(dev) >= need)
		return 0;
	return error("'%s' is too small for %s: %llu bytes are needed, it has "
		     "%llu",
		     dev_name(dev), what, (ull)need, (ull)dev_size(dev));
}

/* The kernel comes from the bundle, or stays the one that is running. */
static int check_boot(struct install *in)
{
	uint64_t size = in->manifest.payload[PAYLOAD_BOOT].size;

	in->boot = dev_open(in->board->boot[slot_index(in->slot)], DEV_WRITE);
	if (!in->boot)
		return -1;
	if (size)
		return check_room(in->boot, "the kernel of the update",
				  bundle_padded(size));
	in->running_boot =
		dev_open(in->board->boot[slot_index(in->running)], DEV_READ);
	if (!in->running_boot)
		return -1;
	return check_room(in->boot, "the running kernel",
			  dev_size(in->running_boot));
}

static int check_sizes(struct install *in)
{
	const struct manifest *m = &in->manifest;
	uint64_t diff = bundle_padded(m->payload[PAYLOAD_DIFF].size);

	in->system = dev_open(in->board->system, DEV_READ);
	if (!in->system || check_boot(in))
		return -1;
	if (check_room(in->stage, "the diff", STAGE_PAYLOAD + diff) ||
	    check_room(in->system, "the old system", m->source_size) ||
	    check_room(in->system, "the new system", m->target_size))
		return -1;
	return bundle_check_length(&in->stream, bundle_length(&in->head, m));
}

/*
 * The root is a device-mapper device over the system partition, and a merge
 * writes to the partition below its page cache: so the cache goes first.
 */
static int check_base(struct install *in)
{
	const struct manifest *m = &in->manifest;
	uint8_t hash[HASH_SIZE];

	if (dev_drop_cache(in->system))
		return -1;
	progress_start("checking the base", m->source_size);
	if (bundle_hash(in->system, 0, m->source_size, 0, hash))
		return -1;
	progress_end();
	if (!memcmp(hash, m->source_hash, HASH_SIZE))
		return 0;
	return error("the system in '%s' is not the one the update was made "
		     "from: its SHA-256 is %02x%02x%02x%02x..., the bundle "
		     "expects %02x%02x%02x%02x...",
		     dev_name(in->system), hash[0], hash[1], hash[2], hash[3],
		     m->source_hash[0], m->source_hash[1], m->source_hash[2],
		     m->source_hash[3]);
}

static int check_bundle(struct install *in)
{
	if (bundle_read_head(&in->stream, &in->head) || check_manifest(in) ||
	    check_sizes(in))
		return -1;
	return check_base(in);
}

/* ---- writing it ---------------------------------------------------------- */

/* Piece i with the zeros behind the last one; nothing unchecked is written. */
static int receive_piece(struct install *in, enum payload_kind kind, u32 i,
			 struct dev *to, uint64_t at)
{
	const struct payload *p = &in->manifest.payload[kind];
	uint32_t len = piece_len(p, i);
	uint32_t padded = bundle_padded(len);
	uint8_t hash[HASH_SIZE];

	if (bundle_read(&in->stream, in->buf, padded))
		return -1;
	sha256(in->buf, len, hash);
	if (memcmp(hash, p->piece[i], HASH_SIZE))
		return error("piece %u of the %s in '%s' is not what its "
			     "manifest says",
			     i + 1, payload_title(kind), in->stream.name);
	if (!bundle_zeros(in->buf + len, padded - len))
		return error("the %s in '%s' is not followed by zeros",
			     payload_title(kind), in->stream.name);
	return dev_write(to, at, in->buf, padded);
}

static int receive(struct install *in, enum payload_kind kind, struct dev *to,
		   uint64_t offset)
{
	const struct payload *p = &in->manifest.payload[kind];
	char what[32];

	snprintf(what, sizeof(what), "writing the %s", payload_title(kind));
	progress_start(what, p->size);
	for (uint32_t i = 0; i < p->n_pieces; i++) {
		uint64_t at = (uint64_t)i * p->piece_size;

		if (receive_piece(in, kind, i, to, offset + at))
			return -1;
		progress_update(at);
	}
	progress_end();
	return 0;
}

/* One step over both boot partitions, MANIFEST_PIECE bytes at most. */
static int copy_boot(struct install *in)
{
	uint64_t size = dev_size(in->running_boot);

	progress_start("copying the kernel", size);
	for (uint64_t at = 0; at < size; at += MANIFEST_PIECE) {
		size_t n =
			size - at < MANIFEST_PIECE ? size - at : MANIFEST_PIECE;

		if (dev_read(in->running_boot, at, in->buf, n) ||
		    dev_write(in->boot, at, in->buf, n))
			return -1;
		progress_update(at);
	}
	progress_end();
	return 0;
}

static int write_payloads(struct install *in)
{
	if (receive(in, PAYLOAD_DIFF, in->stage, STAGE_PAYLOAD))
		return -1;
	if (in->running_boot ? copy_boot(in)
			     : receive(in, PAYLOAD_BOOT, in->boot, 0))
		return -1;
	return bundle_expect_end(&in->stream);
}

static int compare_payload(struct install *in, enum payload_kind kind,
			   struct dev *dev, uint64_t offset)
{
	const struct payload *p = &in->manifest.payload[kind];
	uint32_t bad;

	progress_start("reading it back", p->size);
	bad = bundle_bad_piece(dev, offset, p);
	if (bad)
		return error("'%s' does not hold what was written: piece %u of "
			     "the %s differs",
			     dev_name(dev), bad, payload_title(kind));
	progress_end();
	return 0;
}

static int compare_head(struct install *in)
{
	const struct bundle_head *head = &in->head;

	for (size_t at = 0; at < head->size; at += BUNDLE_ALIGN)
		if (dev_read(in->stage, STAGE_HEAD + at, in->buf, BUNDLE_ALIGN))
			return -1;
		else if (memcmp(in->buf, head->bytes + at, BUNDLE_ALIGN))
			return error("'%s' does not hold what was written: the "
				     "head of the bundle differs",
				     dev_name(in->stage));
	return 0;
}

static int compare_boot(struct install *in)
{
	uint64_t size = dev_size(in->running_boot);
	uint8_t want[HASH_SIZE], got[HASH_SIZE];

	progress_start("reading it back", 2 * size);
	if (bundle_hash(in->running_boot, 0, size, 0, want) ||
	    bundle_hash(in->boot, 0, size, size, got))
		return -1;
	progress_end();
	if (!memcmp(want, got, HASH_SIZE))
		return 0;
	return error("'%s' does not hold what was written: it differs from "
		     "'%s'",
		     dev_name(in->boot), dev_name(in->running_boot));
}

/* From the medium, as the initramfs and U-Boot will read it. */
static int read_back(struct install *in)
{
	if (dev_drop_cache(in->stage) || dev_drop_cache(in->boot) ||
	    compare_head(in) ||
	    compare_payload(in, PAYLOAD_DIFF, in->stage, STAGE_PAYLOAD))
		return -1;
	return in->running_boot
		       ? compare_boot(in)
		       : compare_payload(in, PAYLOAD_BOOT, in->boot, 0);
}

/* The record on the medium is the one that the trial will look for. */
static int check_record(struct install *in)
{
	struct stage_record rec;

	if (dev_drop_cache(in->stage) || stage_read(in->stage, &rec))
		return -1;
	if (rec.phase == STAGE_TRIAL && !strcmp(rec.id, in->head.id))
		return 0;
	return error("'%s' does not hold what was written: its record differs",
		     dev_name(in->stage));
}

/*
 * The order of durability. The stage vouches for nothing before its bytes may
 * change; it vouches for the update when that is on the medium; and only the
 * last step makes the next boot another one. docs/STATES.md has a line a step.
 */
static int write_update(struct install *in)
{
	const struct stage_record none = { .phase = STAGE_EMPTY,
					   .base = in->running };
	struct stage_record staged = {
		.phase = STAGE_TRIAL,
		.base = in->running,
		.payload = in->manifest.payload[PAYLOAD_DIFF].size,
		.image = in->manifest.target_size,
	};

	strcpy(staged.id, in->head.id);
	if (stage_write(in->stage, &none) || write_payloads(in) ||
	    dev_write(in->stage, STAGE_HEAD, in->head.bytes, in->head.size) ||
	    dev_flush(in->stage) || dev_flush(in->boot) || read_back(in) ||
	    stage_write(in->stage, &staged) || check_record(in))
		return -1;
	return env_store_trial(&in->env, in->slot, in->head.id);
}

/* ---- the whole ----------------------------------------------------------- */

static void what_next(const struct install *in)
{
	say("update %s (version %s) is installed in slot %c", in->head.id,
	    in->manifest.version, in->slot);
	say("reboot to try it: it has %u attempts to be committed, then slot "
	    "%c returns",
	    in->env.attempts, in->running);
	say("'bowline rollback' drops it");
}

static void clean_up(struct install *in)
{
	free(in->buf);
	dev_close(in->running_boot);
	dev_close(in->boot);
	dev_close(in->system);
	dev_close(in->stage);
	manifest_free(&in->manifest);
	bundle_head_free(&in->head);
	bundle_close(&in->stream);
}

int install_bundle(const struct board *board, char running, const char *path,
		   bool allow_downgrade)
{
	struct install in = { .board = board,
			      .running = running,
			      .allow_downgrade = allow_downgrade };
	int r = -1;

	if (bundle_open(&in.stream, path))
		return -1;
	in.buf = malloc(MANIFEST_PIECE);
	if (!in.buf)
		error("out of memory installing '%s'", path);
	else if (!check_device(&in) && !check_bundle(&in))
		r = write_update(&in);
	if (!r)
		what_next(&in);
	clean_up(&in);
	return r;
}
