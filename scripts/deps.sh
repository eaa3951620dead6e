#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# deps.sh: installs the Debian packages that are missing on this machine; when
# none is, it does nothing and needs no rights.
set -eu
. "$(dirname "$0")/lib.sh"

# The one list of what the project needs: package, and for what.
wanted() {
	cat <<-END
	bc                      u-boot: its build
	bison                   u-boot: its build
	bsdiff                  bench-diff: what diffs are compared with
	btrfs-progs             tests: file systems above bow
	build-essential         host binary, unit tests
	clang                   tests: fuzzers
	clang-format            check: C style
	cpio                    initramfs
	curl                    test-bundle: what install is measured against
	device-tree-compiler    u-boot, boot slots: dtc
	dosfstools              tests: file systems above bow
	dpkg-dev                unpack Debian's sources and packages
	e2fsprogs               file systems of the images, made and checked
		erofs-utils             tests: system images; diff --explain
	f2fs-tools              tests: file systems above bow
	fakeroot                owners in the images without being root
	fdisk                   disk image: sfdisk
	file                    check: what was built
	flex                    u-boot: its build
	gcc-aarch64-linux-gnu   kernel modules, U-Boot and bowline for arm64
	gcc-arm-linux-gnueabihf tests: kernel modules for 32 bits
	git                     check: which files are ours
	gzip                    kernel in the boot slots
	kmod                    depmod for the initramfs
	libc6-dev-arm64-cross   bowline for arm64
	libclang-rt-14-dev      tests: fuzzers
	libdevmapper-dev        host binary
	libelf-dev              the kernel's own tools, built for the debug kernel
	libengine-pkcs11-openssl tests: signatures by a token
	libgnutls28-dev         u-boot: its sandbox
	liblz4-dev              host binary: diffs of format 0
	libmbedtls-dev          host binary: signatures
	libssl-dev              u-boot: its tools
	libubootenv-dev         host binary: the environment
	libubootenv-tool        tests: fw_printenv and fw_setenv on images
	libzstd-dev             host binary: diffs
	make                    everything
	openssl                 development key, tests of signatures
	pkgconf                 libdevmapper: its build
	python3                 tests
	python3-pexpect         tests: serial console
	python3-pytest          tests
	python3-pytest-xdist    tests: two boards at once
	qemu-system-arm         boards and kernel tests
	qemu-system-x86         kernel tests
	qemu-utils              tests: overlays of disk images
	shellcheck              check: shell style
	softhsm2                tests: signatures by a token
	sparse                  check: kmod
	squashfs-tools          bench-diff, tests: system images
		squashfs-tools-ng       diff --explain: where files lie in squashfs
	time                    sizes: memory
	u-boot-tools            mkimage, mkenvimage
	uuid-dev                u-boot: its sandbox
	xdelta3                 bench-diff: what diffs are compared with
	xfsprogs                tests: file systems above bow
	xxd                     u-boot: its build
	xz-utils                unpack Debian's sources
	zlib1g-dev              host binary
	zstd                    initramfs
	END
}

missing() {
	wanted | while read -r package _; do
		dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null |
			grep -qx installed || echo "$package"
	done
}

as_root() {
	if [ "$(id -u)" = 0 ]; then
		env DEBIAN_FRONTEND=noninteractive "$@"
	else
		sudo env DEBIAN_FRONTEND=noninteractive "$@"
	fi
}

# A source of the host that is out of order must not stop us: what counts is
# whether the packages can be installed.
update() {
	as_root apt-get -q -o Acquire::Retries=5 update || :
}

install() {
	# shellcheck disable=SC2086 # a list
	as_root apt-get -q -y -o Acquire::Retries=5 \
		-o DPkg::Lock::Timeout=300 --no-install-recommends install $1
}

packages=$(missing | tr '\n' ' ')
[ -n "$packages" ] || exit 0
[ "$(id -u)" = 0 ] || sudo -v || die "installing $packages: root or sudo needed"
say "missing Debian packages: $packages"
logged apt-update "reading the host's package lists" update
logged apt-install "installing the missing packages" install "$packages"
