#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# deb.sh SET ARCH PACKAGE[=VERSION]...: unpacks Debian packages of another
# machine, each into a folder of its own in the cache, and prints these
# folders, one a line. Without a version it is the newest.
set -eu
. "$(dirname "$0")/lib.sh"

[ $# -ge 3 ] || die "usage: deb.sh release|updates ARCH PACKAGE..."
SET=$1
ARCH=$2
shift 2

apt() {
	"$TOP/scripts/apt.sh" "$SET" "$ARCH" "$@"
}

candidate() {
	apt apt-cache policy "$1" | sed -n 's/^ *Candidate: //p'
}

fill() {
	(
		cd "$3"
		apt apt-get -qq download "$1=$2" >&2
		dpkg-deb -x ./*.deb .
		rm ./*.deb
	)
}

for package; do
	version=${package#*=}
	[ "$version" != "$package" ] || version=$(candidate "$package")
	package=${package%%=*}
	case $version in
	'' | '(none)') die "no package '$package' for $ARCH" ;;
	esac
	dir=$CACHE/deb-$package-$(echo "$version" | tr : _)-$ARCH
	filled "$dir" fill "$package" "$version"
	echo "$dir"
done
