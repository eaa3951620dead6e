#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# check.sh: what can be said about the sources without running them. A line a
# check; the last line counts.
set -eu
. "$(dirname "$0")/lib.sh"

BOARD=${BOARD:-qemu-arm64}
passed=0
failed=0

# files PATTERN...: what git knows, or will know.
files() {
	git ls-files -co --exclude-standard "$@"
}

# By their names, or by their first lines.
shell_files() {
	files '*.sh'
	files ':!*.sh' | while read -r file; do
		head -n 3 "$file" | grep -aqE '^#!.*\bsh$|shellcheck shell=' &&
			echo "$file"
	done || :
}

c_style() {
	files '*.c' '*.h' | xargs clang-format --dry-run -Werror
}

shell_style() {
	shell_files | xargs shellcheck
}

host_binary() {
	scripts/bowline.sh host
}

unit_tests() {
	make -s -C tests/unit -j2
	make -s -C tests/cut -j2
}

device_binary() {
	scripts/bowline.sh "$BOARD"
	file "$OUT/$BOARD/bowline" | grep -q 'statically linked'
}

kmod() {
	scripts/kmod.sh "$BOARD" check
}

mutants_apply() {
	tests/mutants.sh -n
}

# check NAME TEXT
check() {
	if "$1" >"$LOG/check-$1.log" 2>&1; then
		echo "ok   $2"
		passed=$((passed + 1))
	else
		echo "FAIL $2"
		tail -n 30 "$LOG/check-$1.log"
		failed=$((failed + 1))
	fi
}

# lint: tests/lint, whose tests count one by one.
lint() {
	log=$LOG/check-lint.log
	status=0
	python3 -m pytest -q --tb=short -p no:cacheprovider tests/lint \
		>"$log" 2>&1 || status=$?
	good=$(counted passed "$log")
	bad=$(($(counted failed "$log") + $(counted error "$log")))
	if [ $status = 0 ]; then
		echo "ok   $good tests of sources and documentation"
	else
		echo "FAIL tests of sources and documentation"
		cat "$log"
		[ $bad != 0 ] || bad=1
	fi
	passed=$((passed + good))
	failed=$((failed + bad))
}

cd "$TOP"
check c_style "C is formatted as .clang-format says"
check shell_style "shellcheck has nothing to say"
check mutants_apply "every mutant still has something to break"
check host_binary "bowline compiles here, warnings are errors"
check unit_tests "its tests compile, warnings are errors"
check device_binary "bowline compiles for the device, static"
check kmod "kmod compiles with W=1 and sparse, warnings are errors"
lint
echo "check: $passed passed, $failed failed"
[ $failed = 0 ]
