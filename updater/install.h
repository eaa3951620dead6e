/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef BOWLINE_INSTALL_H
#define BOWLINE_INSTALL_H

#include <stdbool.h>

#include "board.h"
#include "stream.h"

struct install_options {
	bool allow_downgrade;
	struct stream_options stream;
};

/*
 * Checks the bundle at path ("-": standard input; or a URL), writes it to the
 * stage and to the boot partition of the slot that is not running, and starts
 * its trial with the one store of the environment. The environment backend is
 * chosen (board_load() does). running: 'A' or 'B', or 0 when the kernel's
 * command line does not say: then it is the first of BOOT_ORDER.
 *
 * 0, or -1 after one error(): then the next boot is the same as without the
 * call. An error that can be known before the payloads arrive is found before
 * anything is written. What an installation of the same bundle that was cut
 * short has written already is not asked for again.
 */
int install_bundle(const struct board *board, char running, const char *path,
		   const struct install_options *options);

#endif
