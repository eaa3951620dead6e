# SPDX-License-Identifier: GPL-2.0-or-later
"""The results of the update target as a page, as a picture, on the terminal."""

import chart as svg
import pages
from fio import MIB
from pages import table
from pair import CHANGED, SIZE
from updatejobs import AREAS, PHASES, TARGETS
from updatelimits import LIMITS, PROGRESS, SYSTEM, on_disk

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
each target. The numbers to trust are the counts of device requests, which the
kernel counted as it gave them to the disks, and then the ratios between targets
of one run: of medians of {repeats} repetitions, in which the targets take turns.
How many requests a second there were says more about the machine that ran it.

- The disks lie in the memory of the host, limited to 300 MB/s for reading and
  120 MB/s for writing, as an eMMC, but without its latency. They have a write
  cache and cannot force single writes to the medium, so each such write costs a
  flush.
- The machine has two processors, emulated ones, so that what is decompressed
  takes longer beside what is read than on a real one. It shares the host with
  nothing else that works hard, or the times mean little. Its kernel keeps its
  tick and takes the processor's clock (`nohz=off tsc=reliable`), for an
  emulator's timers and other clocks are slow.
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


def without_disk(rows):
    """Of a table with limits: there is one machine only."""
    return [row[:1] + row[2:] for row in rows]


def page(run, sizes):
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
