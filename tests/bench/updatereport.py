# SPDX-License-Identifier: GPL-2.0-or-later
"""The results of the update target as a page, as a picture, on the terminal."""

import chart as svg
import pages
from fio import MIB
from pages import table
from pair import CHANGED, SIZE
from updatejobs import AREAS, PHASES, TARGETS
from updatelimits import LIMITS, PROGRESS, SYSTEM, on_disk, speed

COLOURS = {"dm-linear": "#999", "dm-verity": "#9a6", "update": "#d33",
           "update, version 0": "#e99", "dm-snapshot 4 KiB": "#37b",
           "dm-snapshot 64 KiB": "#9cd"}
NAMES = {"raw": "raw", "linear": "dm-linear", "verity": "dm-verity",
         "update1": "update", "update0": "update, version 0",
         "snap4": "dm-snapshot 4 KiB", "snap64": "dm-snapshot 64 KiB"}
STEPS = {"pipe": "`zstd -d` into `dd oflag=direct bs=1M conv=fsync`",
         "merge1": "merge", "merge0": "merge of version 0"}

HEAD = """# Speed of the update target

`make bench-update` wrote this page: fio on Debian's kernel in QEMU reads one
new image of {size} MiB, of which {changed} MiB differ from the old one, by way of
each target, and the new image is merged into the old one. Figures are medians of
{repeats} repetitions.

- **Reads are timed by a clock that counts instructions.** The machine has one
  emulated processor, and its clock goes on by a nanosecond with each instruction,
  whatever the host does meanwhile. By the host's clock an emulated processor does
  some 300 million instructions a second, a fraction of what a board's core does,
  beside a disk as fast as the host's memory. So it was measured before, and decoding
  seemed to take several times as long beside reading as it does on a board.
- Random reads come in another order each time.
- **The board** that is meant has a core of 2 * 10^9 instructions a second and an
  eMMC that reads 166 MB/s (as on boards with an i.MX 8M Mini) and takes 0.12 ms for
  a request, one at a time. The machine's processor does half as many, so its disks
  are half as fast: its times are twice the board's, and ratios are the same. A board
  with more cores shares the decoding among them; this machine has one. What a core
  half as fast gives, in one repetition, stands below.
- The disks of the reads are in the machine's own memory (`null_blk`): 0.24 ms for
  each request, and 83 MiB/s in the mean of 20 ms.
- **Merges** are timed by the host's clock, on two emulated processors: unpacking
  beside writing takes two. Their disks are QEMU's, in the memory of the host, which
  write 120 MB/s, as an eMMC. They have a write cache and cannot force single writes
  to the medium, so each such write costs a flush.
  Their processors have no instruction for the CRC-32C of every decoded chunk, as
  boards' have: QEMU computes it bit by bit, and takes longer than the kernel's
  tables, which make the sums here. Nothing else may work hard on the host meanwhile.
- How many requests there were is what the kernel gave to the disks.
- The contents are kernel modules. In the `same` third nothing changes; `new` has
  become other modules; in `edited` are the modules of the first third with an
  edit every few hundred bytes, so that their chunks lean on old bytes.
- Chunks are 64 KiB, zstd 19: {diff1:.1f} MiB in version 1, {diff0:.1f} MiB in
  version 0, {packed:.1f} MiB as one stream of zstd 19, which is what the pipe
  unpacks, from memory.
- dm-verity is there to compare, on dm-linear. dm-snapshot has the same change in
  a persistent exception store.
- `d16` is queue depth 16, `row` one request after the other, `x4` four readers
  of the same. Of these 4 KiB are read by nobody ahead of time but the target.
- Under "single" stands what the repetitions gave each by itself; a figure whose
  limit lies between these two is a toss. A limit counts as met within 1 %.

![The same as bars](bench-update.svg)
"""


def limit_rows(run):
    return pages.limit_rows(LIMITS, [run])


def merge_rows(run):
    for step, text in STEPS.items():
        yield (*pages.step_row(run, step, text),
               *(f"{on_disk(run, disk, kind, step):.0f}"
                 for disk, kind in ((SYSTEM, "flush"), (PROGRESS, "write"))))


def decoded_rows(run):
    for phase in PHASES:
        for target in ("update1", "update0"):
            key = (phase.name, target)
            if phase.name.startswith("same") or not run.has(key):
                continue
            asked = phase.requests() * phase.size
            got = run.count(key, lambda r, t=target: r.stats[
                t, "bytes_decoded"])
            yield phase.name, NAMES[target], f"{got / asked:.2f}"


def core_rows(run, slow):
    """Speeds of the update target, raw = 1, with both cores."""
    for phase in PHASES:
        if slow.has((phase.name, "raw")):
            ratio = speed(phase.name, "raw")
            yield phase.name, f"{ratio(run):.2f}", f"{ratio(slow):.2f}"


def without_disk(rows):
    """Of a table with limits: there is one machine only."""
    return [row[:1] + row[2:] for row in rows]


def page(run, slow, sizes):
    head = HEAD.format(size=SIZE // MIB, changed=CHANGED // MIB,
                       repeats=len(run.repeats),
                       **{name: size / MIB for name, size in sizes.items()})
    return "\n".join([
        head, "## Limits\n",
        table(("what", "figure", "single", "limit", ""),
              without_disk(limit_rows(run))),
        "## Every phase\n",
        "Reads, writes and flushes of the disks are per request.\n",
        table(("phase", "target", "median", "+-", "raw = 1", "reads",
               "writes", "flushes"), pages.phase_rows(run, PHASES, NAMES)),
        "## A slower core\n",
        "The same with one core that does 10^9 instructions a second: speed of "
        "update,\nraw = 1. Nothing is judged by it.\n",
        table(("phase", "2 * 10^9", "10^9"), core_rows(run, slow)),
        "## Decompressed bytes for each that was asked for\n",
        table(("phase", "target", "bytes"), decoded_rows(run)),
        "## Merge\n",
        table(("what", "median", "+-", "reads", "writes", "flushes",
               "of these of the system device",
               "writes of the progress device"),
              merge_rows(run))])


def chart(run):
    """A panel for each area, with the same rows."""
    speeds = dict(pages.speeds(run, PHASES, COLOURS, NAMES))
    rows = list(dict.fromkeys(name.partition("-")[2] for name in speeds))
    panels = [(f"{area}: speed, raw = 1",
               [(row, speeds.get(f"{area}-{row}", {})) for row in rows])
              for area in AREAS]
    return svg.chart(panels, COLOURS, 2)


def summary(run):
    return pages.summary(limit_rows(run))
