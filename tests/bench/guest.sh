# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=sh
#
# In the machine, before the script of a bench: what all have in common. lab.py
# gives REPEATS; MARKS, how many fio's jobs print; /fio-jobs; and the program
# mark, which prints what was counted so far.
set -e

# No udev here: dmsetup makes the nodes in /dev/mapper itself.
export DM_DISABLE_UDEV=1
TRACING=/sys/kernel/tracing
EVENTS=$TRACING/events/block
mount -t tracefs tracefs $TRACING
# Of a trace that grows too long the beginning is what we want.
echo 0 >$TRACING/options/overwrite
echo mono >$TRACING/trace_clock
mkdir $TRACING/instances/last
echo mono >$TRACING/instances/last/trace_clock
cd /run
echo 1 >/proc/sys/kernel/printk

# Requests that reach the disks are counted, where EVENT says, for what a disk
# sends back because it is too early is issued again; under a delay also what is asked
# of the delay, whose devices are the mapped ones 0 to 7: for a request that
# is a flush the device mapper asks the disk for more than the target wanted.
count_requests() {
	echo 'hist:keys=dev,rwbs,nr_sector:size=4096' \
		>"$EVENTS/${EVENT:-block_rq_issue}/trigger"
	first=$(($(sed -n 's/ *\([0-9]*\) device-mapper/\1/p' /proc/devices |
		tail -n 1) << 20))
	echo "hist:keys=rwbs:size=1024 if dev >= $first && dev < $((first + 8))" \
		>$EVENTS/block_bio_queue/trigger
}

print_marks() {
	for i in $(seq 0 "$1"); do
		echo "MARK $i"
		sed -n -e 's/^{ dev: *\([0-9]*\), rwbs: \([A-Z]*\) *, nr_sector: *\([0-9]*\) .*hitcount: */\1 \2 \3 /p' \
			-e 's/^{ rwbs: \([A-Z]*\) .*hitcount: */delay \1 /p' \
			-e '/^stat /p' "mark-$i.prerun.txt"
	done
}

# fio's jobs one after the other, and what they gave.
online() {
	fio --eta=never --output-format=terse --terse-version=3 \
		--output=fio.out /fio-jobs
	grep '^3;' fio.out | cut -d';' -f 3,5,6,9,47,50 | grep -v '^mark-'
	print_marks "$MARKS"
}

# Two traces of the requests: of one that grows too long the first keeps the
# beginning, the second the end.
trace_begin() {
	for where in $TRACING $TRACING/instances/last; do
		: >"$where/trace"
	done
	echo 1 >$EVENTS/block_rq_issue/enable
	echo 1 >$TRACING/instances/last/events/block/block_rq_complete/enable
}

trace_end() {
	echo 0 >$EVENTS/block_rq_issue/enable
	echo 0 >$TRACING/instances/last/events/block/block_rq_complete/enable
}

# stamps EVENT: of all such events in a trace, in microseconds.
stamps() {
	sed -n "s/.* \([0-9]*\)\.\([0-9]*\): $1:.*/\1\2/p"
}

# offline NAME COMMAND...: COMMAND alone, with a mark behind it and its time,
# from its first request to a disk to the end of its last: how long it takes to
# load a program says nothing about it. Whatever comes first is a read.
offline() {
	name=$1
	shift
	sync
	echo 3 >/proc/sys/vm/drop_caches
	trace_begin
	"$@" >offline.out 2>&1 || { cat offline.out; exit 1; }
	trace_end
	first=$(stamps block_rq_issue <$TRACING/trace | head -n 1)
	last=$(stamps block_rq_complete <$TRACING/instances/last/trace |
		tail -n 1)
	echo "TIME $name $((${last:-0} - ${first:-0}))"
	offline_mark=$((offline_mark + 1))
	mark >"mark-$offline_mark.prerun.txt"
}
