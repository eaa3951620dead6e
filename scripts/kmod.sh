#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# kmod.sh BOARD|MACHINE [check]: the two device-mapper targets, built against
# the kernel of the board or of the machine of the kernel tests, in
# out/BOARD/kmod or out/vm/MACHINE/kmod; with 'check' only looked at, by the
# compiler's extra warnings and by sparse.
set -eu
. "$(dirname "$0")/lib.sh"
target "${1:-}"

WHAT=${2:-modules}
"$TOP/scripts/kernel.sh" "$BOARD"
RELEASE=$(cat "$BOARD_OUT/kernel/release")

build() {
	make -C "$TOP/kmod" "$1" KDIR="$BOARD_OUT/kernel/build" \
		O="$2" ARCH="$(kernel_arch "$(conf ARCH)")" \
		CROSS_COMPILE="$(cross "$(conf ARCH)")"
}

# Looking at the sources must not make the modules be built again.
OBJECTS=$BOARD_OUT/kmod
[ "$WHAT" = modules ] || OBJECTS=$OBJECTS-$WHAT
mkdir -p "$OBJECTS"
logged "kmod-$BOARD-$WHAT" "kmod $WHAT for $BOARD, kernel $RELEASE" \
	build "$WHAT" "$OBJECTS"
