#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# test-bow.sh: everything that is known about the bow target and its offline
# tool, on all three machines of the kernel tests. Takes an hour or more. What
# the tests counted is summed up at the end.
set -eu
. "$(dirname "$0")/lib.sh"
. "$TOP/scripts/sections.sh"

BOARD=${BOARD:-qemu-arm64}
MACHINES='arm64 amd64 debug'
BOW_COUNTS=$LOG/bow-counts
export BOARD BOW_COUNTS

unit_tests() {
	programs=
	for source in tests/unit/t-bow-*.c tests/unit/t-extmap.c; do
		source=${source##*/}
		programs="$programs $OUT/unit/${source%.c}"
	done
	make -s -C tests/unit run O="$OUT/unit" TESTS="$programs"
}

# in_kernel MACHINE: the quick tests of the target.
in_kernel() {
	export VM_MACHINE="$1"
	pytest tests/vm/test_bow*.py tests/vm/test_sums.py -n 2
}

# The long ones, which say themselves on which machines. Those of one file may
# share what took long to make.
proofs() {
	pytest tests/bow -n 2 --dist loadfile --durations=20
}

summary() {
	echo
	echo "faults of the published target that ours has not:" \
		"$(total faults)/15"
	echo "crash points: $(total 'crash points') tried," \
		"$(total 'crash points failed') failed"
	echo "file systems: $(names 'file systems' | wc -w):" \
		"$(names 'file systems')"
	echo "samples: $(total samples)"
	echo "memory, in MiB for 8 GiB: $(names 'MiB for 8 GiB')"
	echo "fuzz: $(total 'fuzz runs') inputs"
	echo "life under load: $(total 'lifecycle scenes') scenes," \
		"$(total 'I/O failures') failures of the lower device"
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
section fuzz "a model of the ranges, mutants of logs and of devices" \
	make -s -C tests/fuzz run O="$OUT/fuzz" \
	NAMES="model-ranges fuzz-log fuzz-device"
for machine in $MACHINES; do
	section "vm-$machine" "the target in a real kernel, $machine" \
		in_kernel "$machine"
	[ "$status" != 0 ] || echo "machines=$machine" >>"$BOW_COUNTS"
done
section bow "the long proofs" proofs
summary
finish
