#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# test-update.sh: everything that is known about the update target. Takes an
# hour. What the tests counted is summed up at the end. SCHEDULES=n is the
# number of random merges on the pure simulation, a million by default.
set -eu
. "$(dirname "$0")/lib.sh"
. "$TOP/scripts/sections.sh"

BOARD=${BOARD:-qemu-arm64}
MACHINES='arm64 amd64 debug'
BOW_COUNTS=$LOG/update-counts
SCHEDULES=${SCHEDULES:-1000000}
export BOARD BOW_COUNTS

unit_tests() {
	programs=
	for source in tests/unit/t-update-*.c tests/unit/t-apply.c; do
		source=${source##*/}
		programs="$programs $OUT/unit/${source%.c}"
	done
	make -s -C tests/unit run O="$OUT/unit" TESTS="$programs"
}

# The merge alone, on images of a few blocks, cut at every step.
simulation() {
	make -s -C tests/unit schedules O="$OUT/unit" SCHEDULES="$SCHEDULES"
	echo "schedules=$SCHEDULES" >>"$BOW_COUNTS"
}

fuzzers() {
	make -s -C tests/fuzz run O="$OUT/fuzz" \
		NAMES='fuzz-update0 fuzz-update1'
}

# in_kernel MACHINE: the quick tests of the target.
in_kernel() {
	export VM_MACHINE="$1"
	pytest tests/vm/test_update*.py tests/vm/test_sums.py -n 2
}

# The long ones, on the machine that is quickest.
proofs() {
	export VM_MACHINE=amd64
	pytest tests/update -n 2 --dist loadfile --durations=20
}

summary() {
	echo
	echo "hazards of the published target that ours has not:" \
		"$(total hazards)/23"
	echo "crash points: $(total 'crash points') tried," \
		"$(total 'crash points failed') failed"
	echo "schedules: $(total schedules) on the simulation, each cut at" \
		"every step"
	echo "samples: $(total samples) of version 0," \
		"$(total pairs) random pairs of version 1"
	echo "memory at rest: $(names 'memory at rest')," \
		"for 1 GiB that all changes, with its merge:" \
		"$(names 'memory for 1 GiB')"
	echo "fuzz: $(total 'fuzz runs') inputs"
	echo "machines: $(names machines)"
}

cd "$TOP"
rm -f "$LOG"/test-*
: >"$BOW_COUNTS"
scripts/bowline.sh host
scripts/kmod.sh "$BOARD"
scripts/kmod.sh amd64
scripts/kmod.sh debug
VM_ACCEL=$(python3 tests/vm/vm.py)
export VM_ACCEL
section unit "the pure parts, on this machine" unit_tests
section simulation "$SCHEDULES random merges" simulation
section fuzz "mutants of diffs of both formats" fuzzers
for machine in $MACHINES; do
	section "vm-$machine" "the target in a real kernel, $machine" \
		in_kernel "$machine"
	[ "$status" != 0 ] || echo "machines=$machine" >>"$BOW_COUNTS"
done
section update "the long proofs" proofs
summary
finish
