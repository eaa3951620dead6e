/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Pairs with a diff of version 1 as files, for tests of whole programs. */
#ifndef BOWLINE_V1_FILES_H
#define BOWLINE_V1_FILES_H

#include "v1-random.h"

/*
 * Ends the diff of @pair, and writes the old image, the new one and the diff to
 * three @paths; exits if it can not.
 */
void v1_pair_write(struct v1_pair *pair, char *const paths[3]);

#endif
