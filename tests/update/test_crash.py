# SPDX-License-Identifier: GPL-2.0-or-later
"""Power cuts during merges: dm-log-writes records all that reaches the disk on
which system, records and save area are, the host makes the disks that a cut may
leave, at every flush and between them, tearing writes at 512 bytes. Over each
a fresh table has to read as exactly the new image, and to merge to it."""

import os
import random

import pytest

import counts
import logwrites
import vm
from test_update import PRELUDE, sha
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
dmsetup create u --table "0 $sectors update /dev/mapper/sys /dev/vdc \\
    4 paused progress /dev/mapper/sto 0" || die map
dmsetup message lw 0 mark begin
dmsetup message u 0 yield off
dmsetup message u 0 resume
echo during=$(sum /dev/mapper/u)
[ "$(dmsetup status u | cut -d' ' -f7)" = done ] || wait_event
dmsetup message lw 0 mark end
dmsetup status u
dmsetup remove u
dmsetup remove sto
dmsetup remove sys
dmsetup remove lw
"""

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


def record(folder, case):
    disks = [folder / name for name in ("disk", "log", "diff")]
    disks[0].write_bytes(case.disk)
    disks[1].write_bytes(bytes(len(case.disk) * 3 + 32 * MIB))
    disks[2].write_bytes(case.diff)
    result = vm.run(PRELUDE + RECORD % case.words(), disks=disks,
                    modules=["dm_mod", "dm_log_writes", "dm_update"],
                    work=folder, machine=MACHINE, timeout=240)
    assert result.status == 0, result.console
    assert result.value("during") == sha(case.new)
    return logwrites.read(disks[1])


def cuts(entries, seed):
    """(number of the entry before which to cut, dice for what survives)"""
    marks = [i for i, e in enumerate(entries) if e.mark() in ("begin", "end")]
    inside = range(marks[0], marks[1])
    flushes = [i for i in inside
               if entries[i].flags & (logwrites.FLUSH | logwrites.FUA)]
    dice = random.Random(seed)
    chosen = [(i, torn) for i in flushes for torn in (None, dice)]
    chosen += [(i + 1, None) for i in flushes if i + 1 < marks[1]]
    others = [i for i in inside if i not in flushes]
    chosen += [(i, dice) for i in
               dice.sample(others, min(len(others), POINTS // 3))]
    if len(chosen) > POINTS:
        chosen = dice.sample(chosen, POINTS)
    return sorted(chosen, key=lambda cut: cut[0])


def write_disks(path, case, entries, chosen):
    """The disks of all cuts, one behind the other."""
    disk = logwrites.Disk(case.disk)
    at = 0
    with open(path, "wb") as out:
        for number, dice in chosen:
            while at < number:
                disk.apply(entries[at])
                at += 1
            out.write(disk.after_cut(dice))


def replay(folder, case, points):
    disks = [folder / "points", folder / "diff"]
    result = vm.run(PRELUDE + REPLAY % case.words(points=points), disks=disks,
                    modules=["dm_mod", "dm_update"], work=folder,
                    machine=MACHINE, timeout=120 + 8 * points)
    assert result.status == 0, result.console
    want = f"done {sha(case.new)} {sha(case.new)}"
    return [i for i in range(points) if result.value(f"point-{i}") != want]


@pytest.mark.parametrize("seed", [11, 12, 13, 14])
def test_cuts(tmp_path, seed):
    case = version_1(tmp_path, seed)
    entries = record(tmp_path, case)
    chosen = cuts(entries, 1)
    assert len(chosen) >= 6
    write_disks(tmp_path / "points", case, entries, chosen)
    failed = replay(tmp_path, case, len(chosen))
    counts.add("crash points", len(chosen))
    counts.add("crash points failed", len(failed))
    assert not failed, [chosen[i][0] for i in failed]
