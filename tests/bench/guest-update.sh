# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=sh
#
# In the machine, behind guest.sh. benchupdate.py gives START, where the part
# that changes begins, in MiB, and the file /packed. With DISKS all targets are
# read, with LINKS merges are measured.
#
#   new, old   images   diff1, diff0   diff of version 1 and 0   hashes   hash tree
#   stores4, stores64   exceptions of two snapshots
#   progress   records of a merge   merged   what it merges into

# For reads the disks are in the machine's own memory, and its own clock says when
# a request is done: DISKS, of each its name and MiB, the first ones begin as the
# disks that QEMU has; LATENCY, nanoseconds that a request takes; SPEED, MiB/s.
# One request at a time, as an eMMC without a command queue.
make_disk() {
	settings=/sys/kernel/config/nullb/$1
	mkdir "$settings"
	for setting in "size $2" "blocksize 512" "memory_backed 1" \
		"cache_size 4" "queue_mode 2" "submit_queues 1" \
		"hw_queue_depth 1" "max_sectors 2560" "irqmode 2" \
		"completion_nsec $LATENCY" "mbps $SPEED" "power 1"; do
		echo "${setting#* }" >"$settings/${setting% *}"
	done
}

make_disks() {
	mount -t configfs configfs /sys/kernel/config
	set -- /dev/vda /dev/vdb /dev/vdc /dev/vdd /dev/vde
	for disk in $DISKS; do
		make_disk "${disk%:*}" "${disk#*:}"
		[ -z "${1:-}" ] || copy_disk "$1" "/dev/${disk%:*}"
		[ -z "${1:-}" ] || shift
	done
}

copy_disk() {
	dd if="$1" of="$2" bs=1M oflag=direct 2>/dev/null
}

# For merges they are those of QEMU.
link_disks() {
	set -- /dev/vda /dev/vdb /dev/vdc /dev/vdd /dev/vde /dev/vdf
	for name in $LINKS; do
		ln -s "$1" "/dev/$name"
		shift
	done
	SECTORS=$(sectors /dev/new)
}

sectors() {
	blockdev --getsz "$1"
}

# make_snapshot NAME STORE CHUNK: the old image with a snapshot above it, in
# which the new one is.
make_snapshot() {
	dmsetup create "$1" \
		--table "0 $SECTORS snapshot /dev/old $2 P $3"
	dd if=/dev/new of="/dev/mapper/$1" bs=1M skip="$START" seek="$START" \
		oflag=direct 2>/dev/null
}

make_targets() {
	SECTORS=$(sectors /dev/new)
	dmsetup create linear --table "0 $SECTORS linear /dev/new 0"
	dmsetup create verity --readonly --table "$VERITY"
	make_snapshot snap4 /dev/stores4 8
	make_snapshot snap64 /dev/stores64 128
	dmsetup create update1 --table "0 $SECTORS update /dev/old /dev/diff1 \
		1 no_bg_update"
	dmsetup create update0 --table "0 $SECTORS update /dev/old /dev/diff0 \
		1 no_bg_update"
	for name in snap4 update1 update0; do
		cmp /dev/new "/dev/mapper/$name"
	done
}

# Puts the old image where the merges write, and no record.
put_back() {
	dd if=/dev/old of=/dev/merged bs=1M oflag=direct conv=fsync 2>/dev/null
	dd if=/dev/zero of=/dev/progress bs=8k count=1 conv=fsync 2>/dev/null
	offline put-back true
}

# merge NAME DIFF
merge() {
	put_back
	dmsetup create merge --table "0 $SECTORS update /dev/merged $2 \
		4 paused progress /dev/progress 0"
	offline "$1" sh -c "dmsetup message merge 0 resume
		dmsetup wait merge 0"
	dmsetup status merge
	dmsetup message merge 0 stats
	dmsetup remove merge
	cmp /dev/new /dev/merged
}

pipe() {
	put_back
	offline pipe sh -c "zstd -dc /packed | dd of=/dev/merged bs=1M \
		seek=$START iflag=fullblock oflag=direct conv=fsync"
	cmp /dev/new /dev/merged
}

measure_merges() {
	offline_mark=-1
	offline begin true
	merge merge1 /dev/diff1
	pipe
	merge merge0 /dev/diff0
	print_marks $offline_mark
}

if [ -n "${DISKS:-}" ]; then
	make_disks
	count_requests
	make_targets
	dmsetup status
else
	link_disks
	count_requests
fi
for n in $(seq "$REPEATS"); do
	echo "REPEAT $n"
	if [ -n "${DISKS:-}" ]; then
		online
	else
		echo OFFLINE
		measure_merges
	fi
	rm mark-*
done
echo BENCH-DONE
