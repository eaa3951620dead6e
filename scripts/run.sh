#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# run.sh BOARD: boots out/BOARD's images on this terminal; they keep what the
# device writes. Leave QEMU with Ctrl-A X.
set -eu
. "$(dirname "$0")/lib.sh"
board "${1:-}"

cd "$BOARD_OUT"
say "Leave with Ctrl-A X. The images in $BOARD_OUT keep what is written."
# shellcheck disable=SC2046 # the command's words
exec $(conf QEMU)
