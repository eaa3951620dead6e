#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# data.sh BOARD: out/BOARD/data.img, a data partition that somebody has used:
# ext4, half full of files, the same every time. MANIFEST in it is what
# sha256sum -c checks.
set -eu
. "$(dirname "$0")/lib.sh"
board "${1:-}"

SIZE=$(conf SIZE_DATA)
UUID=6f626f77-6c69-4e65-8000-00000000000d

# noise NAME KIB: bytes that do not compress.
noise() {
	openssl enc -aes-128-ctr -nosalt -pbkdf2 -iter 1 -pass "pass:$1" \
		-in /dev/zero 2>/dev/null | head -c "$2K"
}

# text NAME KIB: lines such as a log has.
text() {
	seq -f "$1: event %.0f, everything as expected" 1 10000000 |
		head -c "$2K"
}

# Half of the size: noise in files of 1 to 5 MiB, text in files of 4 to 508 KiB.
files() {
	mkdir -p "$1/media" "$1/logs"
	left=$((SIZE * 512))
	n=0
	while [ $left -gt 0 ]; do
		big=$((1024 * (n % 5 + 1)))
		small=$((n * 36 % 505 + 4))
		noise "media-$n" $big >"$1/media/$n.bin"
		text "log $n" $small >"$1/logs/$n.log"
		left=$((left - big - small))
		n=$((n + 1))
	done
	(
		cd "$1"
		find . -type f -printf '%P\n' | sort | xargs sha256sum
	) >"$1.manifest"
	mv "$1.manifest" "$1/MANIFEST"
}

build() {
	files "$1/files"
	find "$1/files" -exec touch -h -d @1700000000 {} +
	as_root env E2FSPROGS_FAKE_TIME=1700000000 mke2fs -q -t ext4 -L data \
		-U "$UUID" -b 4096 -E "hash_seed=$UUID,root_owner=0:0" \
		-d "$1/files" "$1/data.img" "${SIZE}M"
	rm -r "$1/files"
}

fill() {
	logged "data-$BOARD" "user data, $SIZE MiB, half full: making it" \
		build "$1"
}

DIR=$CACHE/data-$SIZE-$(key "$(cat "$0")")
filled "$DIR" fill
ln -sfn "../cache/${DIR##*/}/data.img" "$BOARD_OUT/data.img"
