# SPDX-License-Identifier: GPL-2.0-or-later
"""What the numbers of the update target are held against."""

from fio import MIB
from judge import Limit
from pair import CHANGED
from updatejobs import BY_NAME, ROOM

PROGRESS, SYSTEM = 4, 5  # disks of a merge
AREA_NAMES = {"new": "rewritten area", "edited": "edited area"}


def speed(phase, other, target="update1"):
    return lambda run: run.time((phase, other)) / run.time((phase, target))


def reads(phase):
    return lambda run: (run.reads((phase, "update1")) /
                        BY_NAME[phase].requests())


def decoded(phase):
    """How often each byte of the area was decompressed."""
    return lambda run: (run.count((phase, "update1"), lambda r: r.stats[
        "update1", "bytes_decoded"]) / (ROOM * MIB))


def unchanged(name):
    text = f"unchanged area, {name}: "
    phase = "same-" + name.replace(" KiB", "k").replace(" MiB", "m").replace(
        " depth ", "d").replace(",", "-")
    return [Limit(text + "requests per request", 1, reads(phase), most=True),
            Limit(text + "speed, dm-linear = 1", 0.9, speed(phase, "linear"))]


def changed(area):
    text = AREA_NAMES[area] + ", "
    return [
        Limit(text + "random 4 KiB, depth 1: speed, raw = 1", 0.3,
              speed(f"{area}-4k-d1", "raw")),
        Limit(text + "random 4 KiB, depth 16: speed, raw = 1", 0.3,
              speed(f"{area}-4k-d16", "raw")),
        Limit(text + "random 128 KiB, depth 1: speed, raw = 1", 0.35,
              speed(f"{area}-128k-d1", "raw")),
        Limit(text + "4 KiB in a row, depth 1: speed, raw = 1", 2,
              speed(f"{area}-4k-row", "raw")),
        Limit(text + "four readers in a row: times that each byte was "
              "decompressed", 1, decoded(f"{area}-64k-row-x4"), most=True),
    ]


def on_disk(run, disk, kind, step="merge1"):
    return run.count(step, lambda r: r.disks[disk, kind])


def writes_per_mib(run):
    """What is saved, and the records, are no writes of what changes."""
    return on_disk(run, SYSTEM, "write") / (CHANGED / MIB)


def written_per_byte(run):
    return run.count("merge1", lambda r: r.written) / CHANGED


def flushes_per_record(run):
    """Of the system device; to force a record may take a disk one of its own.
    """
    return (on_disk(run, SYSTEM, "flush") /
            run.count("merge1", lambda r: r.stats["merge", "records"]))


LIMITS = [
    *[limit for size in ("4 KiB", "128 KiB", "1 MiB") for depth in (1, 16)
      for limit in unchanged(f"{size}, depth {depth}")],
    *changed("new"), *changed("edited"),
    Limit("merge: speed, zstd -d into dd = 1", 1.2,
          lambda run: run.time("pipe") / run.time("merge1")),
    Limit("merge: writes of the system device per MiB that changes in a row",
          1.1, writes_per_mib, most=True),
    Limit("merge: bytes written per byte that changes", 1.1, written_per_byte,
          most=True),
    Limit("merge: flushes of the system device per durable record", 1,
          flushes_per_record, most=True),
]
