# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=sh
#
# In the machine, behind guest.sh: every target once, read in all repetitions,
# and in each of them the merges and what they are compared with. benchupdate.py
# gives START, where the part that changes begins, in MiB; VERITY, the table over
# the hash tree; and the file /packed.
#
#   vda new image   vdb old image   vdc, vdd diff of version 1 and 0
#   vde hash tree   vdf exceptions of two snapshots   vdg progress
#   vdh what is merged into

sectors() {
	blockdev --getsz "$1"
}

# make_snapshot NAME STORE CHUNK: the old image with a snapshot above it, in
# which the new one is.
make_snapshot() {
	dmsetup create "$1" \
		--table "0 $SECTORS snapshot /dev/vdb $2 P $3"
	dd if=/dev/vda of="/dev/mapper/$1" bs=1M skip="$START" seek="$START" \
		oflag=direct 2>/dev/null
}

make_targets() {
	SECTORS=$(sectors /dev/vda)
	dmsetup create linear --table "0 $SECTORS linear /dev/vda 0"
	dmsetup create verity --readonly --table "$VERITY"
	make_snapshot snap4 /dev/vdf1 8
	make_snapshot snap64 /dev/vdf2 128
	dmsetup create update1 --table "0 $SECTORS update /dev/vdb /dev/vdc \
		1 no_bg_update"
	dmsetup create update0 --table "0 $SECTORS update /dev/vdb /dev/vdd \
		1 no_bg_update"
	for name in snap4 update1 update0; do
		cmp /dev/vda "/dev/mapper/$name"
	done
}

# Puts the old image where the merges write, and no record.
put_back() {
	dd if=/dev/vdb of=/dev/vdh bs=1M oflag=direct conv=fsync 2>/dev/null
	dd if=/dev/zero of=/dev/vdg bs=8k count=1 conv=fsync 2>/dev/null
	offline put-back true
}

# merge NAME DIFF
merge() {
	put_back
	dmsetup create merge --table "0 $SECTORS update /dev/vdh $2 \
		4 paused progress /dev/vdg 0"
	offline "$1" sh -c "dmsetup message merge 0 resume
		dmsetup wait merge 0"
	dmsetup status merge
	dmsetup message merge 0 stats
	dmsetup remove merge
	cmp /dev/vda /dev/vdh
}

pipe() {
	put_back
	offline pipe sh -c "zstd -dc /packed | dd of=/dev/vdh bs=1M \
		seek=$START iflag=fullblock oflag=direct conv=fsync"
	cmp /dev/vda /dev/vdh
}

measure_merges() {
	offline_mark=-1
	offline begin true
	merge merge1 /dev/vdc
	pipe
	merge merge0 /dev/vdd
	print_marks $offline_mark
}

count_requests
make_targets
for n in $(seq "$REPEATS"); do
	echo "REPEAT $n"
	online
	dmsetup status
	echo OFFLINE
	measure_merges
	rm mark-*
done
echo BENCH-DONE
