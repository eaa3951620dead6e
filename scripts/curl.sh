#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# curl.sh: a static libcurl for this machine as out/curl: from Debian's source,
# HTTP and HTTPS only. Debian's own package brings twenty libraries along, which
# are more memory than an installation may take.
set -eu
. "$(dirname "$0")/lib.sh"

OPTIONS=$TOP/scripts/sysroot/curl-options

build() {
	cp -a "$SOURCE" "$1/source"
	cd "$1/source"
	# shellcheck disable=SC2046 # a list
	./configure -q $(grep -v "^#" "$OPTIONS") CFLAGS="-O2"
	make -s -j2 -C lib libcurl.la
	mkdir -p "$1/lib" "$1/include/curl"
	cp lib/.libs/libcurl.a "$1/lib/"
	cp include/curl/*.h "$1/include/curl/"
	cd "$1"
	rm -r source
}

fill() {
	logged curl "libcurl for this machine: building" build "$1"
}

SOURCE=$("$TOP/scripts/source.sh" curl)
DIR=$CACHE/curl-$(dpkg --print-architecture)-$(key "${SOURCE#"$CACHE"}" \
	"$(cat "$0" "$OPTIONS")")
filled "$DIR" fill
ln -sfn "cache/${DIR##*/}" "$OUT/curl"
