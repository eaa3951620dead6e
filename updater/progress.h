/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Progress of one long step: on a terminal a bar that redraws itself, with an
 * estimate of the time left, a plain line every tenth elsewhere. Steps do not
 * nest. Everything goes to standard
 * error, so that standard output stays parseable.
 */
#ifndef BOWLINE_PROGRESS_H
#define BOWLINE_PROGRESS_H

#include <stdint.h>

void progress_start(const char *what, uint64_t total);
void progress_update(uint64_t done); /* in the units of total */
void progress_end(void);
/* Leaves a bar as it is: the next thing on the terminal is a line of text. */
void progress_break(void);

#endif
