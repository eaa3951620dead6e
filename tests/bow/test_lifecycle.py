# SPDX-License-Identifier: GPL-2.0-or-later
"""The bow target's life under load: suspend, reload, remove, changes of state
at bad moments, and a lower device that fails in every part of the work.

One machine plays several scenes, each on a slice of its own of /dev/vda. A
slice is random at first, and 4 MiB of it are free, so the host knows what
state 1 began with and what a restore must bring back.
"""

import os
import re
import struct

import pytest

import counts
import vm
from test_bow import bowline, differences

MACHINES = ["amd64", "debug"]
MODULES = ["dm_mod", "dm_bow", "dm_flakey"]
MIB = 1 << 20
SLICE = 16 * MIB
STRIDE = 17 * MIB
POOL = [(8 << 11, 12 << 11)]

LIB = """
set -e
SLICE=$((16 << 11))
STRIDE=$((17 << 11))
dev() { echo /dev/dm-$(dmsetup info -c --noheadings -o minor $1 | tr -d ' '); }
folder() { d=$(dev $1); echo /sys/block/${d#/dev/}/bow; }
state() { cat $(folder $1)/state; }
forget() { echo 3 > /proc/sys/vm/drop_caches; }
fails() { if "$@" 2>/run/err; then echo "did not fail: $*"; exit 9; fi; }
because() { grep -q "$1" /run/err || { cat /run/err; exit 8; }; }
# Something must be true within a minute.
soon() {
    for i in $(seq 300); do if "$@"; then return; fi; sleep 0.2; done
    echo "never: $*"; exit 7
}
# lower N FROM:SECTORS:KIND...: slice N as it is, where nothing else is said.
pieces() {
    base=$(($1 * STRIDE)); at=0; shift
    for piece in "$@" $((SLICE + 8)):0:end; do
        from=${piece%%:*}; rest=${piece#*:}; len=${rest%:*}
        [ $at = $from ] || echo "$at $((from - at)) linear /dev/vda $((base+at))"
        at=$((from + len))
        case ${piece##*:} in
        readonly) echo "$from $len flakey /dev/vda $((base + from)) 0 99 1 error_writes" ;;
        error) echo "$from $len error" ;;
        dust) echo "$from $len dust /dev/vda $((base + from)) 512" ;;
        end) ;;
        esac
    done
}
lower() {
    pieces "$@" | dmsetup load low$1
    dmsetup suspend --nolockfs low$1
    dmsetup resume low$1
}
make() {
    dmsetup info low$1 > /run/info 2>&1 || pieces $1 | dmsetup create low$1
    dmsetup create bow$1 --table "0 $SLICE bow $(dev low$1) $2"
    blkdiscard -o 8M -l 4M $(dev bow$1)
}
begin() { make "$@"; echo 1 > $(folder bow$1)/state; }
reload() { dmsetup table $1 | dmsetup load $1; }
"""


@pytest.fixture(params=MACHINES)
def machine(request):
    return request.param


class Stage:
    """A machine, its disk, and the disk as it was before."""

    def __init__(self, work, machine, slices):
        self.work = work
        self.machine = machine
        self.slices = slices
        self.disk = work / "disk"
        self.disk.write_bytes(os.urandom(slices * STRIDE))
        self.before = self.disk.read_bytes()

    def play(self, script, more=(), **args):
        tools = [vm.program(source, self.work, self.machine) for source in
                 (vm.TOP / "tests/vm/scribble.c", vm.TOP / "tests/bow/tide.c")]
        result = vm.run(LIB + script, disks=[self.disk, *more],
                        modules=MODULES, work=self.work, timeout=300,
                        machine=self.machine,
                        files={f"bin/{t.name}": t for t in tools}, **args)
        assert result.killed or result.status == 0, result.console
        counts.add("lifecycle scenes", self.slices)
        return result

    def slice(self, n, data=None):
        """Slice n of the disk as it is, or of other bytes, as a file."""
        data = data or self.disk.read_bytes()
        path = self.work / f"slice{n}"
        path.write_bytes(data[n * STRIDE:n * STRIDE + SLICE])
        return path

    def restored(self, n):
        path = self.slice(n)
        assert "\na good log: " in bowline("inspect", path)
        bowline("restore", path)
        return path

    def check(self, *numbers):
        for n in numbers:
            restored = self.restored(n)
            begun = self.work / "begun"
            begun.write_bytes(self.before[n * STRIDE:n * STRIDE + SLICE])
            assert differences(restored, begun, POOL) == [], f"slice {n}"


LOAD = """
begin 0
begin 1 "1 block_size:4096"
for n in 0 1; do scribble $(dev bow$n) $n 100 4 8 9 10 11 > /run/out$n & done
for i in 1 2 3 4 5 6; do
    for b in bow0 bow1; do
        case $i in
        1|4) dmsetup suspend $b ;;
        2|5) dmsetup suspend --nolockfs $b ;;
        *) dmsetup suspend --noflush --nolockfs $b ;;
        esac
        test $(state $b) = 1
        test $(cat $(folder $b)/free) -le $((4 << 20))
        fails sh -c "echo 2 > $(folder $b)/state"; because busy
        [ $i -lt 4 ] || reload $b
        dmsetup resume $b
    done
    sleep 0.3
done
wait
cat /run/out0 /run/out1
echo states=$(state bow0) $(state bow1)
"""

BUSY = """
begin 2
bow=$(dev bow2)
exec 5<$bow 6<$(folder bow2)/state 7>$(folder bow2)/state
fails dmsetup remove bow2; because busy
scribble $bow 100
dmsetup remove --deferred bow2
scribble $bow 200
test $(state bow2) = 1
exec 5<&-
gone() { ! dmsetup info bow2 > /run/info 2>&1; }
soon gone
test ! -e /sys/block/${bow#/dev/}/bow
fails sh -c 'cat <&6'; because 'No such device'
fails sh -c 'echo 2 >&7'; because 'No such device'
exec 6<&- 7>&-
fails dmsetup create bow2 --table "0 $SLICE bow $(dev low2)"
dmesg | grep -q 'restore or keep it first'
echo busy=done
"""

# A suspend waits for a write whose backup waits for the suspended lower
# device; a signal ends the suspend, and all goes on as if it had not been.
GIVEN_UP = """
begin 3
dmsetup suspend --noflush --nolockfs low3
scribble $(dev bow3) 500 & writer=$!
sleep 1
dmsetup suspend --nolockfs bow3 & suspend=$!
sleep 2
kill -0 $suspend
kill $suspend
if wait $suspend; then echo "the suspend was not given up"; exit 9; fi
dmsetup info bow3 | grep 'State: *ACTIVE'
dmsetup resume low3
wait $writer
fails sh -c "echo 3 > $(folder bow3)/state"; because 'Invalid argument'
dmsetup suspend bow3
dmsetup resume bow3
scribble $(dev bow3) 600
test $(state bow3) = 1
echo given_up=done
"""


def test_suspend_reload_remove_under_load(tmp_path, machine):
    stage = Stage(tmp_path, machine, 4)
    result = stage.play(LOAD + BUSY + GIVEN_UP)
    assert result.value("states") == "1 1"
    assert result.console.count(", 0 wrong") == 2, result.console
    stage.check(0, 1, 2, 3)


TIDE = """
notes() { echo $1=$(cat /run/tide.*); }
running() { for j in 0 1 2 3 4 5; do test -s /run/tide.$j || return 1; done; }
stop() { killall tide; sleep 1; rm -f /run/tide.*; }

for n in 0 1; do
    make $n "${1:-}"
    tide $(dev bow$n) 1 6
    soon running
    sleep 1
    notes before$n
    echo 1 > $(folder bow$n)/state
    notes after$n
    sleep 1
    stop
    set -- "1 block_size:4096"
done

begin 2 "$1"
tide $(dev bow2) 1 6
soon running
(for i in $(seq 30); do
    reload bow2; dmsetup suspend --nolockfs bow2; dmsetup resume bow2
done) &
for want in 2; do
    commit() { echo $want > $(folder bow2)/state 2>/run/busy; }
    soon commit
done
notes before2
wait
sleep 1
notes CUT-HERE
sleep 99
"""


def area(data, job):
    start = MIB + job * 64 * 4096
    return [data[start + 4096 * s:start + 4096 * s + 4096] for s in range(64)]


def last_write(slots, before):
    """The n of the last write that is there; none may be missing before."""
    full = [slot for slot, old in zip(slots, before) if slot != old]
    last = max((struct.unpack("<Q", slot[:8])[0] for slot in full), default=0)
    expected = list(before)
    for n in range(max(1, last - 63), last + 1):
        expected[37 * n % 64] = struct.pack("<Q", n) * 512
    assert slots == expected, f"not what it was after write {last}"
    return last


def last_writes(path, before):
    data = path.read_bytes()
    return [last_write(area(data, job), area(before, job)) for job in range(6)]


def numbers(result, name):
    found = re.search(rf"^{name}=([0-9 ]+)$", result.console, re.M)
    assert found, result.console
    return [int(n) for n in found.group(1).split()]


def test_change_of_state_under_load(tmp_path, machine):
    """What is restored is one moment of the load, not before state 1 was asked
    for, not after it was there; and a commit loses nothing."""
    stage = Stage(tmp_path, machine, 3)
    result = stage.play(TIDE, kill_at="\nCUT-HERE")
    for n in (0, 1):
        before = stage.before[n * STRIDE:]
        last = last_writes(stage.restored(n), before)
        for least, n_last, most in zip(numbers(result, f"before{n}"), last,
                                       numbers(result, f"after{n}")):
            assert least <= n_last <= most + 1
    committed = stage.slice(2)
    assert bowline("inspect", committed) == "no log\n"
    last = last_writes(committed, stage.before[2 * STRIDE:])
    for least, n_last in zip(numbers(result, "before2"), last):
        assert least <= n_last


RACES = """
# The log, if there is one, goes away: the next round needs none.
clean() {
    dd if=/run/block0 of=$(dev low$1) conv=notrunc,fsync 2>/run/err
    forget
}
push() { for s in 1 2 1 2; do echo $s > $1/state; done 2>/run/busy || true; }

make 0; dmsetup remove bow0
dd if=$(dev low0) of=/run/block0 bs=4k count=1 2>/run/err

for i in $(seq 12); do
    make 0
    f=$(folder bow0)
    push $f & push $f &
    (cat $f/free $f/state; echo 1 > $f/state) >/run/out 2>&1 &
    soon dmsetup remove bow0 2>/run/err
    wait
    clean 0
done
echo removed=done

for i in 1 2 3; do
    make 0
    f=$(folder bow0)
    scribble $(dev bow0) $i 20 2 8 9 10 11 > /run/out & load=$!
    (for k in $(seq 10); do
        reload bow0; dmsetup suspend --nolockfs bow0; dmsetup resume bow0
    done) &
    (for k in $(seq 10); do dmsetup status bow0; cat $f/free; done) >/run/st &
    for want in 1 2; do
        reach() { echo $want > $f/state 2>/run/busy; }
        soon reach
    done
    wait $load
    wait
    cat /run/out
    test $(state bow0) = 2
    dmsetup remove bow0
    clean 0
done
echo raced=done

ko=$(ls /modules/*dm-bow.ko)
for i in 1 2 3 4 5; do
    make 0 "1 block_size:1024"
    make 1
    echo 1 > $(folder bow1)/state
    fails rmmod dm_bow
    dmsetup remove bow0 & dmsetup remove bow1 & wait
    clean 1
    rmmod dm_bow
    test ! -e /sys/module/dm_bow
    fails dmsetup create bow0 --table "0 $SLICE bow $(dev low0)"
    insmod $ko
done
echo reloaded=done
"""


def test_races(tmp_path, machine):
    stage = Stage(tmp_path, machine, 2)
    result = stage.play(RACES)
    for name in ("removed", "raced", "reloaded"):
        assert result.value(name) == "done"
    assert result.console.count(", 0 wrong") == 3, result.console


# After each failure the write's old data must be there, and all must work
# once the lower device does. Parts of a slice: 8 sectors with the log, the
# pool, and 8 sectors behind bow's own, which see nothing but flushes.
FAILURES = """
LOG=0:8
POOL=16384:8192
FLUSH=$SLICE:8
# old N SECTOR: the contents are what they were at first
old() {
    forget
    dd if=$(dev bow$1) bs=512 skip=$2 count=1 of=/run/is 2>/run/err
    dd if=/dev/vdb bs=512 skip=$(($1 * STRIDE + $2)) count=1 of=/run/was \
        2>/run/err
    cmp -s /run/is /run/was
}
eio() { fails scribble $(dev bow$1) $2; because 'Input/output error'; }
refused() { eio $1 $2; old $1 $2 || { echo "changed: $1 $2"; exit 6; }; }
works() {
    scribble $(dev bow$1) $2
    if old $1 $2; then echo "not written: $1 $2"; exit 6; fi
}
errors() { dmsetup status bow$1 | cut -d' ' -f8; }
change_fails() {
    fails sh -c "echo $2 > $(folder bow$1)/state"; because 'Input/output error'
    test $(state bow$1) = $(($2 - 1))
}
OPTION="1 block_size:$BS"

# The old contents cannot be read: the writes that need them fail, no others.
# dm-dust is what bad sectors are like, but Debian's kernel has not got it.
begin 0 "$OPTION"
if dmsetup targets | grep -q dust; then
    lower 0 0:$SLICE:dust
    dmsetup message low0 0 addbadblock 1003
    dmsetup message low0 0 enable
else
    lower 0 1003:1:error
fi
eio 0 1003
works 0 1016
eio 0 1003
lower 0
old 0 1003
works 0 1003
echo reads=$(errors 0)

# Backups cannot be written.
begin 1 "$OPTION"
works 1 100
lower 1 $POOL:readonly
refused 1 200
scribble $(dev bow1) 100
lower 1
works 1 200
echo backups=$(errors 1)

# The log cannot be written, block 0 neither then.
begin 2 "$OPTION"
works 2 100
lower 2 $LOG:readonly
refused 2 200
refused 2 0
scribble $(dev bow2) 100
lower 2
works 2 200
works 2 0
echo log=$(errors 2)

# Flushes fail: backups that lie in several places need one and are not durable
# without, and whoever asked for one is told. What is forced needs none.
begin 3 "$OPTION"
works 3 100
for i in $(seq 0 2 62); do
    dd if=/dev/zero of=$(dev bow3) bs=4096 seek=$((2048 + i)) count=1 \
        oflag=direct 2>/run/err
done
wide() { dd if=/dev/urandom of=$(dev bow3) bs=8192 seek=25 oflag=direct count=1; }
lower 3 $FLUSH:readonly
works 3 200
fails wide
because 'Input/output error'
old 3 400
old 3 408
fails sync $(dev bow3)
lower 3
wide 2>/run/err
works 3 300
echo flush=$(errors 3)

# The commit fails in every step, and state 1 goes on with all it had.
begin 4 "$OPTION"
works 4 0
works 4 100
for part in $LOG:readonly $POOL:error $FLUSH:readonly; do
    lower 4 $part
    change_fails 4 2
    lower 4
    works 4 $((1000 + ${#part} * 8))
done
echo commit=$(errors 4)

# The same, and then it succeeds.
begin 5 "$OPTION"
works 5 0
for part in $LOG:readonly $POOL:error $FLUSH:readonly; do
    lower 5 $part
    change_fails 5 2
done
lower 5
echo 2 > $(folder bow5)/state
works 5 500
echo committed=$(errors 5)

# State 1 cannot begin.
make 6 "$OPTION"
for part in $LOG:readonly $POOL:readonly $FLUSH:readonly $LOG:error; do
    lower 6 $part
    change_fails 6 1
done
lower 6
echo begin=$(errors 6)

# The whole lower device is away for a while, under load.
begin 7 "$OPTION"
scribble $(dev bow7) 1 60 4 8 9 10 11 > /run/out & load=$!
sleep 0.3
for i in 1 2 3 4 5; do
    lower 7 0:$((SLICE + 8)):readonly
    sleep 0.2
    lower 7
    sleep 0.2
done
wait $load || echo "the load found faults"
cat /run/out
works 7 0
echo whole=$(errors 7)
"""


@pytest.mark.parametrize("block_size", [512, 4096])
def test_lower_device_fails(tmp_path, machine, block_size):
    stage = Stage(tmp_path, machine, 8)
    old = tmp_path / "old"
    old.write_bytes(stage.before)
    result = stage.play(f"BS={block_size}\n" + FAILURES, more=[old])
    for name in ("reads", "backups", "log", "flush", "commit", "committed",
                 "begin"):
        assert int(result.value(name)) > 0, result.console
    assert ", 0 wrong" in result.value("scribble"), result.console
    stage.check(0, 1, 2, 3, 4, 7)
    assert bowline("inspect", stage.slice(5)) == "no log\n"
    path = stage.slice(6)
    assert bowline("inspect", path) == "no log\n"
    begun = stage.work / "begun"
    begun.write_bytes(stage.before[6 * STRIDE:6 * STRIDE + SLICE])
    assert differences(path, begun, POOL) == []
    counts.add("I/O failures", 14)
