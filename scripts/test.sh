#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# test.sh: builds what the tests need and runs all of them. Each section ends
# with its count; the last line is the sum.
set -eu
. "$(dirname "$0")/lib.sh"
. "$TOP/scripts/sections.sh"

BOARD=${BOARD:-qemu-arm64}
export BOARD

cd "$TOP"
rm -f "$LOG"/test-*
scripts/image.sh "$BOARD"
scripts/uboot.sh sandbox
scripts/kmod.sh amd64
section check "the sources themselves" scripts/check.sh
section unit "pure parts, on this machine" make -s -C tests/unit run
section cut "power cuts on a simulated device" make -s -C tests/cut run
# Some rows are about another user: whoever is not root may have to say who he is.
[ "$(id -u)" = 0 ] || sudo -v
section errors "bad input, every row of docs/ERRORS.md" pytest tests/errors
section bundle "bundle and install from outside" \
	pytest tests/bundle --ignore=tests/bundle/test_speed.py
section diff "diffs of real file systems, proven and merged" pytest tests/diff
section bench "the arithmetic of the benches" pytest tests/bench
section uboot "the boot script under U-Boot's sandbox" pytest tests/uboot
section vm "the two targets in a real kernel" pytest tests/vm -n 2
section boards "the whole board over its serial console" pytest tests/boards -n 2
finish
