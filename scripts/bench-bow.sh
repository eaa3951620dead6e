#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# bench-bow.sh: measures the bow target against the disk alone, dm-linear and
# dm-snapshot, and writes docs/bench-bow.md and docs/bench-bow.svg. With
# BENCH=quick the most important phases once, and the results in out/.
set -eu
. "$(dirname "$0")/lib.sh"

run_bench bench.py
