#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# system.sh BOARD VERSION: out/BOARD/system-VERSION.img, an ext4 file system of
# Debian's packages. Version 1 has them as the suite was released, version 2
# with all updates: what differs is what really differs in Debian.
#
# scripts/system.list names the packages, scripts/system/ holds our own files.
set -eu
. "$(dirname "$0")/lib.sh"
board "${1:-}"

VERSION=${2:-}
case $VERSION in
1) SET=release ;;
2) SET=updates ;;
*) die "version '$VERSION': expected 1 or 2" ;;
esac
ARCH=$(conf ARCH)
ROOT=$BOARD_OUT/system-$VERSION.d
IMAGE=$BOARD_OUT/system-$VERSION.img
LIST=$BOARD_OUT/system-$VERSION.packages
# Fixed, so that images differ only where their files do.
UUID=6f626f77-6c69-4e65-8000-00000000000a
TIME=1700000000

apt() {
	"$TOP/scripts/apt.sh" "$SET" "$ARCH" "$@"
}

wanted() {
	grep -v '^#' "$TOP/scripts/system.list"
}

# The files of the packages and of all they depend on, in order of their names.
resolve() {
	# shellcheck disable=SC2046 # a list
	apt apt-get -q --simulate install $(wanted) |
		sed -n 's/^Inst \([^ ]*\) (\([^ ]*\) .*\[\(.*\)\]).*/\1_\2_\3.deb/p' |
		sed 's/:/%3a/' | sort
}

fetch() {
	# shellcheck disable=SC2046 # a list
	apt apt-get -q -y --download-only install $(wanted)
}

# Debian's merged /usr; a link that exists stays a link.
unpack() {
	mkdir -p "$1/usr/bin" "$1/usr/sbin" "$1/usr/lib"
	ln -s usr/bin usr/sbin usr/lib "$1/"
	while read -r deb; do
		dpkg-deb --fsys-tarfile "$ARCHIVES/$deb" |
			tar -xp --keep-directory-symlink -C "$1"
	done <"$LIST"
	rm -rf "$1"/usr/share/doc "$1"/usr/share/man "$1"/usr/share/locale \
		"$1"/usr/share/info "$1"/usr/share/lintian
}

fill_tree() {
	logged "system-$VERSION-fetch" "system $VERSION: fetching packages" \
		fetch
	say "system $VERSION: unpacking $(wc -l <"$LIST") packages"
	unpack "$1"
}

# What the packages' own scripts would do on a device, as far as we need it.
configure() {
	cp "$ROOT/usr/share/base-passwd/passwd.master" "$ROOT/etc/passwd"
	cp "$ROOT/usr/share/base-passwd/group.master" "$ROOT/etc/group"
	ln -sf dash "$ROOT/usr/bin/sh"
	ln -sf mawk "$ROOT/usr/bin/awk"
	ln -sf bash "$ROOT/usr/bin/sh"
	ln -sf ../proc/mounts "$ROOT/etc/mtab"
	for name in init reboot poweroff; do
		ln -sf ../bin/busybox "$ROOT/usr/sbin/$name"
	done
	echo "$BOARD" >"$ROOT/etc/hostname"
	mkdir -p "$ROOT/data" "$ROOT/etc/boot.d" "$ROOT/etc/bowline/keys"
}

# Ours: the overlay, and what belongs to the board.
add_ours() {
	cp -R "$TOP/scripts/system/." "$ROOT/"
	sed -i "s/@CONSOLE@/$(conf CONSOLE)/" "$ROOT/etc/inittab"
	install -m 755 "$BOARD_OUT/bowline" "$ROOT/usr/bin/bowline"
	install -m 644 "$BOARD_OUT/board.conf" "$ROOT/etc/bowline/board.conf"
	install -m 644 "$BOARD_OUT/fw_env.config" "$ROOT/etc/fw_env.config"
	install -m 644 "$BOARD_OUT/u-boot-initial-env" \
		"$ROOT/etc/u-boot-initial-env"
	install -m 644 "$OUT/keys/development.pem" "$ROOT/etc/bowline/keys/"
	rm -f "$ROOT/etc/os-release"
	cp "$ROOT/usr/lib/os-release" "$ROOT/etc/os-release"
	echo "IMAGE_VERSION=$VERSION" >>"$ROOT/etc/os-release"
}

# mke2fs takes the times of the last change of an inode from the host's files;
# debugfs makes them all alike.
fix_times() {
	(cd "$ROOT" && find . -mindepth 1 -printf '%P\n') |
		sed "s|.*|sif \"/&\" ctime @$TIME\nsif \"/&\" atime @$TIME|" \
			>"$ROOT.debugfs"
	debugfs -w -f "$ROOT.debugfs" "$1" >/dev/null
	rm "$ROOT.debugfs"
}

make_image() {
	find "$ROOT" -exec touch -h -d "@$TIME" {} +
	rm -f "$IMAGE.part"
	export E2FSPROGS_FAKE_TIME=$TIME SOURCE_DATE_EPOCH=$TIME
	as_root mke2fs -q -t ext4 -L system -U "$UUID" -b 4096 -m 0 -N 12288 \
		-O ^has_journal -E "hash_seed=$UUID,root_owner=0:0" \
		-d "$ROOT" "$IMAGE.part" "$(conf SIZE_SYSTEM)M"
	fix_times "$IMAGE.part"
	e2fsck -fn "$IMAGE.part"
	mv "$IMAGE.part" "$IMAGE"
}

build() {
	rm -rf "$ROOT"
	cp -a "$TREE" "$ROOT"
	configure
	add_ours
	make_image
	rm -rf "$ROOT"
}

# What changed since version 1, package by package.
changes() {
	sed 's/_[^_]*$//; s/_/ /' "$1" | sort >"$1.names"
	sed 's/_[^_]*$//; s/_/ /' "$2" | sort |
		join -a 1 -a 2 -e - -o 0,1.2,2.2 "$1.names" - |
		awk '$2 != $3 { print "  " $1 ": " $2 " -> " $3 }'
	rm "$1.names"
}

"$TOP/scripts/config.sh" "$BOARD"
"$TOP/scripts/keys.sh"
resolve >"$LIST"
[ -s "$LIST" ] || die "apt found nothing to install"
eval "$(apt apt-config shell ARCHIVES Dir::Cache::archives/d)"
# The tree is as old as the list and the way it is unpacked.
TREE=$CACHE/tree-$ARCH-$(key "$(cat "$LIST")" \
	"$(sed -n '/^unpack() {/,/^}/p' "$0")")
filled "$TREE" fill_tree
# shellcheck disable=SC2046 # no blanks in the names of our files
if stale "$IMAGE" "$0" "$LIST" "$BOARD_OUT/board.conf" "$BOARD_OUT/bowline" \
	"$BOARD_OUT/u-boot-initial-env" "$OUT/keys/development.pem" \
	$(find "$TOP/scripts/system" -type f | sort); then
	logged "system-$VERSION" "system $VERSION: making the file system" build
	made "$IMAGE"
fi
if [ "$VERSION" != 1 ]; then
	say "what is new in system $VERSION:"
	changes "$BOARD_OUT/system-1.packages" "$LIST" >&2
fi
