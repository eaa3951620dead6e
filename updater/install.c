// SPDX-License-Identifier: GPL-2.0-or-later
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bowline-format.h"
#include "err.h"
#include "install.h"
#include "install-check.h"
#include "install-pieces.h"
#include "payload.h"
#include "progress.h"

typedef unsigned long long ull;

/* ---- a payload ----------------------------------------------------------- */

static bool has_diff(const struct install *in)
{
	return in->manifest.payload[PAYLOAD_DIFF].size;
}

/*
 * How many pieces at its beginning are there already: of an installation that
 * was cut short, before a reboot perhaps.
 */
static uint32_t pieces_there(struct install *in, enum payload_kind kind,
			     struct dev *dev, uint64_t offset)
{
	const struct payload *p = &in->manifest.payload[kind];
	uint32_t bad, n;

	progress_start("looking what is there", p->size);
	bad = bundle_bad_piece(dev, offset, p);
	progress_end();
	n = bad ? bad - 1 : p->n_pieces;
	if (n)
		say("%u of %u pieces of the %s are there already", n,
		    p->n_pieces, payload_title(kind));
	return n;
}

/*
 * The last look before anything is written: is the diff one between the images
 * of the manifest, and has its merge the room that the stage was checked for?
 */
static int check_diff(struct install *in)
{
	const struct payload *p = &in->manifest.payload[PAYLOAD_DIFF];
	const char *why;
	uint64_t room;

	in->there[PAYLOAD_DIFF] =
		pieces_there(in, PAYLOAD_DIFF, in->stage, STAGE_PAYLOAD);
	if (in->there[PAYLOAD_DIFF]
		    ? dev_read(in->stage, STAGE_PAYLOAD, in->buf,
			       bundle_padded(piece_len(p, 0)))
		    : receive_piece(in, PAYLOAD_DIFF, 0, in->buf))
		return -1;
	in->first_read = !in->there[PAYLOAD_DIFF];
	if (payload_diff(in->buf, p->size, &in->manifest, &room, &why))
		return error("the diff in '%s' cannot be used: %s",
			     in->stream.name, why);
	if (room == p->room)
		return 0;
	return error("the merge of the diff in '%s' takes %llu bytes, its "
		     "manifest says %llu",
		     in->stream.name, (ull)room, (ull)p->room);
}

static int receive_boot(struct install *in)
{
	in->there[PAYLOAD_BOOT] = pieces_there(in, PAYLOAD_BOOT, in->boot, 0);
	return receive_payload(in, PAYLOAD_BOOT, in->boot, 0);
}

/* ---- writing it ---------------------------------------------------------- */

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

/*
 * What the merge of an earlier update, of the same one perhaps, left there
 * would be believed by the next.
 */
static int forget_progress(struct install *in)
{
	static const uint8_t none[2 * UPDATE1_RECORD_SIZE];

	return dev_write(in->stage, install_progress_at(&in->manifest), none,
			 sizeof(none));
}

static int write_diff(struct install *in)
{
	if (!has_diff(in))
		return 0;
	return receive_payload(in, PAYLOAD_DIFF, in->stage, STAGE_PAYLOAD) ||
	       forget_progress(in);
}

static int write_payloads(struct install *in)
{
	if (write_diff(in) ||
	    (in->running_boot ? copy_boot(in) : receive_boot(in)) ||
	    stream_seek(&in->stream, bundle_length(&in->head, &in->manifest)))
		return -1;
	return stream_expect_end(&in->stream);
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

static int compare_progress(struct install *in)
{
	const size_t len = 2 * UPDATE1_RECORD_SIZE;

	if (dev_read(in->stage, install_progress_at(&in->manifest), in->buf,
		     len))
		return -1;
	return bundle_zeros(in->buf, len)
		       ? 0
		       : error("'%s' does not hold what was written: there is "
			       "progress of an earlier merge",
			       dev_name(in->stage));
}

static int compare_diff(struct install *in)
{
	return compare_progress(in) ||
	       compare_payload(in, PAYLOAD_DIFF, in->stage, STAGE_PAYLOAD);
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
	    compare_head(in) || (has_diff(in) && compare_diff(in)))
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
	if (has_diff(in))
		staged.progress = install_progress_at(&in->manifest);
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
	for (int kind = 0; kind < PAYLOAD_KINDS; kind++)
		free(in->sums[kind]);
	free(in->buf);
	dev_close(in->running_boot);
	dev_close(in->boot);
	dev_close(in->system);
	dev_close(in->stage);
	manifest_free(&in->manifest);
	bundle_head_free(&in->head);
	stream_close(&in->stream);
}

static int install(struct install *in)
{
	if (install_check_device(in) || install_check_bundle(in) ||
	    (has_diff(in) && check_diff(in)) || write_update(in))
		return -1;
	what_next(in);
	return 0;
}

int install_bundle(const struct board *board, char running, const char *path,
		   const struct install_options *options)
{
	struct install in = { .board = board,
			      .running = running,
			      .allow_downgrade = options->allow_downgrade };
	int r;

	if (stream_open(&in.stream, path, &options->stream))
		return -1;
	in.buf = malloc(MANIFEST_PIECE);
	r = in.buf ? install(&in)
		   : error("out of memory installing '%s'", path);
	clean_up(&in);
	return r;
}
