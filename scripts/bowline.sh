#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# bowline.sh host|BOARD: the program, out/host/bowline with every verb, or
# out/BOARD/bowline, static and with the device's verbs only.
set -eu
. "$(dirname "$0")/lib.sh"

host() {
	make -s -C "$TOP/updater" -j2 O="$OUT/host"
}

device() {
	make -s -C "$TOP/updater" -j2 O="$BOARD_OUT" DEVICE=1 \
		CROSS="$(cross "$(conf ARCH)")" SYSROOT="$BOARD_OUT/sysroot"
}

if [ "${1:-}" = host ]; then
	"$TOP/scripts/curl.sh"
	logged bowline-host "bowline for this machine" host
else
	board "${1:-}"
	"$TOP/scripts/sysroot.sh" "$BOARD"
	logged "bowline-$BOARD" "bowline for $BOARD" device
fi
