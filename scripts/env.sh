#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# env.sh [BOARD]: prints the default environment of a board (without a board:
# the part that all share), one variable a line.
#
# The text is read by three programs (U-Boot's build, mkenvimage, libubootenv)
# that disagree about comments and continued lines: so none are left in it.

set -eu
top=$(cd "$(dirname "$0")/.." && pwd)
board=${1:-}
files=$top/uboot-env/bowline.env
if [ -n "$board" ]; then
	files="$files $top/boards/$board/board.env"
fi

# shellcheck disable=SC2086 # a list of files, no blanks inside a name
cat $files | sed -e '/^#/d' -e '/^$/d' \
	-e ':join' -e '/\\$/{N;s/\\\n[[:blank:]]*//;b join' -e '}'
