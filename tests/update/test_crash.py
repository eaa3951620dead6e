# SPDX-License-Identifier: GPL-2.0-or-later
"""Power cuts during merges: dm-log-writes records all that reaches the disk on
which system, records and save area are, the host makes the disks that a cut may
leave, at every flush and between them, tearing writes at 512 bytes. Over each
a fresh table has to read as exactly the new image, and to merge to it.

Where the records have a disk of their own, a flush of one disk says nothing of
the other: the two caches lose what they have independently. The one record has
the order of all that happened; a second one, of what goes to the records' disk
alone, tells whose a flush was."""

import collections
import functools
import os
import random

import pytest

import counts
import logwrites
import vm
from test_update import PRELUDE, maker, sha
from test_update_v1 import Pair

MACHINE = os.environ.get("VM_MACHINE") or "amd64"
MIB = 1 << 20
STORE = 2 * MIB  # records and save area
POINTS = 60      # cuts of one recording

RECORD = """
sectors=%(sectors)d
system=%(system)d
store=%(store)d
dmsetup create lw --table \\
    "0 $((system + store)) log-writes /dev/vda /dev/vdb" || die lw
dmsetup create sys --table "0 $system linear /dev/mapper/lw 0"
dmsetup create sto --table "0 $store linear /dev/mapper/lw $system"
%(own)s
dmsetup create u --table "0 $sectors update /dev/mapper/sys /dev/vdc \\
    4 paused progress /dev/mapper/%(progress)s 0" || die map
dmsetup message lw 0 mark begin
dmsetup message u 0 yield off
dmsetup message u 0 resume
echo during=$(sum /dev/mapper/u)
[ "$(dmsetup status u | cut -d' ' -f7)" = done ] || wait_event
dmsetup message lw 0 mark end
dmsetup status u
dmsetup remove u
[ %(progress)s = sto ] || dmsetup remove own
dmsetup remove sto
dmsetup remove sys
dmsetup remove lw
"""

OWN_DISK = {"progress": "own", "own": """
dmsetup create own --table \
    "0 $store log-writes /dev/mapper/sto /dev/vdd" || die own"""}
SAME_DISK = {"progress": "sto", "own": ""}

REPLAY = """
sectors=%(sectors)d
system=%(system)d
store=%(store)d
each=$((system + store))
i=0
while [ $i -lt %(points)d ]; do
    dmsetup create sys --table "0 $system linear /dev/vda $((i * each))"
    dmsetup create sto --table \\
        "0 $store linear /dev/vda $((i * each + system))"
    table="0 $sectors update /dev/mapper/sys /dev/vdb"
    dmsetup create u --table "$table 4 paused progress /dev/mapper/sto 0" ||
        echo "point-$i=refused"
    shown=$(sum /dev/mapper/u)
    dmsetup message u 0 yield off
    dmsetup message u 0 resume
    for try in $(seq 600); do
        phase=$(dmsetup status u | cut -d' ' -f7)
        [ $phase = running ] || break
        usleep 20000
    done
    dmsetup remove u
    echo "point-$i=$phase $shown $(dd if=/dev/mapper/sys bs=1M iflag=direct \\
        2>/run/dd | head -c $((sectors * 512)) | sha256sum | cut -d' ' -f1)"
    dmsetup remove sys
    dmsetup remove sto
    i=$((i + 1))
done
"""


class Case:
    """What is merged: images as devices hold them, and the diff."""

    def __init__(self, old, new, diff):
        self.new, self.diff = new, diff
        size = max(len(old), len(new))
        self.system = size + -size % 4096
        self.disk = old + bytes(self.system - len(old) + STORE)

    def words(self, **more):
        return {"sectors": len(self.new) // 512, "system": self.system // 512,
                "store": STORE // 512, **more}


def version_1(folder, seed):
    pair = Pair(folder, seed, 500)
    return Case(pair.old, pair.new, pair.diff)


@functools.lru_cache(maxsize=None)
def large_pair():
    """Of more than one epoch, which are 16 MiB; the same few blocks again and
    again make the diff."""
    dice = random.Random(3)
    few = [dice.randbytes(4096) for _ in range(64)]
    count = 5000
    old = [few[dice.randrange(32)] for _ in range(count)]
    new = [few[32 + dice.randrange(32)] if i % 100 else old[i]
           for i in range(count)]
    return old, new, maker.build(old, new, "none", 64, 4096, share=True)


def version_0():
    old, new, diff = large_pair()
    return Case(b"".join(old), b"".join(new), diff)


def record(folder, case, store):
    """What was recorded of all, and of the records' disk if it is its own."""
    disks = [folder / name for name in ("disk", "log", "diff", "own")]
    disks[0].write_bytes(case.disk)
    disks[2].write_bytes(case.diff)
    for log in (disks[1], disks[3]):
        log.write_bytes(bytes(len(case.disk) * 3 + 32 * MIB))
    result = vm.run(PRELUDE + RECORD % case.words(**store), disks=disks,
                    modules=["dm_mod", "dm_log_writes", "dm_update"],
                    work=folder, machine=MACHINE, timeout=240)
    assert result.status == 0, result.console
    assert result.value("during") == sha(case.new)
    assert " done " in result.console
    return (logwrites.read(disks[1]),
            logwrites.read(disks[3]) if store is OWN_DISK else None)


def bare_flush(entry):
    return entry.flags & logwrites.FLUSH and not entry.data


def flushes_behind(own):
    """{n: flushes of the records' disk that came behind its write n}"""
    found, n = collections.Counter(), 0
    for entry in own:
        if bare_flush(entry):
            found[n] += 1
        elif not entry.flags & logwrites.MARK:
            n += 1
    return found


def owners(case, entries, own):
    """Whose disk each entry is for, "system" or "store". Flushes between two
    writes of the records' disk are the system's, but for the last ones, as many
    as that disk had there."""
    border, flushes = case.system // 512, flushes_behind(own)
    result = ["system"] * len(entries)
    n, since = 0, []
    for i, entry in enumerate(entries):
        if bare_flush(entry):
            since.append(i)
        elif entry.data and entry.sector >= border and not entry.mark():
            result[i] = "store"
            for flush in since[len(since) - flushes[n]:]:
                result[flush] = "store"
            n, since = n + 1, []
    assert n == sum(bool(e.data) and not e.mark() for e in own)
    return result


class Disks:
    """Where a cut finds everything on one disk, or, with owners, on two."""

    def __init__(self, case, of=None):
        self.border, self.of = case.system, of
        self.disk = {"system": logwrites.Disk(case.disk)}
        self.disk["store"] = (logwrites.Disk(case.disk) if of else
                              self.disk["system"])

    def apply(self, number, entry):
        self.disk[self.of[number] if self.of else "system"].apply(entry)

    def after_cut(self, dice):
        """dice: for the system's cache and for the records'."""
        one, two = (self.disk[name].after_cut(d)
                    for name, d in zip(("system", "store"), dice))
        return one[:self.border] + two[self.border:]


def cuts(entries, seed, two=False, most=POINTS):
    """(number of the entry before which to cut, dice for what survives of the
    system's disk and of the records')"""
    marks = [i for i, e in enumerate(entries) if e.mark() in ("begin", "end")]
    inside = range(marks[0], marks[1])
    flushes = [i for i in inside
               if entries[i].flags & (logwrites.FLUSH | logwrites.FUA)]
    dice = random.Random(seed)
    kinds = [(None, None), (dice, dice)]
    if two:
        kinds += [(None, dice), (dice, None)]
    chosen = [(i, kind) for i in flushes for kind in kinds]
    chosen += [(i + 1, kind) for i in flushes if i + 1 < marks[1]
               for kind in kinds[:1] + kinds[2:]]
    others = [i for i in inside if i not in flushes]
    chosen += [(i, kinds[1]) for i in
               dice.sample(others, min(len(others), most // 3))]
    if len(chosen) > most:
        chosen = dice.sample(chosen, most)
    return sorted(chosen, key=lambda cut: cut[0])


def write_disks(path, disks, entries, chosen):
    """The disks of all cuts, one behind the other."""
    at = 0
    with open(path, "wb") as out:
        for number, dice in chosen:
            while at < number:
                disks.apply(at, entries[at])
                at += 1
            out.write(disks.after_cut(dice))


def replay(folder, case, points):
    disks = [folder / "points", folder / "diff"]
    result = vm.run(PRELUDE + REPLAY % case.words(points=points), disks=disks,
                    modules=["dm_mod", "dm_update"], work=folder,
                    machine=MACHINE, timeout=120 + 8 * points)
    assert result.status == 0, result.console
    want = f"done {sha(case.new)} {sha(case.new)}"
    return [i for i in range(points) if result.value(f"point-{i}") != want]


def check_cuts(folder, case, store, most=POINTS):
    entries, own = record(folder, case, store)
    chosen = cuts(entries, 1, store is OWN_DISK, most)
    assert len(chosen) >= 6
    write_disks(folder / "points",
                Disks(case, owners(case, entries, own) if own else None),
                entries, chosen)
    failed = replay(folder, case, len(chosen))
    counts.add("crash points", len(chosen))
    counts.add("crash points failed", len(failed))
    assert not failed, [chosen[i][0] for i in failed]


@pytest.mark.parametrize("seed", [11, 12, 13, 14])
def test_cuts(tmp_path, seed):
    check_cuts(tmp_path, version_1(tmp_path, seed), SAME_DISK)


@pytest.mark.parametrize("seed", [11, 12, 15, 16])
def test_cuts_with_records_on_a_disk_of_their_own(tmp_path, seed):
    check_cuts(tmp_path, version_1(tmp_path, seed), OWN_DISK)


@pytest.mark.parametrize("store", [SAME_DISK, OWN_DISK],
                         ids=["same-disk", "own-disk"])
def test_cuts_of_version_0(tmp_path, store):
    check_cuts(tmp_path, version_0(), store, 16)
