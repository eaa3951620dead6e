#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# sysroot.sh BOARD: headers and static libraries for the device binary, as
# out/BOARD/sysroot: musl and zlib from Debian's packages, libubootenv too,
# libdevmapper, a small mbedtls and a libcurl for HTTP from Debian's sources. usr/lib/musl.specs
# makes a Debian cross compiler use it:
#
#   aarch64-linux-gnu-gcc --sysroot=DIR -specs=DIR/usr/lib/musl.specs ...
set -eu
. "$(dirname "$0")/lib.sh"
board "${1:-}"

ARCH=$(conf ARCH)
PREFIX=$(cross "$ARCH")
TRIPLET=$(dpkg-architecture -f -a"$ARCH" -qDEB_HOST_MULTIARCH \
	2>/dev/null)
PACKAGES="musl-dev linux-libc-dev zlib1g-dev libubootenv-dev"
# Sections for the linker to leave out what nobody calls; atomics inline,
# because libgcc's other way needs glibc.
FLAGS="-Os -ffunction-sections -fdata-sections -mno-outline-atomics"

compiler() {
	echo "${PREFIX}gcc --sysroot=$1 -specs=$1/usr/lib/musl.specs"
}

# Debian's folders for several machines become the plain ones of one machine.
packages() {
	mkdir -p "$1/usr/include" "$1/usr/lib"
	for dir in $DEBS; do
		cp -a "$dir/usr/include/." "$1/usr/include/"
		find "$dir/usr" -name '*.[ao]' -exec cp -a {} "$1/usr/lib/" \;
	done
	for name in "$TRIPLET" "$(echo "$TRIPLET" | sed s/gnu/musl/)"; do
		cp -a "$1/usr/include/$name/." "$1/usr/include/"
		rm -r "$1/usr/include/$name"
	done
	cp "$TOP/scripts/sysroot/musl.specs" "$1/usr/lib/"
}

devmapper() {
	rm -rf "$1/lvm2"
	cp -a "$LVM2" "$1/lvm2"
	cd "$1/lvm2"
	# Two tests of configure want to run something; musl's answer is known.
	ac_cv_func_malloc_0_nonnull=yes ac_cv_func_realloc_0_nonnull=yes \
		./configure -q --host="$TRIPLET" CC="$(compiler "$1")" \
		CFLAGS="$FLAGS" --enable-static_link --disable-udev_sync \
		--disable-selinux --disable-readline --disable-nls
	# Not its whole target: the shared library cannot be linked here.
	make -j2 -C libdm ioctl/libdevmapper.a
	cp libdm/ioctl/libdevmapper.a "$1/usr/lib/"
	cp libdm/libdevmapper.h "$1/usr/include/"
	cd "$1"
	rm -r lvm2
}

mbedtls() {
	rm -rf "$1/mbedtls"
	cp -a "$MBEDTLS" "$1/mbedtls"
	cd "$1/mbedtls"
	cp "$TOP/scripts/sysroot/mbedtls-config.h" include/mbedtls/config.h
	make -j2 -C library static CC="$(compiler "$1")" \
		AR="${PREFIX}ar" CFLAGS="$FLAGS -O2"
	cp library/libmbed*.a "$1/usr/lib/"
	cp -a include/mbedtls "$1/usr/include/"
	cd "$1"
	rm -r mbedtls
}

curl() {
	rm -rf "$1/curl"
	cp -a "$CURL" "$1/curl"
	cd "$1/curl"
	# shellcheck disable=SC2046 # a list
	./configure -q --host="$TRIPLET" CC="$(compiler "$1")" \
		CFLAGS="$FLAGS" $(grep -v "^#" "$TOP/scripts/sysroot/curl-options")
	make -s -j2 -C lib libcurl.la
	cp lib/.libs/libcurl.a "$1/usr/lib/"
	mkdir "$1/usr/include/curl"
	cp include/curl/*.h "$1/usr/include/curl/"
	cd "$1"
	rm -r curl
}

# The shim goes into the archive that needs it.
ubootenv() {
	# shellcheck disable=SC2046,SC2086 # lists
	$(compiler "$1") $FLAGS -Wall -Werror -c -o "$1/glibc-shim.o" \
		"$TOP/scripts/sysroot/glibc-shim.c"
	"${PREFIX}ar" rs "$1/usr/lib/libubootenv.a" "$1/glibc-shim.o"
	rm "$1/glibc-shim.o"
}

build() {
	packages "$1"
	ubootenv "$1"
	mbedtls "$1"
	devmapper "$1"
	curl "$1"
}

fill() {
	logged "sysroot-$BOARD" "static libraries for $ARCH: building" \
		build "$1"
}

# shellcheck disable=SC2086 # a list
DEBS=$("$TOP/scripts/deb.sh" updates "$ARCH" $PACKAGES)
LVM2=$("$TOP/scripts/source.sh" lvm2)
MBEDTLS=$("$TOP/scripts/source.sh" mbedtls)
CURL=$("$TOP/scripts/source.sh" curl)
RECIPE=$(cat "$0" "$TOP"/scripts/sysroot/*)
# The cache's own path does not count.
INPUTS=$(echo "$DEBS $LVM2 $MBEDTLS $CURL" | sed "s,$CACHE/,,g")
DIR=$CACHE/sysroot-$ARCH-$(key "$INPUTS" "$RECIPE")
filled "$DIR" fill
ln -sfn "../cache/${DIR##*/}" "$BOARD_OUT/sysroot"
