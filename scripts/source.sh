#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# source.sh PACKAGE: the newest source of a Debian package, unpacked in the
# cache; prints the folder.
set -eu
. "$(dirname "$0")/lib.sh"

[ $# = 1 ] || die "usage: source.sh PACKAGE"
PACKAGE=$1

apt() {
	"$TOP/scripts/apt.sh" updates "$(dpkg --print-architecture)" "$@"
}

newest() {
	apt apt-cache showsrc --only-source "$PACKAGE" |
		sed -n 's/^Version: //p' | sort -V | tail -n 1
}

download() {
	cd "$1"
	apt apt-get -q --download-only source "$PACKAGE=$VERSION"
}

fill() {
	logged "source-$PACKAGE" "source of $PACKAGE $VERSION: downloading" \
		download "$1"
	dpkg-source --no-check -x "$1"/*.dsc "$1/tree" >/dev/null
	find "$1" -maxdepth 1 -type f -delete
}

VERSION=$(newest)
[ -n "$VERSION" ] || die "no source package '$PACKAGE'"
DIR=$CACHE/src-$PACKAGE-$(echo "$VERSION" | tr : _)
filled "$DIR" fill
echo "$DIR/tree"
