#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# schedules.sh PROGRAM [N]: N (1000000) random merges by PROGRAM, the test of
# merges built without sanitizers, shared out among the processors. The last
# line is the sum.
set -eu
program=$1
total=${2:-1000000}
logs=$program.logs
processes=$(nproc)
share=$(((total + processes - 1) / processes))

mkdir -p "$logs"
rm -f "$logs"/*
i=0
while [ $i -lt "$processes" ]; do
	TEST="random schedule" SEED=$((i * share + 1)) MERGES=$share \
		"$program" >"$logs/$i" 2>&1 &
	i=$((i + 1))
done
# Each log's own last line tells, so no status of a process is asked for.
wait

cat "$logs"/*
awk '/ schedules, / { schedules += $1; cuts += $3; reads += $5 }
	END { printf "%.0f schedules, %.0f cuts, %.0f reads\n",
		schedules, cuts, reads }' "$logs"/*
passed=$(cat "$logs"/* | grep -cx '1 passed, 0 failed' || :)
echo "$passed passed, $((processes - passed)) failed"
[ "$passed" = "$processes" ]
