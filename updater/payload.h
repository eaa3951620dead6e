/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What may be in a bundle, looked at before it is: by `bundle`, which packs it,
 * and by `install`, which writes it.
 */
#ifndef BOWLINE_PAYLOAD_H
#define BOWLINE_PAYLOAD_H

#include <stdint.h>

#include "manifest.h"

#define PAYLOAD_HEAD 4096 /* bytes of a diff that payload_diff() looks at */

/*
 * Are these the first PAYLOAD_HEAD bytes (zeros behind a shorter one) of a diff
 * of file_size bytes, in either format, from and to the images of the manifest?
 * 0 and in *room the bytes its merge takes behind it on the stage; or -1 and in
 * *why a sentence without a full stop.
 */
int payload_diff(const void *head, uint64_t file_size, const struct manifest *m,
		 uint64_t *room, const char **why);

#endif
