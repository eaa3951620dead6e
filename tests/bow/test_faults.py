# SPDX-License-Identifier: GPL-2.0-or-later
"""The 15 known faults of the published bow target: a test each that ours does
not have it. Those of the target run in a real kernel, many in one boot."""

import os
import random
import re
import struct

import pytest

import counts
import published
import samples
import test_bow
import vm
from checker import check
from faultlab import HEAD, MACHINE, Lab, header, line, poke_program
from host import BOWLINE, TOP, run

MODULES = ["dm_mod", "dm_bow", "dm_flakey", "dm_delay", "dm_zero", "ext4"]


def bowline(folder, verb, image, status=0):
    """(what the device holds afterwards, what was said)."""
    path = folder / "image"
    path.write_bytes(image)
    done = run(BOWLINE, verb, path, check=False)
    assert done.returncode == status, done.stdout + done.stderr
    return path.read_bytes(), done.stdout + done.stderr


def proven(part, folder, needless=False):
    """The log on the part's slice obeys the format, and whoever undoes it gets
    the device as it was: the checker, the published tool, ours."""
    free = part.free()
    log = check(part.disk, part.copy, free)
    assert log.faults == []
    assert needless or log.needless == []
    theirs = published.Restorer(part.disk)
    assert theirs.restore() == "restored"
    assert published.same_outside(theirs.image, part.copy, free)
    ours, _ = bowline(folder, "restore", part.disk)
    assert published.same_outside(ours, part.copy, free)
    return log


def counted(number):
    """The last line of each test here: one fault less."""
    counts.add("faults", 1)
    print(f"fault {number}: not here")


# ---- in the kernel: one boot -------------------------------------------------

SCRIPTS = {}


@pytest.fixture(scope="session")
def lab(tmp_path_factory):
    return Lab(tmp_path_factory.mktemp("lab"), SCRIPTS, modules=MODULES)


SCRIPTS["f01"] = """
bow '1 block_size:512'
trim 4096 2048
begin
put 0 first
was=$(live)
put $was moves-it
test $(live) != $was
echo after-move=$(get 0)
put 0 second
forget
cp $L $C
echo 2 > $BOW/state
echo after-commit=$(get 0)
echo lower=$(get 0 $L)
"""


def test_fault_01_write_to_block0_survives_move_and_commit(lab, tmp_path):
    part = lab.part("f01")
    assert part.value("after-move") == "first"
    assert part.value("after-commit") == "second"
    assert part.value("lower") == "second"
    assert part.disk[:512] == line("second")
    kept, _ = bowline(tmp_path, "keep", part.copy)
    assert kept[:512] == line("second")
    assert kept[512:] == part.copy[512:]
    counted(1)


SCRIPTS["f02"] = """
bow '1 block_size:512'
trim 4096 2048
begin
put 0 live
for i in $(seq 40); do
    at=$(live)
    put $at x$i
    echo live-$i=$(live)
    forget
    dd if=$L of=$C bs=512 count=1 seek=$((8000 + i)) conv=notrunc 2>/dev/null
done
forget
"""


def test_fault_02_sector0_is_never_late(lab, tmp_path):
    part = lab.part("f02")
    for i in range(1, 41):
        at = (8000 + i) * 512
        assert header(part.copy[at:at + 512])[3] == part.number(f"live-{i}")
    log = check(part.disk)
    assert log.faults == []
    assert log.live == part.number("live-40")
    assert bowline(tmp_path, "keep", part.disk)[0][:512] == line("live")
    counted(2)


SCRIPTS["f03"] = """
bad_from() {    # sectors from $1 on, $2 of them, fail writes
    lower "0 $1 $LOWER
$1 $2 flakey /dev/vda $((SLOT * sectors + $1)) 0 99 1 error_writes
$(($1 + $2)) $((sectors - $1 - $2)) linear /dev/vda \\
$((SLOT * sectors + $1 + $2))"
}
bow '1 block_size:512'
trim 4096 2048
begin
put 100 one
old=$(get 200 | md5sum)
bad_from 4096 2048
fails put 200 lost-backup
lower "0 $sectors $LOWER"
test "$(get 200 | md5sum)" = "$old"
echo errors-backup=$(field 5)
lower "0 8 flakey /dev/vda $((SLOT * sectors)) 0 99 1 error_writes
8 $((sectors - 8)) linear /dev/vda $((SLOT * sectors + 8))"
fails put 200 lost-log
fails put 201 lost-log
lower "0 $sectors $LOWER"
test "$(get 200 | md5sum)" = "$old"
echo errors-log=$(field 5)
put 200 now-it-goes
echo good=$(get 200)
forget
"""


def test_fault_03_failed_backup_or_log_fails_the_write(lab, tmp_path):
    part = lab.part("f03")
    assert part.number("errors-backup") > 0
    assert part.number("errors-log") > part.number("errors-backup")
    assert part.value("good") == "now-it-goes"
    proven(part, tmp_path, needless=True)
    counted(3)


SCRIPTS["f04"] = """
slow() { lower "0 $sectors delay ${LOWER#linear } 0 ${LOWER#linear } $1"; }
bow '1 block_size:512'
trim 4096 2048
begin
put 0 before
slow 1000
put 0 in-flight &
sleep 0.3
put $(live) moves-it
wait
lower "0 $sectors $LOWER"
echo moved=$(get 0)
put 300 saved
slow 1500
put 300 data-too &
sleep 0.7
put 0 at-commit &
sleep 0.3
echo 2 > $BOW/state
echo zero=$(get $((SLOT * sectors)) /dev/vda)
echo data=$(get $((SLOT * sectors + 300)) /dev/vda)
wait
"""


def test_fault_04_commit_and_move_wait_for_writes_in_flight(lab):
    part = lab.part("f04")
    assert part.value("moved") == "in-flight"
    assert part.value("zero") == "at-commit"
    assert part.value("data") == "data-too"
    counted(4)


SCRIPTS["f05"] = """
bow '1 block_size:512'
forget
cp $L $C
for free in 0 1; do
    fails sh -c "echo 1 > $BOW/state"
    echo state-$free=$(cat $BOW/state) free=$(cat $BOW/free)
    cmp $L $C
    timeout 20 dd if=$B of=/dev/null bs=64k 2>/dev/null
    trim $((1000 + 2 * free)) 1
done
put 7 still-works
echo works=$(get 7)
echo 1 > $BOW/state
echo then=$(cat $BOW/state) free=$(cat $BOW/free)
"""


def test_fault_05_no_space_for_state_1_is_an_error_and_no_more(lab):
    part = lab.part("f05")
    assert part.value("state-0") == "0 free=0"
    assert part.value("state-1") == "0 free=512"
    assert part.value("works") == "still-works"
    assert part.value("then") == "1 free=0"
    counted(5)


SCRIPTS["f06"] = """
bow '1 block_size:2048'
say() { echo $1=$(cat $BOW/free); }
trim 4096 64
say whole
blkdiscard -o $((5000 * 512)) -l 3072 $B    # one block and a half
blkdiscard -o $((5001 * 512)) -l 2048 $B    # no whole block
say partly
trim 4096 64
say again
put 4097 in-a-free-block
say written
put 4102 two-free-blocks 4
say across
begin
say begun
for i in $(seq 10); do put $((i * 100)) first; done
say ten
for i in $(seq 10); do put $((i * 100 + 1)) again; done
say rewritten
put 1100 fills
n=1
while [ $n -lt 40 ] && put $((1100 + 4 * n)) fills; do n=$((n + 1)); done
say full
"""


def test_fault_06_free_is_exact(lab, tmp_path):
    part = lab.part("f06")
    blocks = {name: part.number(name) / 2048 for name in (
        "whole", "partly", "again", "written", "across", "begun", "ten",
        "rewritten", "full")}
    assert blocks == {"whole": 16, "partly": 17, "again": 17, "written": 16,
                      "across": 14, "begun": 12, "ten": 2, "rewritten": 2,
                      "full": 0}
    proven(part, tmp_path)
    counted(6)


SCRIPTS["f07"] = """
bow '1 block_size:512'
trim 4096 1024
begin
echo begun=$(field 2) $(field 3)
trim 4200 100
echo trimmed-free=$(field 2) $(field 3)
trim 100 1000
echo trimmed-unchanged=$(field 2) $(field 3)
put 2000 changed 8
echo wrote=$(field 2) $(field 3)
trim 2000 8
echo trimmed-changed=$(field 2) $(field 3)
put 4250 into-free
put 300 after-its-trim
forget
"""


def test_fault_07_discards_in_state_1_copy_nothing(lab, tmp_path):
    part = lab.part("f07")
    begun = part.value("begun")
    assert begun == f"{1022 * 512} 1024"
    assert part.value("trimmed-free") == begun
    assert part.value("trimmed-unchanged") == begun
    assert part.value("wrote") == f"{1014 * 512} {1024 + 4096}"
    assert part.value("trimmed-changed") == f"{1022 * 512} {1024 + 4096}"
    proven(part, tmp_path)
    counted(7)


SCRIPTS["f09"] = """
bow ''
trim 4096 1024
begin
put 100 before
ls $BOW > /run/names
dmsetup table bow | dmsetup load bow
dmsetup suspend bow
dmsetup resume bow
cmp /run/names - << END
$(ls $BOW)
END
echo state=$(cat $BOW/state)
put 101 after
dmsetup table bow | dmsetup load bow
dmsetup clear bow
echo cleared=$(cat $BOW/state)
dmsetup remove bow
test ! -e $BOW
fails dmsetup create bow --table "0 $sectors bow $L"
dmesg | tail -n 5 | grep -o 'carries a bow log.*' | head -n 1 | sed 's/^/why=/'
forget
"""


def test_fault_09_reload_keeps_all_and_a_live_log_is_noticed(lab, tmp_path):
    part = lab.part("f09")
    assert part.value("state") == "1"
    assert part.value("cleared") == "1"
    assert "restore or keep it first" in part.value("why")
    proven(part, tmp_path)
    counted(9)


SCRIPTS["f10"] = """
opened() { dmsetup info -c --noheadings -o open $1; }
for i in 1 2 3; do
    bow ''
    test $(opened lower) = 1
    dmsetup remove bow
    test $(opened lower) = 0
done
for words in "$L 1 block_size:513" "$L 1 size:4096" "$L 9" "$L 0 x"; do
    fails dmsetup create bow --table "0 $sectors bow $words"
    test $(opened lower) = 0
done
# More than memory can hold the ranges of: the constructor must say so.
dmsetup create huge --table "0 $((1 << 39)) zero"
fails dmsetup create bow --table "0 $((1 << 39)) bow $(device huge) \\
    1 block_size:512"
test $(opened huge) = 0
dmsetup remove huge
dmsetup remove lower
echo all=closed
"""


def test_fault_10_the_lower_device_is_always_let_go(lab):
    assert lab.part("f10").value("all") == "closed"
    counted(10)


SCRIPTS["f12"] = """
bow '1 block_size:512'
trim 4096 4000
begin
put 1 warm
r=$(stat vda 1) w=$(stat vda 5) f=$(stat vda 16)
put 1024 one-mib 2048
echo mib=$(($(stat vda 1) - r)) $(($(stat vda 5) - w)) $(($(stat vda 16) - f))
lower "0 $sectors delay ${LOWER#linear } 0 ${LOWER#linear } 100"
w=$(stat vda 5) f=$(stat vda 16)
for i in $(seq 32); do put $((i * 20)) write-$i & done
wait
echo many=$(($(stat vda 5) - w)) $(($(stat vda 16) - f))
lower "0 $sectors delay ${LOWER#linear } 0 ${LOWER#linear } 2000"
put 3000 slow &
sleep 0.5
t=$(cut -d . -f 1 /proc/uptime)
get 0 > /dev/null
echo block0=$(($(cut -d . -f 1 /proc/uptime) - t))
jobs > /run/jobs
test -s /run/jobs
echo still=writing
wait
lower "0 $sectors $LOWER"
forget
"""


def test_fault_12_nothing_is_serial(lab, tmp_path):
    part = lab.part("f12")
    reads, writes, flushes = map(int, part.value("mib").split())
    # In pieces of the copy buffer, each with a read, a backup, a log write
    # and the write itself; not 2048 of each.
    assert reads <= 8 and writes <= 32 and flushes <= 16
    writes, flushes = map(int, part.value("many").split())
    assert 0 < flushes <= 32, "two flushes for each write are 64"
    assert writes <= 32 * 2 + 32
    assert part.number("block0") <= 1
    assert part.value("still") == "writing"
    proven(part, tmp_path)
    counted(12)


# ---- in the kernel: boots of their own ---------------------------------------

SWAP = """
dmsetup create bow --table "0 $(blockdev --getsz /dev/vda) bow /dev/vda \\
    1 block_size:4096"
BOW=/sys/block/dm-0/bow
blkdiscard -o 96M -l 96M /dev/dm-0
dmsetup message bow 0 ranges
mkswap /dev/dm-0 92000 > /dev/null
sync; echo 3 > /proc/sys/vm/drop_caches
cp /dev/vda /dev/vdb
sync; echo 3 > /proc/sys/vm/drop_caches
echo 1 > $BOW/state
swapon /dev/dm-0
mkdir /hog
mount -t tmpfs -o size=120m hog /hog
for round in 1 2; do
    dd if=/dev/urandom of=/hog/$round bs=64k count=800 2> /dev/null
    md5sum < /hog/$round > /run/sum$round
done
for round in 1 2; do
    md5sum < /hog/$round | cmp - /run/sum$round
done
echo swapped=$(awk '/^pswpout/ { print $2 }' /proc/vmstat)
echo backed-up=$(dmsetup status bow | cut -d ' ' -f 6)
dmesg | grep -E 'BUG|WARNING|INFO: task|allocation failure' | sed 's/^/kernel-/'
echo CUT-HERE; sleep 99
"""


def test_fault_11_swapping_over_bow_does_not_deadlock(ram, tmp_path):
    """Memory is only to be had by writing to the device: whatever the path of
    a first overwrite needs, it must have."""
    disks = [ram / "vda", ram / "vdb"]
    for disk in disks:
        with open(disk, "wb") as file:
            file.truncate(192 << 20)
    result = vm.run(SWAP, disks=disks, modules=["dm_mod", "dm_bow"],
                    machine=MACHINE, memory=160, work=tmp_path, timeout=400,
                    kill_at="CUT-HERE")
    assert result.killed, result.console
    assert int(result.value("swapped")) > 5000
    assert int(result.value("backed-up")) > 16 << 20
    assert "kernel-" not in result.console, result.console
    free = [(96 << 11, 192 << 11)]
    log = check(disks[0], disks[1], free)
    assert log.faults == []
    run(BOWLINE, "restore", disks[0])
    assert published.same_outside(disks[0].read_bytes(),
                                  disks[1].read_bytes(), free)
    counted(11)


ISOLATED = """
objects() { awk '$1 == "kmalloc-1k" { print $2 }' /proc/slabinfo; }
kib() { awk '$1 == "SUnreclaim:" { print $2 }' /proc/meminfo; }
dmsetup create bow --table "0 $(blockdev --getsz /dev/vda) bow /dev/vda \\
    1 block_size:4096"
BOW=/sys/block/dm-0/bow
blkdiscard -o 4G -l 64M /dev/dm-0
echo 1 > $BOW/state
a=$(objects) k=$(kib)
for at in $(seq 1 8 8191); do
    poke /dev/dm-0 $((at * 2048)) isolated
done
echo objects=$(($(objects) - a))
echo kib=$(($(kib) - k))
echo 2 > $BOW/state
echo left=$(($(objects) - a))
"""


def test_fault_13_memory_is_bounded_and_given_back(ram, tmp_path):
    """A write to every piece of 16 MiB of 8 GiB, two in each, no two alike."""
    disk = ram / "vda"
    with open(disk, "wb") as file:
        file.truncate(8 << 30)
    result = vm.run(ISOLATED, disks=[disk], modules=["dm_mod", "dm_bow"],
                    machine=MACHINE, work=tmp_path, timeout=400,
                    files={"bin/poke": poke_program(tmp_path)})
    assert result.status == 0, result.console
    assert 0 < int(result.value("objects")) <= 512 + 128
    assert int(result.value("kib")) <= 1024 + 512
    assert int(result.value("left")) <= 128
    counted(13)


# Two devices, as many states of them as there are writes.
TORN = """
walk() {    # walk NAME BLOCK-SIZE WRITES: the states go to $OUT
    L=$(device $1)
    dmsetup create bow --table "0 2048 bow $L 1 block_size:$2"
    B=$(device bow)
    per=$(($2 / 512))
    blkdiscard -o 512k -l 448k $B
    echo "free-$1=$(ranges | sed -n '/^Free/{s/.*: //p;n;s/.*: //p}' | xargs)"
    poke $B 0 zero
    state 0
    echo 1 > $(folder bow)/bow/state
    state 1
    for i in $(seq 2 $3); do
        at=$((i * 3 * per % 1000 / per * per + per))
        if [ $((i % 9)) = 0 ]; then at=$(live); fi
        poke $B $at $1-$i $per
        [ $((i % 10)) != 0 ] || blkdiscard -o $((at * 512)) -l $2 $B
        state $i
    done
    dmsetup remove bow
}
state() {
    sync
    echo 3 > /proc/sys/vm/drop_caches
    dd if=$L of=$OUT bs=1M seek=$1 conv=notrunc 2>/dev/null
}
set -e
. /head.sh
dmsetup create small --table "0 2048 linear /dev/vda 0"
dmsetup create large --table "0 2048 linear /dev/vda 2048"
OUT=/dev/vdb
walk small 1024 110
OUT=/dev/vdc
walk large 4096 50
"""


def torn_blocks(before, after, size):
    """What a cut in the write of the log block may leave of both."""
    old, new = before[:size], after[:size]
    if old == new:
        return
    begins = old[:4] != new[:4] or header(old)[2] != header(new)[2]
    sectors = size // 512
    rng = random.Random(old)
    for mask in rng.sample(range(1 << sectors), min(16, 1 << sectors)):
        if begins and not mask & 1:
            continue  # such a block is written head first
        yield b"".join((new if mask >> n & 1 else old)[512 * n:512 * n + 512]
                       for n in range(sectors))


def not_yet_written(before, after, size):
    """The device after the write of the log, before that of the user."""
    image = bytearray(after)
    known = set()
    if before[:4] == b"BOW\0":
        known = {(e.source, e.dest) for e in check(before).blocks[0].entries}
    for entry in check(after).blocks[0].entries[1:]:
        if (entry.source, entry.dest) not in known:
            at = entry.source * 512
            image[at:at + entry.size] = before[at:at + entry.size]
    return image


def cut_between(folder, before, after, size, begun, free):
    """How many torn states there are between two, all undone and kept."""
    base = not_yet_written(before, after, size)
    number = 0
    for number, block in enumerate(torn_blocks(before, after, size), 1):
        image = block + bytes(base[size:])
        undone, _ = bowline(folder, "restore", image)
        assert published.same_outside(undone, begun, free), number
        kept, _ = bowline(folder, "keep", image)
        assert kept[:512] == line("zero"), number
        assert kept[size:] == image[size:]
    return number


def test_fault_15_a_torn_log_block_loses_nothing(ram, tmp_path):
    disks = [ram / name for name in ("vda", "vdb", "vdc")]
    for disk, mib in zip(disks, (2, 111, 51)):
        disk.write_bytes(os.urandom(2 << 20))
        os.truncate(disk, mib << 20)
    result = vm.run(TORN, disks=disks, modules=["dm_mod", "dm_bow"],
                    machine=MACHINE, work=tmp_path, timeout=400,
                    files={"head.sh": HEAD.encode(),
                           "bin/poke": poke_program(tmp_path)})
    assert result.status == 0, result.console
    cuts = rolls = 0
    for disk, name, size in ((disks[1], "small", 1024),
                             (disks[2], "large", 4096)):
        images = mebibytes(disk)
        start, end = map(int, result.value(f"free-{name}").split())
        for before, after in zip(images, images[1:]):
            assert check(after).faults == []
            cuts += cut_between(ram, before, after, size, images[0],
                                [(start, end)])
        rolls += header(images[-1])[2]
    assert rolls >= 2 and cuts > 800
    counts.add("crash points", cuts)
    counted(15)


def mebibytes(path):
    data = path.read_bytes()
    return [data[at:at + (1 << 20)] for at in range(0, len(data), 1 << 20)]


# The file system is made here; the policies are tried in one boot.
POLICY = """
. /head.sh
begin_on() {    # begin_on DISK POLICY
    dmsetup create bow --table "0 $(blockdev --getsz $1) bow $1 \\
        3 block_size:4096 low_water:4194304 no_space:$2"
    B=$(device bow)
    BOW=$(folder bow)/bow
    mount -t ext4 $B /mnt
    fstrim /mnt
    umount /mnt
    echo 1 > $BOW/state
    mount -t ext4 $B /mnt
}
watch_events() {
    n=$(dmsetup info -c --noheadings -o events bow)
    while dmsetup wait bow $n 2>/run/err; do
        n=$(dmsetup info -c --noheadings -o events bow)
        status=$(dmsetup status bow)
        echo "event-$1=$status"
        case $status in *released) break ;; esac
    done
}
write() { dd if=/dev/urandom of=/mnt/$1 bs=64k count=$2 conv=notrunc,fsync; }
fill() {    # new files, until little is left for backups
    i=0
    while [ $i -lt 40 ] && [ $(cat $BOW/free) -gt 5500000 ]; do
        i=$((i + 1))
        write new$i 20 2>/run/err
    done
}
mkdir -p /mnt
begin_on /dev/vda release
watch_events release &
fill
for i in $(seq 11); do write old/$i 10 || echo failed=$i; done 2>/run/err
sleep 2
echo works > /mnt/works && sync && echo works=$(cat /mnt/works)
grep ' /mnt ' /proc/mounts | sed 's/^/mount=/'
dmsetup status bow | sed 's/^/release=/'
echo state=$(cat $BOW/state)
dmesg | grep -o 'bow: .*out of space.*' | sed 's/^/said=/'
dmesg | grep -c 'Aborting journal' | sed 's/^/aborted=/'
umount /mnt
dmsetup remove bow

begin_on /dev/vdb fail
watch_events fail &
fill
for i in $(seq 11); do write old/$i 10 || echo stopped=$i; done 2>/run/err
dmsetup status bow | sed 's/^/fail=/'
echo CUT-HERE; sleep 99
"""


def test_fault_08_out_of_space_has_a_policy_and_a_warning(ram, tmp_path):
    disks = [test_bow.make_disk(ram / "vda"), test_bow.make_disk(ram / "vdb")]
    result = vm.run(POLICY, disks=disks, modules=["dm_mod", "dm_bow", "ext4"],
                    machine=MACHINE, work=tmp_path, timeout=400,
                    files={"head.sh": HEAD.encode()}, kill_at="CUT-HERE")
    assert result.killed, result.console
    events = re.findall(r"^event-release=\S+ \S+ bow (\d) .* (\w+)$",
                        result.console, re.M)
    assert events[0] == ("1", "low"), result.console
    assert events[-1] == ("2", "released"), result.console
    assert "failed=" not in result.console, result.console
    assert result.value("works") == "works"
    assert " rw," in result.value("mount")
    assert result.value("release").split()[-1] == "released"
    assert result.value("state") == "2"
    assert "the way back is given up" in result.value("said")
    assert result.value("aborted") == "0"
    test_bow.fsck(disks[0])
    assert "no log" in test_bow.bowline("inspect", disks[0])
    assert int(result.value("stopped")) > 0
    assert result.value("fail").split()[3] == "1"
    assert result.value("fail").split()[-1] in ("low", "full")
    test_bow.bowline("restore", disks[1])
    test_bow.fsck(disks[1])
    counted(8)


# ---- the tool ----------------------------------------------------------------


@pytest.fixture(scope="session")
def failing(tmp_path_factory):
    """failing(VERB, IMAGE, **{FAIL_WRITE: n}) -> (result, bytes, writes,
    flushes)"""
    folder = tmp_path_factory.mktemp("failing")
    library = folder / "failing.so"
    run("gcc", "-shared", "-fPIC", "-o", library, TOP / "tests/bow/failing.c",
        "-ldl")

    def go(verb, image, **settings):
        path = folder / "image"
        path.write_bytes(image)
        env = {"LD_PRELOAD": str(library), "COUNTS": str(folder / "counts"),
               **{name: str(value) for name, value in settings.items()}}
        done = run(BOWLINE, verb, path, check=False,
                   env={**os.environ, **env})
        writes, flushes = (folder / "counts").read_text().split()
        return done, path.read_bytes(), int(writes), int(flushes)

    return go


def long_log():
    """The published device with most log blocks among some."""
    return max((published.make(seed, 512) for seed in range(60)),
               key=lambda writer: writer.logs)


def test_fault_14_the_tool(failing, tmp_path):
    writer = long_log()
    free = writer.shape.free_ranges()
    assert writer.logs > 4
    few_flushes_and_no_error_is_ignored(failing, writer, free)
    sizes_are_checked(tmp_path)
    for name in samples.GOOD:
        lowered_numbers_are_noticed(
            tmp_path, samples.image(f"{name}.state1"),
            samples.image(f"{name}.atstate1"), samples.free(name))
    for seed in range(8):
        writer = published.make(f"lowered {seed}")
        lowered_numbers_are_noticed(tmp_path, bytes(writer.image),
                                    writer.begun, writer.shape.free_ranges())
    counted(14)


def few_flushes_and_no_error_is_ignored(failing, writer, free):
    done, image, writes, flushes = failing("restore", writer.image)
    assert done.returncode == 0 and flushes <= 8
    assert published.same_outside(image, writer.begun, free)
    for name, most in (("FAIL_WRITE", writes), ("FAIL_FLUSH", flushes)):
        for n in range(1, most + 1, 1 + most // 40):
            done, image, _, _ = failing("restore", writer.image, **{name: n})
            assert done.returncode == 1 and "bowline: " in done.stderr, n
            done, image, _, _ = failing("restore", image)
            assert done.returncode == 0
            assert published.same_outside(image, writer.begun, free), n


def sizes_are_checked(folder):
    image = samples.image("bad_entry_size_unaligned.state1")
    after, text = bowline(folder, "restore", image, status=1)
    assert after == image
    assert "its size is not a number of blocks" in text


def lowered_numbers_are_noticed(folder, image, begun, free):
    """All of it is put back, or nothing is changed."""
    refused = 0
    _, count, sequence, _ = header(image)
    for at, values in ((12, range(1, count)), (16, range(sequence))):
        for value in values:
            lowered = bytearray(image)
            struct.pack_into("<I", lowered, at, value)
            path = folder / "lowered"
            path.write_bytes(lowered)
            run(BOWLINE, "restore", path, check=False)
            after = path.read_bytes()
            refused += after == lowered
            assert after == lowered or published.same_outside(
                after, begun, free), (at, value)
    assert refused >= (count - 1) // 2
