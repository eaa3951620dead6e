/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a diff consists of, in words and numbers on standard output. */
#ifndef BOWLINE_DIFF_EXPLAIN_H
#define BOWLINE_DIFF_EXPLAIN_H

#include "diff-plan.h"

/* Per operation, and how it merges. The plan is complete. */
void diff_explain(const struct plan *plan);

#endif
