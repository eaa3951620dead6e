/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How much memory making a diff of format version 1 takes, if it may take only
 * so much. The tables are as large as they have to be. A quarter of the rest is
 * for threads, at least one, and half of what is left for the index, which has
 * fewer seeds then; the other half is for chunks. None of this depends on how
 * many threads there are, so neither does the diff. Of the images only so much
 * stays resident as nothing else needs.
 */
#ifndef BOWLINE_DIFF_MEMORY_H
#define BOWLINE_DIFF_MEMORY_H

#include "diff-plan.h"

/* Shares plan->memory out, if there is a bound. 0, or -1 after error(). */
int memory_share(struct plan *plan);
/* Was it kept to so far? 0, or -1 after error(). */
int memory_check(const struct plan *plan);

#endif
