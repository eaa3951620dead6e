# SPDX-License-Identifier: GPL-2.0-or-later
"""Power cuts at every flush while a file system works above bow.

Two dm-log-writes record the same trial: the lower one, under bow, all that
reaches the disk; the upper one, above bow, all that the file system wrote and
when it was told that it is durable. The disk that a cut leaves is made from
the lower record: all that was complete before the last flush, and of what came
later nothing, or sectors of 512 bytes at random. A cut is made just before
each flush and each FUA write, and before one in 16 of the other entries.

The rule for each of these disks:

restore
    gives the image of the moment before state 1, outside of what was free.

keep
    gives what the upper record says. A sector holds what the last durable
    write put there, or what a later write was about to: the file system was
    not told about that one yet. Only a sector that was free and never written
    since, or is discarded, may hold anything.

A write is durable if a flush of the file system's came after it in the upper
record and that flush is in the lower record before the cut, or if it was a
FUA write and is there itself. The flushes are counted: those of the lower
record are the file system's and bow's own. Bow needs one for a write of the log
that is not FUA, or that relies on others which were not: when a log block or
the trial begins, the live block 0 moves, or a commit begins. So there is never more than one of which it is not
clear whose it is; it is taken for bow's until its log write shows it. At the
end the counts must be equal.
"""

import bisect
import ctypes
import mmap
import random
import struct
import subprocess

import pytest

import counts
import fs
import logwrites
from logwrites import DISCARD, FLUSH, FUA, MARK, SECTOR
from test_bow import BOWLINE

SIZE = 32 << 20
CHUNK = 1 << 14
memcmp = ctypes.CDLL(None).memcmp
memcmp.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]
AHEAD = 64  # flushes of the file system that a write may be under way
EXT4 = ["/sbin/mke2fs", "-q", "-t", "ext4", "-b"]
XFS = ["/sbin/mkfs.xfs", "-q", "--unsupported"]

LOADS = {
    "fio": """fio --eta=never --name=load --filename=$dir/fio --rw=randwrite --bs=4k \\
        --size=4m --number_ios=$((OPS * 6)) --fsync=4 --ioengine=psync \\
        --output=/run/fio || cat /run/fio""",
    "sqlite": """mkdir -p $dir/db
        i=0
        echo 'create table t(k integer primary key, v blob);' > /run/sql
        while [ $i -lt $OPS ]; do
            echo "insert into t values($i, randomblob($((i * 97 % 9000))));"
            echo "update t set v = randomblob(500) where k = $((i / 2));"
            i=$((i + 1))
        done >> /run/sql
        sqlite3 -bail $dir/db/db < /run/sql""",
    "untar": """tar cf /run/tree.tar -C $dir d0 d1 d2
        for i in $(seq $((OPS / 10))); do
            mkdir $dir/new
            tar xf /run/tree.tar -C $dir/new
            echo $i | dd of=$dir/mark conv=fsync 2>/dev/null
            rm -rf $dir/old
            [ ! -e $dir/tree ] || mv $dir/tree $dir/old
            mv $dir/new $dir/tree
            sync
        done""",
    "churn": """fsload churn $dir 2 $((OPS * 5)) > /dev/null
        fsload db $dir 3 $((OPS / 2))""",
}

SCRIPT = """
on_log() {      # on_log NAME DEVICE LOG
    echo "0 $(blockdev --getsz $2) log-writes $2 $3"
}
dir=/mnt/top
dmsetup create lower --table "0 $(blockdev --getsz $data) linear $data 0"
on_bow bow /dev/mapper/lower "$OPTIONS"
use top $TYPE /dev/mapper/bow
fsload fill $dir 1 8000
fstrim $dir
umount $dir
say_ranges bow
ask copy data begun
dmsetup load lower --table "$(on_log lower $data $low)"
dmsetup suspend lower
dmsetup resume lower
echo 1 > $(find_bow bow)/state
dmsetup create upper --table "$(on_log upper /dev/mapper/bow $high)"
# What is on its way must not change any more, or the two records differ.
echo 1 > $(dirname $(find_bow upper))/queue/stable_writes
mount -t $TYPE -o $MOUNT /dev/mapper/upper $dir
load
sync
dmsetup status bow | sed 's/^/status=/'
dmsetup message lower 0 mark commit
echo 2 > $(find_bow bow)/state
fsload churn $dir 4 20 > /dev/null
umount $dir
dmsetup remove upper
dmsetup remove bow
dmsetup remove lower
sync
"""

# file system, mkfs, options of the mount, of the table, load, its size
CASES = {
    "ext4-fio": ("ext4", [*EXT4, 1024], "discard", 512, "fio", 30),
    "ext4-sqlite": ("ext4", [*EXT4, 4096], "noatime", 4096, "sqlite", 30),
    "ext4-untar": ("ext4", [*EXT4, 1024], "discard", 1024, "untar", 50),
    "ext4-churn": ("ext4", [*EXT4, 4096], "discard", 2048, "churn", 30),
    "xfs-fio": ("xfs", XFS, "noatime", 4096, "fio", 30),
    "xfs-sqlite": ("xfs", XFS, "discard", 512, "sqlite", 30),
    "xfs-churn": ("xfs", XFS, "discard", 4096, "churn", 30),
}


def record(ram, fsload, kind, mkfs, mount, block_size, load, ops):
    disks = {"data": fs.make(ram / "data", SIZE, mkfs)}
    for name in ("low", "high"):
        disks[name] = ram / name
        with open(disks[name], "wb") as file:
            file.truncate(1 << 30)
    values = (f"TYPE={kind}\nMOUNT={mount}\nOPS={ops}\n"
              f"OPTIONS='1 block_size:{block_size}'\n"
              f"load() {{\n{LOADS[load]}\n}}\n")
    result = fs.boot(values + SCRIPT, disks, ram, ["dm_log_writes", kind],
                     fsload, memory=768, timeout=400,
                     packages=["fio", "sqlite3"])
    assert result.status == 0, result.console
    assert result.value("status").split()[7] == "0", result.console
    return (fs.ranges_of(result.console, "bow"),
            bytearray((ram / "begun").read_bytes()), logwrites.read(disks["low"]),
            logwrites.read(disks["high"]))


class Model:
    """What keep must give, from the upper record; see above."""

    def __init__(self, begun, free, entries):
        self.sure = bytearray(begun)
        self.known = bytearray(b"\1" * (len(begun) // SECTOR))
        for start, end in free:
            self.known[start:end] = bytes(end - start)
        self.entries = entries
        self.flushes = [i for i, e in enumerate(entries) if e.flags & FLUSH]
        self.done = 0   # entries that a flush has made durable
        self.fua = []   # pieces of later FUA writes that are durable, too
        self.forced = ForcedWrites(entries)

    def _write(self, sector, data):
        n = len(data) // SECTOR
        self.sure[sector * SECTOR:(sector + n) * SECTOR] = data
        self.known[sector:sector + n] = b"\1" * n

    def _apply(self, entry):
        if entry.flags & DISCARD:
            self.known[entry.sector:entry.sector + entry.sectors] = \
                bytes(entry.sectors)
        elif not entry.flags & MARK:
            self._write(entry.sector, entry.data)

    def flushed(self, count):
        """So many flushes of the file system are known to be complete."""
        end = self.flushes[count - 1] + 1 if count > 0 else 0
        while self.done < end:
            self._apply(self.entries[self.done])
            self.done += 1
        self.fua = [piece for piece in self.fua if piece[0] >= self.done]
        for _, sector, data in self.fua:
            self._write(sector, data)

    def force(self, sector, data, block):
        """A FUA write of the file system, or a part of it, is on the disk."""
        piece = self.forced.find(sector, data, block)
        if piece and piece[0] >= self.done:
            bisect.insort(self.fua, piece)
            self._write(*piece[1:])

    def _later(self):
        at = bisect.bisect_left(self.flushes, self.done) + AHEAD
        end = self.flushes[at] if at < len(self.flushes) else None
        return self.entries[self.done:end]

    def allows(self, sector, data):
        """May this be there, though it is not what is sure?"""
        if not self.known[sector]:
            return True
        for entry in self._later():
            at = sector - entry.sector
            if entry.flags & DISCARD and 0 <= at < entry.sectors:
                return True
            if 0 <= at < len(entry.data) // SECTOR and not \
                    entry.flags & (MARK | DISCARD) and \
                    entry.data[at * SECTOR:(at + 1) * SECTOR] == data:
                return True
        return False


class ForcedWrites:
    """The FUA writes of the upper record, to be found again below. bow cuts
    them where block 0 ends, and puts what is before that elsewhere."""

    def __init__(self, entries):
        self.waiting = [[i, entry, len(entry.data)] for i, entry in
                        enumerate(entries) if entry.flags & FUA and entry.data]

    def find(self, sector, data, block):
        """(number in the upper record, sector there, data)"""
        for waiting in self.waiting:
            i, entry, _ = waiting
            at = entry.data.find(data)
            place = entry.sector + at // SECTOR
            if at >= 0 and (place == sector or place * SECTOR < block):
                waiting[2] -= len(data)
                self.waiting = [w for w in self.waiting if w[2] > 0]
                return i, place, data
        return None  # a backup of bow's


class Flushes:
    """Whose flushes are in the lower record so far? all is theirs, bow's,
    and, while there is a log, perhaps one that is going to be bow's."""

    def __init__(self, block):
        self.block = block
        self.all = self.bows = self.theirs = 0
        self.log = True
        self.state = None
        self.writes = []  # since the last of the log

    def forced(self, sector):
        """Was the last write there forced to the medium?"""
        return next(fua for start, end, fua in reversed(self.writes)
                    if start <= sector < end)

    def needed(self, entry):
        """Flushes of bow's that go with this write of the log."""
        size, count, sequence, sector0 = struct.unpack_from("<HxxxxIIQ",
                                                            entry.data, 6)
        if entry.data[:4] != b"BOW\0":
            return len(entry.data) >= self.block  # else the head came before
        was, self.state = self.state, (sequence, sector0)
        if not entry.flags & FUA or not count:
            return True
        if was == self.state:
            return False
        if was and was[0] != sequence and count == 1:
            return False  # its copy is forced, or came with the last entries
        at = size + 24 * (count - 1)
        return not self.forced(struct.unpack_from("<Q", entry.data, at + 8)[0])

    def see(self, entry):
        """True: a FUA write, perhaps of the file system's."""
        self.all += bool(entry.flags & FLUSH)
        fua = bool(entry.flags & FUA and entry.data)
        bows = self.log and entry.data and not entry.sector and \
            not entry.flags & (MARK | DISCARD)
        if bows:
            self.bows += self.needed(entry)
            self.log = entry.data[:4] == b"BOW\0"
            self.writes = []
        elif entry.data and not entry.flags & (MARK | DISCARD):
            self.writes.append((entry.sector, entry.sector +
                                len(entry.data) // SECTOR, fua))
        unclear = self.log and not bows
        self.theirs = max(self.theirs, self.all - self.bows - unclear)
        return fua and not bows


def address(memory):
    return ctypes.addressof(ctypes.c_char.from_buffer(memory))


class Scratch:
    """A file that holds the durable disk, but for the time of a trial."""

    def __init__(self, path, disk):
        self.path = path
        self.disk = disk
        path.write_bytes(disk.durable)
        with open(path, "r+b") as file:
            self.map = mmap.mmap(file.fileno(), 0)
        self.at = address(self.map)

    def differing(self, want, start=0, end=SIZE):
        """Where the file is not like want, in pieces of CHUNK."""
        base = address(want)
        return [at for at in range(start, end, CHUNK)
                if memcmp(self.at + at, base + at, min(CHUNK, end - at))]

    def wrong_sectors(self, want, start=0, end=SIZE):
        for at in self.differing(want, start, end):
            for i in range(at, min(at + CHUNK, end), SECTOR):
                data = self.map[i:i + SECTOR]
                if data != want[i:i + SECTOR]:
                    yield i // SECTOR, data

    def settle(self):
        for at in self.differing(self.disk.durable):
            self.map[at:at + CHUNK] = bytes(self.disk.durable[at:at + CHUNK])

    def bowline(self, verb, survivors):
        """None, or what the tool said that failed."""
        self.settle()
        for at, data in survivors:
            self.map[at:at + len(data)] = data
        done = subprocess.run([BOWLINE, verb, self.path], check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        return done.stdout.decode() if done.returncode else None


def restores(scratch, survivors, begun, used):
    said = scratch.bowline("restore", survivors)
    if said:
        return said
    wrong = [s for start, end in used for s, _ in
             scratch.wrong_sectors(begun, start * SECTOR, end * SECTOR)]
    return f"restore: wrong sectors {wrong[:9]}" if wrong else None


def keeps(scratch, survivors, model):
    said = scratch.bowline("keep", survivors)
    if said:
        return said
    wrong = [s for s, data in scratch.wrong_sectors(model.sure)
             if not model.allows(s, data)]
    return f"keep: wrong sectors {wrong[:9]}" if wrong else None


def used_sectors(free):
    """[(from, to)]: what is between the free ranges."""
    ends = [0, *(end for _, end in free)]
    starts = [*(start for start, _ in free), SIZE // SECTOR]
    return list(zip(ends, starts))


def losses(disk, seen, dice):
    """What of the cache survives: nothing, and some of it, but neither if that
    makes a disk that was there before."""
    if disk.version not in seen:
        yield []
    seen.add(disk.version)
    if disk.cache:
        yield disk.survivors(dice)


def cut_everywhere(ram, begun, free, low, model, block_size, dice):
    """([what went wrong], points tried)."""
    disk, flushes = logwrites.Disk(begun), Flushes(block_size)
    scratch = Scratch(ram / "scratch", disk)
    cuts = set(logwrites.points(low, 16))
    used = used_sectors(free)
    faults, tried, trial, seen = [], 0, True, set()
    for number, entry in enumerate(low):
        trial = trial and entry.mark() != "commit"
        for survivors in losses(disk, seen, dice) if number in cuts else ():
            found = [trial and restores(scratch, survivors, begun, used),
                     keeps(scratch, survivors, model)]
            tried += 1 + trial
            faults += [f"entry {number}: {f}" for f in found if f]
        disk.apply(entry)
        if flushes.see(entry):
            model.force(entry.sector, entry.data, block_size)
        model.flushed(flushes.theirs)
    if flushes.all - flushes.bows != len(model.flushes):
        faults.append(f"{flushes.all} flushes, {flushes.bows} of bow, but "
                      f"{len(model.flushes)} from above")
    return faults, tried


@pytest.mark.parametrize("case", CASES)
def test_every_flush(ram, fsload, case):
    kind, mkfs, mount, block_size, load, ops = CASES[case]
    free, begun, low, high = record(ram, fsload, kind, mkfs, mount, block_size,
                                    load, ops)
    faults, tried = cut_everywhere(ram, begun, free, low,
                                   Model(begun, free, high), block_size,
                                   random.Random(case))
    counts.add("crash points", tried)
    counts.add("crash points failed", len(faults))
    print(f"{case}: {tried} points, {len(low)} entries below, "
          f"{len(high)} above")
    assert not faults, "\n".join(faults[:20])
    assert tried > 200
