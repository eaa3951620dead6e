#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# demo.sh BOARD: builds what the story needs, then tells it.
set -eu
. "$(dirname "$0")/lib.sh"
board "${1:-}"

"$TOP/scripts/image.sh" "$BOARD"
exec /usr/bin/python3 "$TOP/scripts/demo.py" "$BOARD"
