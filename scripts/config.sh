#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# config.sh BOARD: what the device needs to know about the board, from its
# board file: out/BOARD/board.conf and out/BOARD/fw_env.config.
set -eu
. "$(dirname "$0")/lib.sh"
board "${1:-}"

# Both copies of the environment, as fw_printenv and libubootenv want them.
fw_env_config() {
	echo "# device  offset  size"
	for offset in $(conf ENV_OFFSET) $(conf ENV_OFFSET_REDUND); do
		echo "$(conf ENV_DEVICE) $offset $(conf ENV_SIZE)"
	done
}

cp "$BOARD_CONF" "$BOARD_OUT/board.conf"
fw_env_config >"$BOARD_OUT/fw_env.config"
