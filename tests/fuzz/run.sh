#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# run.sh DIR NAMES OPTION...: of DIR the model-* and fuzz-* that NAMES says, in
# one word. Each fuzz target goes through its corpus, then makes mutants of it as
# the options say. The last line is the sum, the one before it how many inputs
# were tried.
set -eu
dir=$1
names=$2
shift 2
here=$(cd "$(dirname "$0")" && pwd)
tried=0
passed=0
failed=0

count() {
	if [ "$1" = 0 ]; then
		passed=$((passed + 1))
	else
		failed=$((failed + 1))
	fi
}

# fuzz NAME OPTION...
fuzz() {
	log=$dir/fuzz-$1.log
	new=$dir/fuzz-$1.new
	name=$1
	shift
	rm -rf "$new"
	mkdir -p "$new"
	status=0
	"$dir/fuzz-$name" -print_final_stats=1 -artifact_prefix="$new/" \
		-max_len=40000 "$@" "$new" "$here/corpus/$name" >"$log" 2>&1 ||
		status=$?
	n=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
	tried=$((tried + ${n:-0}))
	[ $status = 0 ] || tail -40 "$log"
	echo "fuzz-$name: ${n:-0} inputs, status $status"
}

for name in $names; do
	status=0
	case $name in
	model-*) "$dir/$name" || status=$? ;;
	fuzz-*) fuzz "${name#fuzz-}" "$@" ;;
	esac
	count $status
done
if [ -n "${BOW_COUNTS:-}" ]; then
	echo "fuzz runs=$tried" >>"$BOW_COUNTS"
fi
echo "$tried inputs tried"
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
