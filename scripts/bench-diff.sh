#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# bench-diff.sh: makes pairs of system images and diffs between them, with the
# general tools and with ours, and writes docs/bench-diff.md and .svg. It takes
# an hour or two the first time; what was measured is kept in the cache. With
# BENCH=cached nothing is measured.
set -eu
. "$(dirname "$0")/lib.sh"

case ${BENCH:-} in
'' | cached) ;;
*) die "BENCH '$BENCH': expected cached, or nothing" ;;
esac

"$TOP/scripts/bowline.sh" host
# shellcheck disable=SC2046 # a list of folders without blanks
exec python3 "$TOP/tests/bench/diffs.py" ${BENCH:+"--$BENCH"} \
	$("$TOP/scripts/pairs.sh")
