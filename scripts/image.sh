#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# image.sh BOARD: everything a board needs to run, and one update:
#
#   out/BOARD/card.img, disk.img   what to write to the device's media: both
#                                  copies of the environment, slot 1 in both
#                                  boot partitions, system 1, data
#   out/BOARD/update-2.bundle      the signed update to system 2
#
# A board file without CARD_SIZE has everything in disk.img.
set -eu
. "$(dirname "$0")/lib.sh"
board "${1:-}"

# The image with the environment.
first() {
	if [ -n "$(conf CARD_SIZE '')" ]; then
		echo card
	else
		echo disk
	fi
}

# The file whose contents a partition begins with.
contents() {
	case $1 in
	boot-*) echo "$BOARD_OUT/slot-1.itb" ;;
	system) echo "$BOARD_OUT/system-1.img" ;;
	data) echo "$BOARD_OUT/data.img" ;;
	*) echo /dev/null ;;
	esac
}

size_of() {
	case $1 in
	boot-*) conf SIZE_BOOT ;;
	*) conf "SIZE_$(echo "$1" | tr '[:lower:]' '[:upper:]')" ;;
	esac
}

# table PARTITION... : for sfdisk. The first 2 MiB are for the environment.
table() {
	echo "label: gpt"
	echo "label-id: $(uuid "$*")"
	start=2
	for part; do
		size=$(size_of "$part")
		echo "start=${start}MiB, size=${size}MiB, name=$part," \
			"uuid=$(uuid "$part")"
		start=$((start + size))
	done
}

# The same name gets the same UUID.
uuid() {
	echo "$1" | sha256sum |
		sed 's/\(.\{8\}\)\(.\{4\}\).\(.\{3\}\).\(.\{3\}\)\(.\{12\}\).*/\1-\2-4\3-8\4-\5/'
}

# put FILE MIB: FILE into the image at that place; holes stay holes.
put() {
	dd if="$1" of="$IMAGE" bs=1M seek="$2" conv=notrunc,sparse status=none
}

# disk NAME SIZE PARTITION...
disk() {
	IMAGE=$BOARD_OUT/$1.img.part
	size=$2
	shift 2
	rm -f "$IMAGE"
	truncate -s "${size}M" "$IMAGE"
	table "$@" | sfdisk -q "$IMAGE"
	start=2
	for part; do
		put "$(contents "$part")" $start
		start=$((start + $(size_of "$part")))
	done
}

environment() {
	IMAGE=$BOARD_OUT/$(first).img.part
	mkenvimage -r -s "$(conf ENV_SIZE)" -o "$BOARD_OUT/environment.bin" \
		"$BOARD_OUT/u-boot-initial-env"
	for offset in $(conf ENV_OFFSET) $(conf ENV_OFFSET_REDUND); do
		dd if="$BOARD_OUT/environment.bin" of="$IMAGE" bs=4096 \
			seek=$((offset / 4096)) conv=notrunc status=none
	done
}

disks() {
	# shellcheck disable=SC2046 # lists
	disk disk "$(conf DISK_SIZE)" $(conf DISK_PARTS)
	if [ "$(first)" = card ]; then
		# shellcheck disable=SC2046 # lists
		disk card "$(conf CARD_SIZE)" $(conf CARD_PARTS)
		environment
		mv "$BOARD_OUT/card.img.part" "$BOARD_OUT/card.img"
	else
		environment
	fi
	mv "$BOARD_OUT/disk.img.part" "$BOARD_OUT/disk.img"
}

for part in kmod uboot bowline config; do
	"$TOP/scripts/$part.sh" "$BOARD"
done
for version in 1 2; do
	"$TOP/scripts/initramfs.sh" "$BOARD" "$version"
	"$TOP/scripts/fit.sh" "$BOARD" "$version"
	"$TOP/scripts/system.sh" "$BOARD" "$version"
done
"$TOP/scripts/data.sh" "$BOARD"
if stale "$BOARD_OUT/disk.img" "$0" "$BOARD_OUT/slot-1.itb" \
	"$BOARD_OUT/system-1.img.inputs" "$TOP/scripts/data.sh" \
	"$BOARD_OUT/u-boot-initial-env" "$BOARD_OUT/board.conf"; then
	logged "image-$BOARD" "images for $BOARD's media" disks
	made "$BOARD_OUT/disk.img"
fi
"$TOP/scripts/bundle.sh" "$BOARD"
