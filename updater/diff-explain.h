/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a diff consists of, in words and numbers on standard output. */
#ifndef BOWLINE_DIFF_EXPLAIN_H
#define BOWLINE_DIFF_EXPLAIN_H

#include "diff-plan.h"

/*
 * Per operation; how it merges; and, where the new image is an ext4 file system
 * and debugfs is installed, the files that make the diff large. 0, or -1 after
 * error().
 */
int diff_explain(const struct plan *plan);

#endif
