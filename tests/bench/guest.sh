# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=sh
#
# In the machine: one repetition after the other, each on new targets. bench.py
# puts before it: REPEATS; DELAY, in ms, 0 for none; MARKS, how many fio's jobs
# print; and gives /fio-jobs, bowline and the programs beside this file. With a
# DELAY every target, raw included, lies on dm-delay.
set -e

# No udev here: dmsetup makes the nodes in /dev/mapper itself.
export DM_DISABLE_UDEV=1
TRACING=/sys/kernel/tracing
EVENTS=$TRACING/events/block
mount -t tracefs tracefs $TRACING
# Of a trace that grows too long the beginning is what we want.
echo 0 >$TRACING/options/overwrite
echo mono >$TRACING/trace_clock
cd /run
echo 1 >/proc/sys/kernel/printk

# Requests that reach the disks are counted; under a delay also what is asked
# of the delay, whose devices are the mapped ones 0 to 6: for a request that
# is a flush the device mapper asks the disk for more than the target wanted.
count_requests() {
	echo 'hist:keys=dev,rwbs,nr_sector:size=4096' \
		>$EVENTS/block_rq_issue/trigger
	first=$(($(sed -n 's/ *\([0-9]*\) device-mapper/\1/p' /proc/devices |
		tail -n 1) << 20))
	echo "hist:keys=rwbs:size=1024 if dev >= $first && dev < $((first + 7))" \
		>$EVENTS/block_bio_queue/trigger
}

print_marks() {
	for i in $(seq 0 "$1"); do
		echo "MARK $i"
		sed -n -e 's/^{ dev: *\([0-9]*\), rwbs: \([A-Z]*\) *, nr_sector: *\([0-9]*\) .*hitcount: */\1 \2 \3 /p' \
			-e 's/^{ rwbs: \([A-Z]*\) .*hitcount: */delay \1 /p' \
			"mark-$i.prerun.txt"
	done
}

sectors() {
	blockdev --getsz "$1"
}

# lower DEVICE NAME: LOWER is what a target lies on.
lower() {
	LOWER=$1
	[ "$DELAY" != 0 ] || return 0
	LOWER=/dev/mapper/slow-$2
	dmsetup create "slow-$2" --table "0 $(sectors "$1") delay \
		$1 0 0 $1 0 $DELAY $1 0 $DELAY"
}

make_lower() {
	lower /dev/vda raw
	lower /dev/vdb linear && LINEAR=$LOWER
	lower /dev/vdc bow && BOW=$LOWER
	lower /dev/vdd1 snap4-1 && SNAP4=$LOWER
	lower /dev/vdd2 snap4-2 && SNAP4_STORE=$LOWER
	lower /dev/vde1 snap64-1 && SNAP64=$LOWER
	lower /dev/vde2 snap64-2 && SNAP64_STORE=$LOWER
}

# bow_state NAME STATE
bow_state() {
	minor=$(dmsetup info -c --noheadings -o minor "$1")
	echo "$2" >"/sys/block/dm-$minor/bow/state"
}

# make_bow NAME DEVICE OPTIONS
make_bow() {
	dmsetup create "$1" --table "0 $(sectors "$2") bow $2 $3"
	half=$(($(sectors "$2") * 256))
	blkdiscard -o $half -l $half "/dev/mapper/$1"
	bow_state "$1" 1
}

# make_snapshot NAME ORIGIN STORE CHUNK: a snapshot of ORIGIN whose exceptions
# go to STORE; NAME is then the origin as one writes to it. The snapshot comes
# first: made later, it would miss parts of large writes.
make_snapshot() {
	dd if=/dev/zero of="$3" bs=64k count=1 conv=fsync 2>/dev/null
	dmsetup create "$1-old" --table "0 $(sectors "$2") snapshot $2 $3 P $4"
	dmsetup create "$1" --table "0 $(sectors "$2") snapshot-origin $2"
}

make_targets() {
	make_lower
	dmsetup create linear --table "0 $(sectors "$LINEAR") linear $LINEAR 0"
	make_bow bow "$BOW" "1 block_size:4096"
	[ "$DELAY" != 0 ] || make_bow bow512 /dev/vdf "1 block_size:512"
	make_snapshot snap4 "$SNAP4" "$SNAP4_STORE" 8
	make_snapshot snap64 "$SNAP64" "$SNAP64_STORE" 128
}

# offline NAME COMMAND...: COMMAND on the bow device that is not in use now,
# with a mark behind it and its time, from its first request to the disk to the
# end: loading a program says nothing about it. Whatever comes first is a read.
offline() {
	name=$1
	shift
	sync
	echo 3 >/proc/sys/vm/drop_caches
	echo >$TRACING/trace
	echo 1 >$EVENTS/block_rq_issue/enable
	end=$(stopwatch "$@")
	echo 0 >$EVENTS/block_rq_issue/enable
	first=$(sed -n '/ block_rq_issue:/ {
		s/.* \([0-9]*\)\.\([0-9]*\): block_rq_issue:.*/\1\2/p; q
		}' $TRACING/trace)
	echo "TIME $name $((end - ${first:-$end}))"
	offline_mark=$((offline_mark + 1))
	cat $EVENTS/block_rq_issue/hist $EVENTS/block_bio_queue/hist \
		>"mark-$offline_mark.prerun.txt"
}

# The log that fio's writes left: once kept, once restored, and the same
# extents copied by a program that does only that.
measure_offline() {
	dmsetup remove bow
	bowline inspect "$BOW" >log
	tail -n 1 log
	sed -n 's/^ *entry [0-9]*: \([0-9]*\) bytes of sector \([0-9]*\) at \([0-9]*\),.*/\1 \2 \3/p' \
		log >extents
	sed -n 's/.*block size \([0-9]*\),.*live block 0 at sector \([0-9]*\),.*/\1 0 \2/p' \
		log | head -n 1 >extent0
	dd if="$BOW" of=block0 bs=4096 count=1 2>/dev/null
	offline_mark=-1
	offline begin true
	offline keep bowline keep "$BOW"
	offline keep-copy copy "$BOW" extent0
	dd if=block0 of="$BOW" bs=4096 conv=fsync 2>/dev/null
	offline put-back true
	offline copy copy "$BOW" extents
	dd if=block0 of="$BOW" bs=4096 conv=fsync 2>/dev/null
	offline put-back true
	offline restore bowline restore "$BOW"
	print_marks $offline_mark
}

repeat() {
	echo "REPEAT $1"
	make_targets
	fio --eta=never --output-format=terse --terse-version=3 \
		--output=fio.out /fio-jobs
	grep '^3;' fio.out | cut -d';' -f 3,5,6,9,47,50 | grep -v '^mark-'
	print_marks "$MARKS"
	dmsetup status
	# A snapshot that ran out of space would have been fast.
	[ "$(dmsetup status | grep -cE 'Invalid|Overflow')" = 0 ]
	echo OFFLINE
	measure_offline
	[ "$DELAY" != 0 ] || bow_state bow512 2
	dmsetup remove linear snap4 snap4-old snap64 snap64-old
	dmsetup remove_all
	[ "$(dmsetup ls)" = "No devices found" ]
	rm mark-*
}

count_requests
for n in $(seq "$REPEATS"); do
	repeat "$n"
done
echo BENCH-DONE
