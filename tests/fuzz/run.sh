#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# run.sh DIR OPTION...: the model test and the fuzz targets of DIR. Each target
# goes through its corpus, then makes mutants of it as the options say. The last
# line is the sum, the one before it how many inputs were tried.
set -eu
dir=$1
shift
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

status=0
"$dir/model-ranges" || status=$?
count $status
for source in "$here"/fuzz-*.c; do
	name=$(basename "$source" .c)
	log=$dir/$name.log
	new=$dir/$name.new
	rm -rf "$new"
	mkdir -p "$new"
	status=0
	"$dir/$name" -print_final_stats=1 -artifact_prefix="$new/" -max_len=40000 \
		"$@" "$new" "$here/corpus/${name#fuzz-}" >"$log" 2>&1 ||
		status=$?
	n=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
	tried=$((tried + ${n:-0}))
	[ $status = 0 ] || tail -40 "$log"
	echo "$name: ${n:-0} inputs, status $status"
	count $status
done
if [ -n "${BOW_COUNTS:-}" ]; then
	echo "fuzz runs=$tried" >>"$BOW_COUNTS"
fi
echo "$tried inputs tried"
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
