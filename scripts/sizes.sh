#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# sizes.sh BOARD: how much of the device we take: the static program, the
# initramfs, and the memory of an install over the whole system image, measured
# with the host's program on a device made of files.
set -eu
. "$(dirname "$0")/lib.sh"
board "${1:-}"

DEVICE=$BOARD_OUT/sizes.d

# line NAME BYTES LIMIT-IN-KIB
line() {
	printf '%-28s %5d KiB   aim: %5d KiB or less\n' "$1" \
		$((($2 + 1023) / 1024)) "$3"
}

# A device of files, as the images have it: board.conf with other paths.
device() {
	rm -rf "$DEVICE"
	mkdir -p "$DEVICE/keys"
	cp --sparse=always "$BOARD_OUT/system-1.img" "$DEVICE/system"
	cp "$OUT/keys/development.pem" "$DEVICE/keys/"
	cp "$BOARD_OUT/u-boot-initial-env" "$DEVICE/initial-env"
	truncate -s "$(conf SIZE_STAGE)M" "$DEVICE/stage"
	truncate -s "$(conf SIZE_BOOT)M" "$DEVICE/boot-a" "$DEVICE/boot-b"
	truncate -s 1M "$DEVICE/data"
	dd if="$BOARD_OUT/slot-1.itb" of="$DEVICE/boot-a" conv=notrunc \
		status=none
	cat "$BOARD_OUT/environment.bin" "$BOARD_OUT/environment.bin" \
		>"$DEVICE/env"
	echo "IMAGE_VERSION=1" >"$DEVICE/version"
	files >"$DEVICE/board.conf"
}

files() {
	size=$(conf ENV_SIZE)
	printf '%s 0x0 %s\n%s %s %s\n' "$DEVICE/env" "$size" \
		"$DEVICE/env" "$size" "$size" >"$DEVICE/fw_env.config"
	cat <<-END
	BOARD=$BOARD
	SYSTEM=$DEVICE/system
	STAGE=$DEVICE/stage
	DATA=$DEVICE/data
	BOOT_A=$DEVICE/boot-a
	BOOT_B=$DEVICE/boot-b
	ENV_CONFIG=$DEVICE/fw_env.config
	ENV_DEFAULT=$DEVICE/initial-env
	VERSION_FILE=$DEVICE/version
	KEYS=$DEVICE/keys
	END
}

# Largest resident size in KiB, all libraries of the host included.
install_memory() {
	/usr/bin/time -f %M -o "$DEVICE/memory" "$OUT/host/bowline" install \
		--board "$DEVICE/board.conf" "$BOARD_OUT/update-2.bundle"
}

"$TOP/scripts/image.sh" "$BOARD"
device
logged sizes "install, over $(conf SIZE_SYSTEM) MiB" install_memory
line "bowline, static, stripped" \
	"$(stat -c %s "$BOARD_OUT/bowline")" 1229
line "initramfs, compressed" \
	"$(stat -c %s "$BOARD_OUT/initramfs-1.cpio.zst")" 3072
line "peak memory of install" $(($(tail -n 1 "$DEVICE/memory") * 1024)) 8192
rm -rf "$DEVICE"
