#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# uboot.sh BOARD: U-Boot for a board, from Debian's source package without a
# patch: out/BOARD/u-boot.bin, with the environment of scripts/env.sh compiled
# in, which is also left in out/BOARD/u-boot-initial-env.
#
# uboot.sh sandbox: U-Boot as a program of this machine, for the tests of the
# boot script: out/sandbox/u-boot. It has no environment of ours.
#
# What is built is kept in out/cache under a name made of everything that went
# in; the object files are kept too, so that a change of the environment or of
# the configuration rebuilds what it touches.
set -eu
. "$(dirname "$0")/lib.sh"

# Otherwise PCI is found after the environment was to be read from a card on it.
FLAGS=-DCONFIG_SYS_EARLY_PCI_INIT
NATIVE=$(dpkg --print-architecture)

# Without a window, and without Python's view of device trees.
build_sandbox() {
	make_u_boot sandbox_defconfig
	make_u_boot NO_SDL=1 CONFIG_PYLIBFDT= u-boot
}

# The fragments, and what follows from the board file.
fragments() {
	cat "$TOP/uboot-env/bowline.config" "$BOARD_DIR/uboot.config"
	cat <<-END
	CONFIG_ENV_OFFSET=$(conf ENV_OFFSET)
	CONFIG_ENV_OFFSET_REDUND=$(conf ENV_OFFSET_REDUND)
	CONFIG_ENV_SIZE=$(conf ENV_SIZE)
	CONFIG_DEFAULT_ENV_FILE="environment"
	END
}

# An option that Kconfig dropped, silently, is an option we do not have.
check_config() {
	grep -E '^(CONFIG_|# CONFIG_.* is not set)' "$OBJ/fragments" |
		while read -r line; do
			case $line in
			'# '*)
				name=${line#\# }
				! grep -q "^${name%% *}=" "$OBJ/.config"
				;;
			*) grep -qxF "$line" "$OBJ/.config" ;;
			esac || {
				echo "u-boot has no '$line' in its configuration"
				exit 1
			}
		done
}

build_board() {
	mkdir -p "$OBJ"
	"$TOP/scripts/env.sh" "$BOARD" >"$OBJ/environment"
	fragments >"$OBJ/fragments"
	make_u_boot "$(conf UBOOT_DEFCONFIG)"
	cat "$OBJ/fragments" >>"$OBJ/.config"
	make_u_boot olddefconfig
	check_config
	make_u_boot KCFLAGS="$FLAGS" u-boot.bin
}

make_u_boot() {
	nice make -C "$SRC" O="$OBJ" -j"$(nproc)" \
		CROSS_COMPILE="$(cross "$ARCH")" SOURCE_DATE_EPOCH=1 "$@"
}

# locked COMMAND...: one build at a time in one folder of objects.
locked() {
	mkdir -p "$OBJ"
	exec 7>"$OBJ.lock"
	flock 7
	"$@"
	exec 7>&-
}

fill_sandbox() {
	locked logged uboot-sandbox "u-boot $VERSION for the sandbox" \
		build_sandbox
	cp "$OBJ/u-boot" "$1/"
}

fill_board() {
	locked logged "uboot-$BOARD" "u-boot $VERSION for $BOARD" build_board
	cp "$OBJ/u-boot.bin" "$OBJ/.config" "$1/"
	cp "$OBJ/environment" "$1/u-boot-initial-env"
}

sandbox() {
	ARCH=$NATIVE
	OBJ=$CACHE/u-boot-obj-$VERSION-sandbox
	DIR=$CACHE/u-boot-$VERSION-sandbox
	filled "$DIR" fill_sandbox
	mkdir -p "$OUT/sandbox"
	ln -sfn "../cache/${DIR##*/}/u-boot" "$OUT/sandbox/u-boot"
}

for_board() {
	board "$1"
	ARCH=$(conf ARCH)
	OBJ=$CACHE/u-boot-obj-$VERSION-$BOARD
	DIR=$CACHE/u-boot-$VERSION-$BOARD-$(key "$(conf UBOOT_DEFCONFIG)" \
		"$FLAGS" "$(fragments)" "$("$TOP/scripts/env.sh" "$BOARD")")
	filled "$DIR" fill_board
	for file in u-boot.bin u-boot-initial-env; do
		ln -sfn "../cache/${DIR##*/}/$file" "$BOARD_OUT/$file"
	done
}

[ $# = 1 ] || die "usage: uboot.sh BOARD|sandbox"
SRC=$("$TOP/scripts/source.sh" u-boot)
VERSION=${SRC%/*}
VERSION=${VERSION##*/src-u-boot-}
case $1 in
sandbox) sandbox ;;
*) for_board "$1" ;;
esac
