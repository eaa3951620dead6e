# SPDX-License-Identifier: GPL-2.0-or-later
"""The results of the bow target as a page, as a picture and on the terminal."""

import chart as svg
import pages
from jobs import PHASES, TARGETS
from limits import LIMITS
from pages import disk, table

COLOURS = {"dm-linear": "#999", "bow": "#d33", "dm-snapshot 4 KiB": "#37b",
           "dm-snapshot 64 KiB": "#9cd"}
NAMES = {"raw": "raw", "linear": "dm-linear", "bow": "bow",
         "snap4": "dm-snapshot 4 KiB", "snap64": "dm-snapshot 64 KiB",
         "bow512": "bow, block size 512"}

HEAD = """# Speed of the bow target

`make bench-bow` wrote this page: fio on Debian's kernel in QEMU, every target
on a disk of its own, all alike. The numbers to trust are the counts of device
requests, which the kernel counted as it gave them to the disk, and then the
ratios between targets of one run: of medians of {repeats} repetitions, in which
the targets take turns. How many requests a second there were says more about
the machine that ran it.

- The disks lie in the memory of the host, limited to 300 MB/s for reading and
  120 MB/s for writing, as an eMMC. They have a write cache, sectors of 512 bytes,
  and cannot force single writes to the medium, so each such write costs a flush.
- The machine has one processor and a clock of its own, in which each instruction
  takes a nanosecond (`-icount shift=0`), as on a small board; while it waits, the
  clock goes on with the host's. So what it computes takes as long on any host; what
  it waits for does not, and reads one at a time, or 1 MiB in a row, still depend on
  what else the host does. The emulator is slower than that clock, so beside what
  is computed the disks look quicker than their limits.
  The kernel keeps its tick and takes the processor's clock (`nohz=off
  tsc=reliable`), for an emulator's timers and other clocks are slow.
- Everything is measured twice, the second time with the kernel's dm-delay under
  every target, raw included, set to {delay} ms for each write and each flush. The
  kernel counts time in ticks of 4 ms, and waits for two of them: one write at a
  time took {raw:.1f} ms more on the raw device.
- bow has half of its disk free, and blocks of 4096 bytes unless the table says
  otherwise. dm-snapshot is used as a backup would be: the writes go to the
  origin, a persistent snapshot keeps what was there, on the same disk.
- Restore and keep take as long as it is from their first request to the end of
  their last, and are held against a plain copy of all extents of the same log.
  Only block 0 has to go back for `keep`; a copy of that alone is in the last
  table. It takes one write where `keep` takes three if a cut can tear the block
  (8 sectors), each durable before the next.
- Under "single" stands what the repetitions gave each by itself; a figure whose
  limit lies between these two is a toss. A limit counts as met within 1 %.
- `d32` is queue depth 32, `x4` four jobs at once, `fsync` a flush after each
  write.

![The same as bars](bench-bow.svg)
"""


def delay_seen(runs):
    """What the delay added to a write of the raw device, in ms."""
    phase = PHASES[0]
    each = [run.time((phase.name, "raw")) / phase.requests(run.delay)
            for run in runs]
    return 1000 * (each[-1] - each[0])


def limit_rows(runs):
    return pages.limit_rows(LIMITS, runs)


def phase_rows(run):
    return pages.phase_rows(run, PHASES, {t: NAMES[t] for t in TARGETS})


def offline_rows(run):
    for name, text in (("copy", "plain copy of all extents"),
                       ("restore", "`bowline restore`"),
                       ("keep-copy", "plain copy of block 0, 8 sectors"),
                       ("keep", "`bowline keep`, 8 sectors"),
                       ("keep512-copy", "plain copy of block 0, one sector"),
                       ("keep512", "`bowline keep`, one sector")):
        yield disk(run.delay), *pages.step_row(run, name, text)


def page(runs):
    repeats = " and ".join(str(len(run.repeats)) for run in runs)
    parts = [HEAD.format(repeats=repeats, delay=runs[-1].delay,
                         raw=delay_seen(runs)),
             "## Limits\n", table(("what", "disk", "figure", "single",
                                   "limit", ""),
                                  limit_rows(runs))]
    for run in runs:
        parts += [f"## Every phase, {disk(run.delay)}\n",
                  "Reads, writes and flushes of the disk are per request.\n",
                  table(("phase", "target", "median", "+-", "raw = 1", "reads",
                         "writes", "flushes"), phase_rows(run))]
    parts += ["## Restore and keep\n", table(
        ("disk", "what", "median", "+-", "reads", "writes", "flushes"),
        [row for run in runs for row in offline_rows(run)])]
    return "\n".join(parts)


def chart(runs):
    panels = [(f"speed, raw = 1: {disk(run.delay)}",
               pages.speeds(run, PHASES, COLOURS, NAMES)) for run in runs]
    return svg.chart(panels, COLOURS, 1)


def summary(runs):
    return pages.summary(limit_rows(runs))
