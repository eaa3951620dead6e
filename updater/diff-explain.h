/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a diff consists of, in words and numbers on standard output. */
#ifndef BOWLINE_DIFF_EXPLAIN_H
#define BOWLINE_DIFF_EXPLAIN_H

#include "diff-plan.h"

/*
 * Per operation, how it merges, and which files of the new image it is for, if
 * the tools of their file system are there. The plan is complete. 0, or -1
 * after error().
 */
int diff_explain(const struct plan *plan);

#endif
