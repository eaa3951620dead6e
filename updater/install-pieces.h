/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The pieces of a payload on their way from the bundle to the device, and read
 * back from it. Nothing is written that is not what the signed manifest says.
 * Hashes and sums are made beside fetching, writing and reading, for on a quick
 * link or medium they take the most time.
 */
#ifndef BOWLINE_INSTALL_PIECES_H
#define BOWLINE_INSTALL_PIECES_H

#include "install-check.h"

/*
 * Piece i into bytes (MANIFEST_PIECE), and right; asked for again where a link
 * damages it. 0, or -1 after error().
 */
int receive_piece(struct install *in, enum payload_kind kind, u32 i,
		  uint8_t *bytes);
/*
 * The pieces from in->there[kind] on, to byte "offset" of dev; in->sums[kind]
 * is allocated and filled with their CRC-32. When a piece cannot be had, all
 * before it are written. 0, or -1 after error().
 */
int receive_payload(struct install *in, enum payload_kind kind, struct dev *dev,
		    uint64_t offset);
/*
 * Does dev hold the whole payload? After receive_payload(). 0, or -1 after one
 * error().
 */
int compare_payload(struct install *in, enum payload_kind kind, struct dev *dev,
		    uint64_t offset);

#endif
