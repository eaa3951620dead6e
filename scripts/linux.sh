#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# linux.sh MACHINE: a kernel for a machine of the kernel tests, built from
# Debian's sources; the same parts as kernel.sh makes, which calls it for
# machines with KERNEL_SOURCE. All that the machine's configuration asks for
# must be in the kernel.
set -eu
. "$(dirname "$0")/lib.sh"
target "${1:-}"

ARCH=$(conf ARCH)
SOURCE=$(conf KERNEL_SOURCE)
CONFIG=$(dirname "$BOARD_CONF")/$(conf KERNEL_CONFIG)

apt() {
	"$TOP/scripts/apt.sh" updates "$ARCH" "$@"
}

kernel_make() {
	nice make -C "$1" -j"$(nproc)" ARCH="$(kernel_arch "$ARCH")" \
		CROSS_COMPILE="$(cross "$ARCH")" \
		KBUILD_BUILD_USER=bowline KBUILD_BUILD_HOST=bowline "$2" \
		${3:+"$3"}
}

unpack() {
	cd "$1"
	apt apt-get -q download "$SOURCE=$VERSION"
	dpkg-deb --fsys-tarfile ./*.deb | tar -xO --wildcards '*.tar.xz' |
		tar -xJ --one-top-level=build --strip-components=1
	rm ./*.deb
}

# A line that the kernel's own rules dropped would be a check that is not made.
configure() {
	export KCONFIG_ALLCONFIG="$CONFIG"
	kernel_make "$1/build" allnoconfig
	grep '^CONFIG_' "$CONFIG" | while read -r line; do
		grep -qxF "$line" "$1/build/.config" ||
			die "$CONFIG: the kernel did not take '$line'"
	done
}

build() {
	unpack "$1"
	configure "$1"
	kernel_make "$1/build" bzImage
	kernel_make "$1/build" modules
	kernel_make "$1/build" modules_install "INSTALL_MOD_PATH=$1/root"
}

name_parts() {
	cp "$1/build/arch/$(kernel_arch "$ARCH")/boot/bzImage" "$1/Image"
	cp "$1/build/.config" "$1/config"
	release=$(cat "$1/build/include/config/kernel.release")
	echo "$release" >"$1/release"
	echo "$VERSION" >"$1/version"
	ln -s "root/lib/modules/$release" "$1/modules"
	rm -f "$1/modules/build" "$1/modules/source"
}

# Modules need headers, Makefiles and the built tools.
shrink() {
	find "$1/build" -type f \( -name '*.[oac]' -o -name '.*.cmd' -o \
		-name '*.S' -o -name '*.dts*' -o -name 'vmlinux*' \) \
		! -path '*/scripts/*' ! -path '*/tools/*' -delete
	rm -rf "$1/build/Documentation" "$1/build/drivers"/*/
}

fill() {
	logged "kernel-$BOARD" "kernel $VERSION for $BOARD: building, minutes" \
		build "$1"
	name_parts "$1"
	shrink "$1"
}

VERSION=$(apt apt-cache policy "$SOURCE" | sed -n 's/^ *Candidate: //p')
[ -n "$VERSION" ] || die "no package '$SOURCE' for $ARCH"
DIR=$CACHE/linux-$VERSION-$BOARD-$(key "$(cat "$CONFIG" "$0")")
filled "$DIR" fill
ln -sfnr "$DIR" "$BOARD_OUT/kernel"
