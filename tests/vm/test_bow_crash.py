# SPDX-License-Identifier: GPL-2.0-or-later
"""Power cuts of the bow target at every flush and between them: dm-log-writes
under it records all that reaches the disk, the host makes the disks that a cut
may leave, tearing writes at 512 bytes, and each must restore exactly."""

import os
import random

import pytest

import logwrites
import vm
from test_bow import bowline, free_ranges
from test_bow_edge import FLAKY, scribble  # noqa: F401 (a fixture)

SIZE = 4 << 20
STACK = FLAKY.split("lower()")[0] + """
dmsetup create lower --table "0 $sectors log-writes /dev/vda /dev/vdb"
BOW=/sys/block/dm-1/bow
mark() { dmsetup message lower 0 mark $1; }
make "1 block_size:$BLOCK_SIZE" /dev/dm-0
for at in 1 2; do blkdiscard -o ${at}M -l 1M /dev/dm-1; done
dmsetup message bow 0 ranges
mark begin
echo 1 > $BOW/state
scribble /dev/dm-1 $BLOCK_SIZE 24 6 1 2 | sed s/scribble/first/
dd if=/dev/zero of=/dev/dm-1 count=0 conv=fsync,notrunc 2>/dev/null
mark commit
dmsetup status bow | sed 's/^/status=/'
echo 2 > $BOW/state
mark end
dmsetup remove bow
dmsetup remove lower
sync
"""


def record(tmp_path, scribble, block_size):
    disk, log = tmp_path / "disk", tmp_path / "log"
    disk.write_bytes(os.urandom(SIZE))
    before = disk.read_bytes()
    log.write_bytes(bytes(64 << 20))
    result = vm.run(f"BLOCK_SIZE={block_size}\n" + STACK, disks=[disk, log],
                    modules=["dm_mod", "dm_log_writes", "dm_bow"],
                    files={"bin/scribble": scribble}, work=tmp_path)
    assert result.status == 0, result.console
    assert " 0 failed" in result.value("first"), result.console
    return result, before, disk.read_bytes(), logwrites.read(log)


def compare(image, want, free):
    """The sectors outside the free ranges, as slices."""
    at = 0
    for start, end in free + [(len(want) // 512, 0)]:
        if image[at:start * 512] != want[at:start * 512]:
            return False
        at = end * 512
    return True


def bowline_gives(verb, image, want, free):
    bowline(verb, image)
    return compare(image.read_bytes(), want, free)


@pytest.mark.parametrize("block_size", [512, 1024, 4096])
def test_every_flush(tmp_path, scribble, block_size):  # noqa: F811
    result, before, after, entries = record(tmp_path, scribble, block_size)
    free = free_ranges(result.console)
    disk = logwrites.Disk(before)
    dice = random.Random(block_size)
    image = tmp_path / "image"
    points = {"begin": 0, "commit": 0}
    phase = None
    cuts = set(logwrites.points(entries, 16))
    for number, entry in enumerate(entries):
        phase = entry.mark() or phase
        if phase in points and number in cuts:
            for tear in (None, dice):
                image.write_bytes(disk.after_cut(tear))
                points[phase] += 1
                if phase == "begin":
                    assert bowline_gives("restore", image, before, free), \
                        f"entry {number}"
                else:
                    assert bowline_gives("keep", image, after, []), \
                        f"entry {number}"
        disk.apply(entry)
    assert points["begin"] > 50 and points["commit"] > 2, points
