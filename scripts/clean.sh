#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# clean.sh: removes what was built. Downloads, and builds that take minutes,
# stay in out/cache; the signing key stays in out/keys.
set -eu
. "$(dirname "$0")/lib.sh"

find "$OUT" -mindepth 1 -maxdepth 1 ! -name cache ! -name keys \
	-exec rm -rf {} +
