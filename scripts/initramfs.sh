#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# initramfs.sh BOARD VERSION: out/BOARD/initramfs-VERSION.cpio.zst for the
# system of that version, the same bytes from the same inputs: initramfs/contents and the modules that board.conf names, with
# what they depend on.
set -eu
. "$(dirname "$0")/lib.sh"
board "${1:-}"

VERSION=${2:-}
[ -n "$VERSION" ] || die "usage: initramfs.sh BOARD VERSION"
ROOT=$BOARD_OUT/initramfs.d
KERNEL=$BOARD_OUT/kernel
RELEASE=$(cat "$KERNEL/release")
MODULES=$ROOT/lib/modules/$RELEASE
RESULT=$BOARD_OUT/initramfs-$VERSION.cpio.zst

source_of() {
	case $1 in
	busybox) echo "$BUSYBOX/bin/busybox" ;;
	@*) echo "$BOARD_OUT${1#@}" ;;
	*) echo "$TOP/$1" ;;
	esac
}

# entry KIND PATH ...: carry out a line of the contents.
entry() {
	mkdir -p "$(dirname "$ROOT/$2")"
	case $1 in
	dir) mkdir -p "$ROOT/$2" ;;
	link) ln -s "$3" "$ROOT/$2" ;;
	file) install -m "$3" "$(source_of "$4")" "$ROOT/$2" ;;
	*) die "initramfs/contents: '$1': expected dir, link or file" ;;
	esac
}

contents() {
	grep -v '^ *#' "$TOP/initramfs/contents" | while read -r line; do
		# shellcheck disable=SC2086 # the words of the line
		entry $line
	done
}

show_depends() {
	modprobe -d "$KERNEL/root" -S "$RELEASE" --show-depends "$1"
}

better_with() {
	for alias in $(modinfo -F softdep "$1" | sed 's/^pre://'); do
		show_depends "$alias" >/dev/null 2>&1 && echo "$alias"
	done
	:
}

# Names of the modules wanted: ours are replaced by what they depend on, and by
# what they are better with, where the kernel has that.
names() {
	for name in $(conf MODULES); do
		ours=$BOARD_OUT/kmod/$(echo "$name" | tr _ -).ko
		if [ -f "$ours" ]; then
			modinfo -F depends "$ours" | tr , ' '
			better_with "$ours"
		else
			echo "$name"
		fi
	done
}

# The files of these modules and of all that they need, in the kernel's tree.
files() {
	for name in $(names); do
		show_depends "$name" || die "module '$name': not in $RELEASE"
	done | awk '$1 == "insmod" { print $2 }' | sort -u
}

modules() {
	mkdir -p "$MODULES/updates"
	files >"$BOARD_OUT/initramfs.modules"
	while read -r file; do
		to=$MODULES/${file##*/lib/modules/"$RELEASE"/}
		mkdir -p "${to%/*}"
		cp "$file" "$to"
	done <"$BOARD_OUT/initramfs.modules"
	cp "$BOARD_OUT"/kmod/*.ko "$MODULES/updates/"
	cp "$KERNEL/modules/modules.builtin" \
		"$KERNEL/modules/modules.builtin.modinfo" "$MODULES/"
	: >"$MODULES/modules.order"
	depmod -b "$ROOT" "$RELEASE"
	# busybox reads the text tables only.
	rm -f "$MODULES"/*.bin "$MODULES/modules.devname" \
		"$MODULES/modules.builtin.modinfo"
}

# Sorted names, no times, no owners: the same archive every time.
archive() {
	find "$ROOT" -exec touch -h -d @0 {} +
	(
		cd "$ROOT"
		find . | LC_ALL=C sort |
			cpio -o -H newc --quiet --reproducible --owner=+0:+0
	) | zstd -q -19 -T1 >"$RESULT.part"
	mv "$RESULT.part" "$RESULT"
}

BUSYBOX=$("$TOP/scripts/deb.sh" updates "$(conf ARCH)" busybox-static)
if stale "$RESULT" "$0" "$TOP"/initramfs/* "$KERNEL/version" \
	"$BUSYBOX/bin/busybox" "$BOARD_OUT"/kmod/*.ko "$BOARD_OUT/bowline" \
	"$BOARD_OUT/board.conf" "$BOARD_OUT/fw_env.config" \
	"$BOARD_OUT/u-boot-initial-env"; then
	rm -rf "$ROOT"
	contents
	echo "IMAGE_VERSION=$VERSION" >"$ROOT/etc/initramfs-release"
	modules
	archive
	rm -rf "$ROOT"
	made "$RESULT"
fi
say "initramfs $VERSION for $BOARD: $(wc -c <"$RESULT") bytes"
