# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=sh
#
# In the machine, behind guest.sh: one repetition after the other, each on new
# targets. bench.py gives DELAY, in ms, 0 for none, and bowline. With a DELAY
# every target, raw included, lies on dm-delay.

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
	lower /dev/vdf bow512 && BOW512=$LOWER
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
	make_bow bow512 "$BOW512" "1 block_size:512"
	make_snapshot snap4 "$SNAP4" "$SNAP4_STORE" 8
	make_snapshot snap64 "$SNAP64" "$SNAP64_STORE" 128
}

# keep NAME DEVICE, whose log is in the file of that name; and the same done by
# a plain program.
keep() {
	sed -n 's/.*block size \([0-9]*\),.*live block 0 at sector \([0-9]*\),.*/\1 0 \2/p' \
		"log-$1" | head -n 1 >extent0
	offline "$1" bowline keep "$2"
	offline "$1-copy" copy "$2" extent0
}

# The log that fio's writes left: once kept, once restored, and the same
# extents copied by a program that does only that.
measure_offline() {
	dmsetup remove bow
	dmsetup remove bow512
	dd if="$BOW" of=block0 bs=4096 count=1 2>/dev/null
	bowline inspect "$BOW" >log-keep
	bowline inspect "$BOW512" >log-keep512
	offline_mark=-1
	offline begin true
	keep keep "$BOW"
	keep keep512 "$BOW512"
	dd if=block0 of="$BOW" bs=4096 conv=fsync 2>/dev/null
	tail -n 1 log-keep
	sed -n 's/^ *entry [0-9]*: \([0-9]*\) bytes of sector \([0-9]*\) at \([0-9]*\),.*/\1 \2 \3/p' \
		log-keep >extents
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
	online
	dmsetup status
	# A snapshot that ran out of space would have been fast.
	[ "$(dmsetup status | grep -cE 'Invalid|Overflow')" = 0 ]
	echo OFFLINE
	measure_offline
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
