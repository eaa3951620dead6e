#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# test.sh: builds what the tests need and runs all of them. Each section ends
# with its count; the last line is the sum.
set -eu
. "$(dirname "$0")/lib.sh"

BOARD=${BOARD:-qemu-arm64}
export BOARD
passed=0
failed=0

# add NAME STATUS: the counts in the section's log go into the sum. A section
# that fails without a count is one failure.
add() {
	p=$(counted passed "$LOG/test-$1.log")
	f=$(($(counted failed "$LOG/test-$1.log") +
		$(counted error "$LOG/test-$1.log")))
	if [ "$2" != 0 ] && [ $f = 0 ]; then
		f=1
	fi
	passed=$((passed + p))
	failed=$((failed + f))
	echo "== $1: $p passed, $f failed"
}

# section NAME TEXT COMMAND...
section() {
	name=$1
	echo
	echo "== $name: $2"
	shift 2
	status=0
	{
		"$@" 2>&1 || echo $? >"$LOG/test-$name.status"
	} | tee "$LOG/test-$name.log"
	if [ -f "$LOG/test-$name.status" ]; then
		status=$(cat "$LOG/test-$name.status")
		rm "$LOG/test-$name.status"
	fi
	add "$name" "$status"
}

pytest() {
	folder=$TOP/tests/$1
	shift
	python3 -m pytest -q -p no:cacheprovider "$@" "$folder"
}

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
section errors "bad input, every row of docs/ERRORS.md" pytest errors
section bundle "bundle and install from outside" pytest bundle
section uboot "the boot script under U-Boot's sandbox" pytest uboot
section vm "the two targets in a real kernel" pytest vm -n 2
section boards "the whole board over its serial console" pytest boards -n 2
echo
echo "$passed passed, $failed failed"
[ $failed = 0 ]
