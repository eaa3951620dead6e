#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# bench-update.sh: measures the update target against the disk alone, dm-linear,
# dm-verity and dm-snapshot, and its merge against zstd and dd, and writes
# bench-update.md and bench-update.svg into docs/. With BENCH=quick the phases
# that have a limit once, and the results in out/.
set -eu
. "$(dirname "$0")/lib.sh"

run_bench benchupdate.py
