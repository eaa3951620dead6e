// SPDX-License-Identifier: GPL-2.0-or-later
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "err.h"
#include "install-check.h"
#include "progress.h"

typedef unsigned long long ull;

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

int install_check_device(struct install *in)
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

/* The first line of the board's HARDWARE_FILE, up to a NUL (device tree). */
static int read_revision(const char *path, char *revision, size_t room)
{
	FILE *f = fopen(path, "re");

	if (!f)
		return error_errno("cannot open the hardware file '%s'", path);
	if (!fgets(revision, room, f))
		revision[0] = 0;
	fclose(f);
	revision[strcspn(revision, "\r\n")] = 0;
	return 0;
}

static int check_hardware(struct install *in)
{
	const char *path = in->board->hardware_file;
	const char *list = in->manifest.hardware;
	char revision[MANIFEST_NAME_MAX] = "";

	if (!strcmp(list, MANIFEST_ANY))
		return 0;
	if (path[0] && read_revision(path, revision, sizeof(revision)))
		return -1;
	if (!revision[0])
		return error("the bundle is for hardware '%s', and this device "
			     "does not know its own (HARDWARE_FILE)",
			     list);
	if (hardware_listed(list, revision))
		return 0;
	return error("the bundle is for hardware '%s', this is '%s'", list,
		     revision);
}

#define HEAD_TRIES 4  /* of a head that a link damages */
#define HEAD_PAUSE 1u /* seconds after the first; doubled from then on */

/* Into why what is wrong with the head; NULL: a trusted key vouches for it. */
static int try_head(struct install *in, char *layout, const char **why)
{
	struct bundle_head *head = &in->head;

	*why = NULL;
	if (bundle_try_head(&in->stream, head, layout)) {
		*why = layout;
		return layout[0] ? 0 : -1;
	}
	if (!signature_trusted(in->board->keys, head->manifest,
			       head->manifest_size, head->signature,
			       head->signature_size))
		*why = "the signature is by no trusted key";
	return 0;
}

/*
 * A link may damage the head as it may a piece, and only the last try says what
 * is wrong: check_manifest() does, or bundle_read_head().
 */
static int read_head(struct install *in)
{
	unsigned int pause = HEAD_PAUSE;
	char layout[BUNDLE_WHY];
	const char *why;

	if (!stream_again(&in->stream))
		return bundle_read_head(&in->stream, &in->head);
	for (int tries = 1; tries < HEAD_TRIES; tries++, pause *= 2) {
		if (try_head(in, layout, &why))
			return -1;
		if (!why)
			return 0;
		say("the head of '%s' is wrong, %s: asking for it again",
		    in->stream.name, why);
		bundle_head_free(&in->head);
		sleep(pause);
		if (stream_seek(&in->stream, 0))
			return -1;
	}
	return bundle_read_head(&in->stream, &in->head);
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
	if (check_hardware(in))
		return -1;
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

static int check_system(struct install *in)
{
	const struct manifest *m = &in->manifest;

	in->system = dev_open(in->board->system, DEV_READ);
	if (!in->system ||
	    check_room(in->system, "the old system", m->source.size))
		return -1;
	return check_room(in->system, "the new system", m->target_size);
}

static int check_sizes(struct install *in)
{
	const struct manifest *m = &in->manifest;
	const struct payload *diff = &m->payload[PAYLOAD_DIFF];

	if (check_boot(in) ||
	    ((diff->size || m->source.size) && check_system(in)) ||
	    check_room(in->stage, "the diff and its merge",
		       install_progress_at(m) + diff->room))
		return -1;
	return stream_check_length(&in->stream, bundle_length(&in->head, m));
}

/* ---- is the system the one it was made from? ----------------------------- */

#define NAMED_RANGES 4 /* of those that differ */

/* "bytes A to B, C to D and more", of pieces that lie together. */
struct ranges {
	unsigned int n;
	uint64_t bytes;
	uint64_t end; /* of the last range */
	char text[160];
};

static void add_range(struct ranges *r, uint64_t at, uint64_t len)
{
	size_t used = strlen(r->text);

	r->bytes += len;
	if (r->n && r->end == at) {
		r->end += len;
		return;
	}
	if (r->n && r->n <= NAMED_RANGES)
		snprintf(r->text + used, sizeof(r->text) - used, " to %llu",
			 (ull)r->end - 1);
	used = strlen(r->text);
	if (r->n < NAMED_RANGES)
		snprintf(r->text + used, sizeof(r->text) - used, "%s%llu",
			 r->n ? ", " : "", (ull)at);
	r->n++;
	r->end = at + len;
}

static void end_ranges(struct ranges *r)
{
	size_t used = strlen(r->text);

	if (r->n <= NAMED_RANGES)
		snprintf(r->text + used, sizeof(r->text) - used, " to %llu",
			 (ull)r->end - 1);
	else
		snprintf(r->text + used, sizeof(r->text) - used,
			 " and %u ranges more", r->n - NAMED_RANGES);
}

static int compare_base(struct install *in, struct ranges *differ)
{
	const struct payload *p = &in->manifest.source;
	uint8_t hash[HASH_SIZE];

	for (uint32_t i = 0; i < p->n_pieces; i++) {
		uint64_t at = (uint64_t)i * p->piece_size;
		uint32_t len = piece_len(p, i);

		if (bundle_hash(in->system, at, len, at, hash))
			return -1;
		if (memcmp(hash, p->piece[i], HASH_SIZE))
			add_range(differ, at, len);
	}
	return 0;
}

/*
 * The root is a device-mapper device over the system partition, and a merge
 * writes to the partition below its page cache: so the cache goes first.
 */
static int check_base(struct install *in)
{
	struct ranges differ = { 0 };

	if (!in->manifest.source.size)
		return 0;
	if (dev_drop_cache(in->system))
		return -1;
	progress_start("checking the base", in->manifest.source.size);
	if (compare_base(in, &differ))
		return -1;
	progress_end();
	if (!differ.n)
		return 0;
	end_ranges(&differ);
	return error("the system in '%s' is not the one the update was made "
		     "from: %llu of %llu bytes are in pieces that differ: %s",
		     dev_name(in->system), (ull)differ.bytes,
		     (ull)in->manifest.source.size, differ.text);
}

int install_check_bundle(struct install *in)
{
	if (read_head(in) || check_manifest(in) || check_sizes(in))
		return -1;
	return check_base(in);
}
