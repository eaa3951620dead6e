#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# test-bundle.sh: everything that is known about bundles and their installation:
# the unit tests, bundles of every badness, a real server behind links that fail,
# speed and memory. What the tests counted is summed up at the end.
set -eu
. "$(dirname "$0")/lib.sh"
. "$TOP/scripts/sections.sh"

BOW_COUNTS=$LOG/bundle-counts
export BOW_COUNTS

unit_tests() {
	programs=
	for name in bundle install machine manifest verify; do
		programs="$programs $OUT/unit/t-$name"
	done
	make -s -C tests/unit run O="$OUT/unit" TESTS="$programs"
}

power_cuts() {
	make -s -C tests/cut O="$OUT/cut"
	TEST=one_cut "$OUT/cut/t-chain"
}

errors() {
	pytest tests/errors -k 'install or bundle or info'
}

summary() {
	echo
	echo "bad bundles refused, each with its reason:" \
		"$(total 'bad bundles')"
	echo "link faults survived: $(total 'link faults')"
	echo "resumes: $(total resumes)"
	echo "wrong: $(total wrong)"
	echo "memory of install from a server, in KiB:" \
		"$(names 'KiB of memory')"
	echo "speed against curl | sha256sum and dd: $(names speed)"
	echo "fuzz: $(total 'fuzz runs') inputs"
}

cd "$TOP"
rm -f "$LOG"/test-*
: >"$BOW_COUNTS"
scripts/bowline.sh host
section unit "the pure parts, on this machine" unit_tests
section cut "power cuts at every write of an update's life" power_cuts
section errors "what install, bundle and info say to bad input" errors
section bundle "bundles, links and servers" pytest tests/bundle
section fuzz "mutants of bundles" \
	make -s -C tests/fuzz run O="$OUT/fuzz" NAMES=fuzz-bundle
summary
finish
