#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# run.sh BOARD: boots a copy of out/BOARD's images on this terminal. The copy,
# out/BOARD/run, keeps what the device writes until the images are made anew.
set -eu
. "$(dirname "$0")/lib.sh"
board "${1:-}"

RUN=$BOARD_OUT/run
if [ ! -f "$RUN/made" ] ||
	[ -n "$(find "$BOARD_OUT/disk.img" -newer "$RUN/made")" ]; then
	mkdir -p "$RUN"
	cp --sparse=always "$BOARD_OUT"/*.img "$RUN/"
	touch "$RUN/made"
fi
cp "$BOARD_OUT/u-boot.bin" "$RUN/"
cd "$RUN"
say "Leave with Ctrl-A X. Remove $RUN to begin again."
# shellcheck disable=SC2046 # the command's words
exec $(conf QEMU)
