/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The verbs that need no board, only a device that nobody uses, or an image
 * file: restore, keep, inspect.
 */
#ifndef BOWLINE_OFFLINE_H
#define BOWLINE_OFFLINE_H

#include "io.h"
#include "options.h"

/*
 * Takes the one argument DEV, opens it, runs run() on it, which returns an exit
 * status, or -1 after error(), and closes it. Returns the exit status. opts as
 * for options_parse().
 */
int offline_verb(const char *verb, int argc, char **argv,
		 const struct opt *opts, enum dev_mode mode,
		 int (*run)(struct dev *dev));

#endif
