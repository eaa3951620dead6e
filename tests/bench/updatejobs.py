# SPDX-License-Identifier: GPL-2.0-or-later
"""What fio does in the machine of the update target's bench: it reads the same
new image by way of every target."""

import fio
from fio import MIB, Phase
from pair import EDITED, REWRITTEN, UNCHANGED

KIB = 1 << 10
TARGETS = {
    "raw": "/dev/new",
    **{name: f"/dev/mapper/{name}" for name in
       ("linear", "verity", "snap4", "snap64", "update1", "update0")},
}
AREAS = {"same": UNCHANGED, "new": REWRITTEN, "edited": EDITED}
ROOM = 24  # of each, in MiB
QUICK = ("raw", "linear", "update1")  # targets of the quick bench
READERS = 4
# The disks keep their speed in the mean of 20 ms, and what is read in less than
# a dozen of these is faster or slower by chance: all that there is, then.
ALL_128K, ALL_4K = ROOM * 8, ROOM * 256


def reads(area, name, size, depth, count, rw="randread", **more):
    return Phase(f"{area}-{name}", rw, size, depth, count, AREAS[area], ROOM,
                 **more)


def unchanged():
    for name, size, few, many in (("4k", 4 * KIB, 1000, 3000),
                                  ("128k", 128 * KIB, ALL_128K, ALL_128K),
                                  ("1m", MIB, 20, 24)):
        for depth, count in ((1, few), (16, many)):
            yield reads("same", f"{name}-d{depth}", size, depth, count,
                        quick=size == 4 * KIB)
    yield reads("same", "4k-d32", 4 * KIB, 32, 3000)


def changed(area):
    yield reads(area, "4k-d1", 4 * KIB, 1, 300, quick=True)
    yield reads(area, "4k-d16", 4 * KIB, 16, 600, quick=True)
    yield reads(area, "4k-d32", 4 * KIB, 32, 600)
    yield reads(area, "128k-d1", 128 * KIB, 1, ALL_128K, quick=True)
    yield reads(area, "128k-d16", 128 * KIB, 16, ALL_128K)
    yield reads(area, "4k-row", 4 * KIB, 1, ALL_4K, rw="read", quick=True)
    yield reads(area, "128k-row", 128 * KIB, 1, ALL_128K, rw="read")
    yield reads(area, "64k-row-x4", 64 * KIB, 1, ROOM * 16, rw="read",
                jobs=READERS, same=True, quick=True)


PHASES = [*unchanged(), *changed("new"), *changed("edited")]
BY_NAME = {phase.name: phase for phase in PHASES}


def plan(phases, targets=tuple(TARGETS)):
    """fio's job file, and the [(phase, target)] between the marks."""
    return fio.job_file([(phase, name, TARGETS[name], 0) for phase in phases
                         for name in targets])
