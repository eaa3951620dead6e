#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# pairs.sh [NAME...]: makes pairs of system images out of Debian's packages,
# each in a folder of its own in the cache with old.img and new.img, and prints
# the folders, one a line. Without names, all of them:
#
#   security-rebuilt    a small server without and with the suite's updates
#   security-in-place   the same, the old image updated in place
#   security-squashfs   the same as squashfs
#   kernel-rebuilt      busybox and the modules of two kernels
#   kernel-in-place
#   application-rebuilt    the small server, its nginx updated and set up
#   application-in-place
#
# "Rebuilt" images are both made from nothing, so that one file that grows moves
# all files behind it. Versions are those of the day: what the suite had when it
# was released, and the newest there is.
# shellcheck disable=SC2115 # the folders are named
set -eu
. "$(dirname "$0")/lib.sh"

ARCH=amd64
# Fixed, so that images differ only where their files do.
UUID=6f626f77-6c69-4e65-8000-00000000000a
TIME=1700000000

apt() {
	set_=$1
	shift
	"$TOP/scripts/apt.sh" "$set_" "$ARCH" "$@"
}

# The kernel that the suite's kernel for virtual machines depends on.
kernel() {
	apt "$1" apt-cache depends linux-image-cloud-amd64 |
		sed -n 's/.*Depends: \(linux-image-[^ ]*\).*/\1/p' | head -n 1
}

wanted() {
	case $1 in
	server) grep -hv '^#' "$TOP/scripts/system.list" \
		"$TOP/scripts/pairs.list" ;;
	kernel) kernel "$2" ;;
	esac
}

# What apt would install, or of the kernel itself only busybox and it.
resolve() {
	if [ "$1" = kernel ]; then
		printf '%s=%s\n' busybox-static \
			"$(candidate "$2" busybox-static)" \
			"$(kernel "$2")" "$(candidate "$2" "$(kernel "$2")")"
		return
	fi
	# shellcheck disable=SC2046 # a list
	apt "$2" apt-get -q --simulate install $(wanted "$1" "$2") |
		sed -n 's/^Inst \([^ ]*\) (\([^ ]*\) .*/\1=\2/p' | sort
}

candidate() {
	apt "$1" apt-cache policy "$2" | sed -n 's/^ *Candidate: //p'
}

# What lies in DIR/debs goes into DIR.
unpack_debs() {
	for deb in "$1"/debs/*.deb; do
		dpkg-deb --fsys-tarfile "$deb" |
			tar -xp --keep-directory-symlink -C "$1"
	done
	rm -rf "${1:?}/debs" "$1/boot" "$1"/usr/share/doc "$1"/usr/share/man \
		"$1"/usr/share/locale "$1"/usr/share/info \
		"$1"/usr/share/lintian
}

# unpack SET LIST DIR: Debian's merged /usr, without documents.
unpack() {
	mkdir -p "$3/usr/bin" "$3/usr/sbin" "$3/usr/lib" "$3/debs"
	ln -s usr/bin usr/sbin usr/lib "$3/"
	# shellcheck disable=SC2046 # a list
	(cd "$3/debs" && apt "$1" apt-get -qq download $(cat "$2"))
	unpack_debs "$3"
}

fill_tree() {
	logged "pairs-$1-$2" "pairs: unpacking $1 ($2)" unpack "$2" "$3" "$4"
}

# tree KIND SET: sets TREE, the folder with the files.
tree() {
	list=$OUT/pairs-$1-$2.packages
	resolve "$1" "$2" >"$list"
	[ -s "$list" ] || die "apt found no packages for '$1' ($2)"
	TREE=$CACHE/pair-tree-$1-$(key "$(cat "$list")" "$RECIPE")
	filled "$TREE" fill_tree "$1" "$2" "$list"
}

# MiB for the larger tree, with room as people leave it.
size_for() {
	du -sm "$@" | awk '$1 > most { most = $1 }
		END { print int((most * 1.15 + 47) / 16) * 16 }'
}

ext4() {
	find "$1" -exec touch -h -d "@$TIME" {} +
	export E2FSPROGS_FAKE_TIME=$TIME SOURCE_DATE_EPOCH=$TIME
	as_root mke2fs -q -t ext4 -L system -U "$UUID" -b 4096 -m 0 \
		-O ^has_journal -E "hash_seed=$UUID,root_owner=0:0" \
		-d "$1" "$2" "$3M"
	(cd "$1" && find . -mindepth 1 -printf '%P\n') |
		sed "s|.*|sif \"/&\" ctime @$TIME\nsif \"/&\" atime @$TIME|" \
			>"$2.debugfs"
	debugfs -w -f "$2.debugfs" "$2" >/dev/null
	rm "$2.debugfs"
}

in_place() {
	find "$2" -exec touch -h -d "@$TIME" {} +
	cp --sparse=always "$3" "$4"
	python3 "$TOP/tests/diff/edit.py" "$1" "$2" >"$4.debugfs"
	E2FSPROGS_FAKE_TIME=$TIME debugfs -w -f "$4.debugfs" "$4"
	rm "$4.debugfs"
	e2fsck -fn "$4"
}

squashfs() {
	mksquashfs "$1" "$2" -comp zstd -b 128K -all-root -no-xattrs \
		-no-progress -all-time "$TIME" -mkfs-time "$TIME"
}

make_pair() {
	case $1 in
	*-squashfs)
		squashfs "$OLD" "$2/old.img"
		squashfs "$NEW" "$2/new.img"
		;;
	*)
		size=$(size_for "$OLD" "$NEW")
		ext4 "$OLD" "$2/old.img" "$size"
		;;
	esac
	case $1 in
	*-rebuilt) ext4 "$NEW" "$2/new.img" "$size" ;;
	*-in-place) in_place "$OLD" "$NEW" "$2/old.img" "$2/new.img" ;;
	esac
}

fill_pair() {
	logged "pairs-$1" "pairs: making $1" make_pair "$1" "$2"
}

change_application() {
	cp -a "$1/." "$2/"
	mkdir "$2/debs"
	(cd "$2/debs" && apt updates apt-get -qq download nginx nginx-common)
	unpack_debs "$2"
	echo 'PermitRootLogin no' >>"$2/usr/share/openssh/sshd_config"
	sed -i 's/worker_connections .*/worker_connections 64;/' \
		"$2/etc/nginx/nginx.conf"
	seq -f 'server app-%g.example.org' 1 400 >"$2/etc/app.conf"
}

application_tree() {
	version=$(candidate updates nginx)
	TREE=$CACHE/pair-tree-application-$(key "${1##*/}" "$version" "$CHANGE")
	filled "$TREE" change_application "$1"
}

# Sets OLD and NEW, the trees of a pair.
trees() {
	case $1 in
	security-*) kind=server ;;
	kernel-*) kind=kernel ;;
	application-*)
		tree server release
		OLD=$TREE
		application_tree "$OLD"
		NEW=$TREE
		return
		;;
	*) die "no pair '$1'" ;;
	esac
	tree "$kind" release
	OLD=$TREE
	tree "$kind" updates
	NEW=$TREE
}

RECIPE=$(key "$(sed -n "/^unpack_debs() {/,/^make_pair/p" "$0")" \
	"$(cat "$TOP/tests/diff/edit.py")")
CHANGE=$(sed -n "/^change_application/,/^}/p" "$0")
[ $# -gt 0 ] || set -- security-rebuilt security-in-place security-squashfs \
	kernel-rebuilt kernel-in-place application-rebuilt application-in-place
for pair; do
	trees "$pair"
	dir=$CACHE/pair-$pair-$(key "${OLD##*/}" "${NEW##*/}" "$RECIPE")
	filled "$dir" fill_pair "$pair"
	echo "$dir"
done
