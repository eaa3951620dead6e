#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# run.sh PROGRAM...: runs unit-test programs and sums up their last lines.
# A program that dies before its count is one failure more.

passed=0
failed=0

for program; do
	echo "== ${program##*/}"
	out=$("$program" 2>&1)
	status=$?
	echo "$out"
	count=$(echo "$out" | sed -n '$s/^\([0-9]*\) passed, \([0-9]*\) failed$/\1 \2/p')
	p=${count% *}
	f=${count#* }
	if [ -z "$count" ] || { [ "$status" -ne 0 ] && [ "$f" -eq 0 ]; }; then
		echo "FAIL ${program##*/} ended with status $status"
		failed=$((failed + 1))
	fi
	passed=$((passed + ${p:-0}))
	failed=$((failed + ${f:-0}))
done

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
