/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What `install` looks at before it writes: the device, the bundle, and whether
 * they fit. install.c writes.
 */
#ifndef BOWLINE_INSTALL_CHECK_H
#define BOWLINE_INSTALL_CHECK_H

#include "board.h"
#include "bundle.h"
#include "env.h"
#include "io.h"

struct install {
	const struct board *board;
	bool allow_downgrade;
	struct env env;
	char running; /* slot */
	char slot;    /* the other one, to be written */
	struct stream stream;
	struct bundle_head head;
	struct manifest manifest;
	struct dev *system; /* opened when the bundle knows of one */
	struct dev *stage;
	struct dev *boot;	  /* of the slot to be written */
	struct dev *running_boot; /* opened when the bundle has no kernel */
	uint8_t *buf;		  /* MANIFEST_PIECE bytes */
	bool first_read;	  /* the first piece of the diff is in it */
	/* Of each payload: pieces that are in place already, sums of the rest.
	 */
	uint32_t there[PAYLOAD_KINDS];
	uint32_t *sums[PAYLOAD_KINDS];
};

/* Behind the diff: the records of the merge, and what it saves. */
static inline uint64_t install_progress_at(const struct manifest *m)
{
	return STAGE_PAYLOAD + bundle_padded(m->payload[PAYLOAD_DIFF].size);
}

/* May this device be updated now? Opens the stage. 0, or -1 after error(). */
int install_check_device(struct install *in);
/*
 * Is the bundle in the stream for it? Reads its head, fills the manifest, opens
 * the devices that will be written. 0, or -1 after error().
 */
int install_check_bundle(struct install *in);

#endif
