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

shell_files() {
	files 'scripts/*.sh' 'tests/*.sh' 'initramfs/init' \
		'scripts/system/etc/init.d/*' \
		'scripts/system/etc/bowline/health.d/*' .ci/run
}

c_style() {
	files '*.c' '*.h' | xargs clang-format --dry-run -Werror
}

shell_style() {
	shell_files | xargs shellcheck
}

python_compiles() {
	files '*.py' | xargs python3 -c '
import ast, sys
for path in sys.argv[1:]:
    ast.parse(open(path).read(), path)'
}

licences() {
	files '*.c' '*.h' '*.sh' '*.py' '*Makefile' '*Kbuild' '*.env' \
		'*.config' 'scripts/system/etc/init.d/*' |
		xargs grep -L 'SPDX-License-Identifier: GPL-2.0-or-later' |
		grep -v '^kmod/' >"$LOG/check-licences" || :
	files 'kmod/*' | xargs grep -L 'SPDX-License-Identifier: GPL-2.0-only' \
		>>"$LOG/check-licences" || :
	if [ -s "$LOG/check-licences" ]; then
		echo "no SPDX line, or not the one of its folder:"
		cat "$LOG/check-licences"
		return 1
	fi
}

# clang-format ends each function with a brace in the first column.
function_length() {
	files '*.c' | xargs awk '
		FNR == 1 { start = 0 }
		/^{/ { start = FNR }
		/^}/ && start {
			if (FNR - start > 100) {
				print FILENAME ":" start ": longer than" \
					" 100 lines"
				bad = 1
			}
			start = 0
		}
		END { exit bad }'
}

no_leftovers() {
	! files | grep -v '^scripts/check.sh$' |
		xargs grep -nwE 'TODO|FIXME|XXX' /dev/null
}

kernel_versions() {
	! files 'kmod/*' | grep -v '^kmod/compat.h$' |
		xargs grep -n LINUX_VERSION_CODE /dev/null
}

tables() {
	python3 -m pytest -q -p no:cacheprovider tests/lint
}

kmod() {
	scripts/kmod.sh "$BOARD" check
}

host_binary() {
	scripts/bowline.sh host
}

device_binary() {
	scripts/bowline.sh "$BOARD"
	file "$OUT/$BOARD/bowline" | grep -q 'statically linked'
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

cd "$TOP"
check c_style "C is formatted as .clang-format says"
check shell_style "shellcheck has nothing to say"
check python_compiles "Python parses"
check licences "every file names its licence"
check function_length "no function is longer than 100 lines"
check no_leftovers "nothing is marked as unfinished"
check kernel_versions "only kmod/compat.h knows kernel versions"
check tables "tables of the documentation are those of the code"
check host_binary "bowline compiles here, warnings are errors"
check device_binary "bowline compiles for the device, static"
check kmod "kmod compiles with W=1 and sparse, warnings are errors"
echo "$passed passed, $failed failed"
[ $failed = 0 ]
