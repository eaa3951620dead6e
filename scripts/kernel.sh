#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# kernel.sh BOARD|MACHINE: Debian's newest kernel for the board, or for a
# machine of the kernel tests, ready to boot and to build modules against, as
# out/BOARD/kernel or out/vm/MACHINE/kernel:
#
#   Image        the kernel
#   config       its configuration
#   release      its release name, as uname -r says it
#   version      the version of the Debian package
#   modules      its modules, depmod's files included
#   build        the folder for make -C
#
# Image, headers, common headers and kbuild tools must be of one version, and
# a mirror may have some of them before the others, so the newest version that
# has all four is taken.
#
# KERNEL_SET=release in the board file takes it from the suite as released.
set -eu
. "$(dirname "$0")/lib.sh"
target "${1:-}"

if [ -n "$(conf KERNEL_SOURCE '')" ]; then
	exec "$TOP/scripts/linux.sh" "$BOARD"
fi

ARCH=$(conf ARCH)
FLAVOUR=$(conf KERNEL_FLAVOUR)
NATIVE=$(dpkg --print-architecture)

apt() {
	"$TOP/scripts/apt.sh" "$(conf KERNEL_SET updates)" "$ARCH" "$@"
}

versions() {
	apt apt-cache madison "$1" | awk -F' *[|] *' '
		$3 ~ / Packages$/ { print $2 }'
}

# "VERSION ABI" for every kernel of the flavour, newest first.
candidates() {
	apt apt-cache pkgnames linux-headers- |
		sed -n "s/^linux-headers-\([0-9][0-9.]*-[0-9]*\)-$FLAVOUR\$/\1/p" |
		while read -r abi; do
			versions "linux-headers-$abi-$FLAVOUR" |
				sed "s/\$/ $abi/"
		done | sort -rV
}

# packages ABI: the four that belong together.
packages() {
	echo "linux-image-$1-$FLAVOUR"
	echo "linux-headers-$1-$FLAVOUR"
	echo "linux-headers-$1-common"
	echo "linux-kbuild-${1%.*}:$NATIVE"
}

# has_all VERSION ABI: does every one of them exist in this version?
has_all() {
	for package in $(packages "$2"); do
		versions "$package" | grep -qxF "$1" || return 1
	done
}

newest() {
	candidates | while read -r version abi; do
		if has_all "$version" "$abi"; then
			echo "$version $abi"
			break
		fi
	done
}

download() {
	cd "$2"
	for package in $(packages "$ABI"); do
		apt apt-get -q download "$package=$1"
	done
}

unpack() {
	for deb in "$1"/*.deb; do
		dpkg-deb -x "$deb" "$1/root"
	done
	rm "$1"/*.deb
}

# The headers' Makefile includes the common headers by their installed path;
# make it say "beside me", so that the folder may lie anywhere.
relocate() {
	makefile=$1/root/usr/src/linux-headers-$RELEASE/Makefile
	beside='$(realpath $(dir $(lastword $(MAKEFILE_LIST)))/..)'
	sed -i "s,^include /usr/src/,include $beside/," "$makefile"
	grep -q 'include $(realpath' "$makefile" ||
		die "$makefile: expected a line 'include /usr/src/...'"
}

name_parts() {
	cp "$1/root/boot/vmlinuz-$RELEASE" "$1/Image"
	if gzip -t "$1/Image" 2>/dev/null; then
		gzip -dc "$1/root/boot/vmlinuz-$RELEASE" >"$1/Image"
	fi
	cp "$1/root/boot/config-$RELEASE" "$1/config"
	echo "$RELEASE" >"$1/release"
	echo "$VERSION" >"$1/version"
	ln -s "root/lib/modules/$RELEASE" "$1/modules"
	ln -s "root/usr/src/linux-headers-$RELEASE" "$1/build"
	depmod -b "$1/root" "$RELEASE"
}

fill() {
	logged "kernel-$BOARD" "kernel $VERSION for $BOARD: downloading" \
		download "$VERSION" "$1"
	say "kernel $VERSION for $BOARD: unpacking"
	unpack "$1"
	relocate "$1"
	name_parts "$1"
}

found=$(newest)
[ -n "$found" ] || die "no kernel of flavour '$FLAVOUR' for $ARCH whose" \
	"image, headers and kbuild tools have one version; try again later"
VERSION=${found% *}
ABI=${found#* }
RELEASE=$ABI-$FLAVOUR
DIR=$CACHE/kernel-$VERSION-$ARCH-$FLAVOUR
filled "$DIR" fill
ln -sfnr "$DIR" "$BOARD_OUT/kernel"
