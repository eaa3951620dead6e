# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=sh
#
# For scripts that run tests in sections; sourced after lib.sh. Each section
# ends with its count, finish prints the last line. The log of a section is
# out/log/test-NAME.log.

passed=0
failed=0

# add NAME STATUS: the counts in the section's log go into the sum. A section
# that fails without a count is one failure.
add() {
	p=$(counted passed "$LOG/test-$1.log")
	f=$(($(counted failed "$LOG/test-$1.log") +
		$(counted error "$LOG/test-$1.log")))
	if [ "$2" != 0 ] && [ $f = 0 ]; then
		f=1
	fi
	passed=$((passed + p))
	failed=$((failed + f))
	echo "== $1: $p passed, $f failed"
}

# section NAME TEXT COMMAND...
section() {
	name=$1
	echo
	echo "== $name: $2"
	shift 2
	status=0
	{
		"$@" 2>&1 || echo $? >"$LOG/test-$name.status"
	} | tee "$LOG/test-$name.log"
	if [ -f "$LOG/test-$name.status" ]; then
		status=$(cat "$LOG/test-$name.status")
		rm "$LOG/test-$name.status"
	fi
	add "$name" "$status"
}

# pytest ARGUMENT...
pytest() {
	python3 -m pytest -q -p no:cacheprovider "$@"
}

# The last line, and the script's status.
finish() {
	echo
	echo "$passed passed, $failed failed"
	[ $failed = 0 ]
}

# total NAME: the sum of what the tests counted under this name, as NAME=NUMBER
# lines in $BOW_COUNTS.
total() {
	awk -F= -v name="$1" '$1 == name { n += $2 } END { print n + 0 }' \
		"$BOW_COUNTS"
}

# names NAME: the values under this name, each once.
names() {
	sed -n "s/^$1=//p" "$BOW_COUNTS" | sort -u | paste -s -d ' '
}
