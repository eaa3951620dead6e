# SPDX-License-Identifier: GPL-2.0-or-later
"""The bench's results as a page, as a picture and on the terminal."""

import chart as svg
from jobs import MIB, PHASES, TARGETS
from limits import verdicts
from measure import spread

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
- The machine has two processors, and shares the host with nothing else that
  works hard, or the times mean little; the counts of requests do not change.
- Everything is measured twice, the second time with the kernel's dm-delay under
  every target, raw included, set to {delay} ms for each write and each flush. The
  kernel counts time in ticks of 4 ms, and waits for two of them: one write at a
  time took {raw:.1f} ms more on the raw device.
- bow has half of its disk free, and blocks of 4096 bytes unless the table says
  otherwise. dm-snapshot is used as a backup would be: the writes go to the
  origin, a persistent snapshot keeps what was there, on the same disk.
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


def run_name(delay):
    return f"{delay} ms delay" if delay else "as it is"


def limit_rows(runs):
    for limit, delay, value, between, met in verdicts(runs):
        sign = "at most" if limit.most else "at least"
        yield (limit.text, run_name(delay), f"{value:.2f}",
               f"{between[0]:.2f} to {between[1]:.2f}",
               f"{sign} {limit.limit:g}", "met" if met else "missed")


def phase_rows(run):
    for phase in PHASES:
        for target in TARGETS:
            key = (phase.name, target)
            if run.has(key):
                yield phase_row(run, phase, key)


def phase_row(run, phase, key):
    count, seconds = phase.requests(run.delay), run.time(key)
    if phase.size < MIB:
        rate = f"{count / seconds:.0f}/s"
    else:
        rate = f"{count * phase.size / seconds / 1e6:.0f} MB/s"
    return (phase.name, NAMES[key[1]], rate,
            f"{100 * spread(run.seconds(key)):.0f} %",
            f"{run.time((phase.name, 'raw')) / seconds:.2f}",
            f"{run.reads(key) / count:.2f}", f"{run.writes(key) / count:.2f}",
            f"{run.flushes(key) / count:.2f}")


def offline_rows(run):
    for name, text in (("copy", "plain copy of all extents"),
                       ("restore", "`bowline restore`"),
                       ("keep-copy", "plain copy of block 0"),
                       ("keep", "`bowline keep`")):
        yield (run_name(run.delay), text, f"{1000 * run.time(name):.0f} ms",
               f"{100 * spread(run.seconds(name)):.0f} %",
               f"{run.reads(name):.0f}", f"{run.writes(name):.0f}",
               f"{run.flushes(name):.0f}")


def table(head, rows):
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def page(runs):
    repeats = " and ".join(str(len(run.repeats)) for run in runs)
    parts = [HEAD.format(repeats=repeats, delay=runs[-1].delay,
                         raw=delay_seen(runs)),
             "## Limits\n", table(("what", "disk", "figure", "single",
                                   "limit", ""),
                                  limit_rows(runs))]
    for run in runs:
        parts += [f"## Every phase, {run_name(run.delay)}\n",
                  "Reads, writes and flushes of the disk are per request.\n",
                  table(("phase", "target", "median", "+-", "raw = 1", "reads",
                         "writes", "flushes"), phase_rows(run))]
    parts += ["## Restore and keep\n", table(
        ("disk", "what", "median", "+-", "reads", "writes", "flushes"),
        [row for run in runs for row in offline_rows(run)])]
    return "\n".join(parts)


def chart(runs):
    panels = []
    for run in runs:
        groups = [(phase.name, {
            name: run.time((phase.name, "raw")) / run.time((phase.name, key))
            for key, name in NAMES.items() if name in COLOURS})
            for phase in PHASES if run.has((phase.name, "raw"))]
        panels.append((f"speed, raw = 1: {run_name(run.delay)}", groups))
    return svg.chart(panels, COLOURS, 1)


def summary(runs):
    rows = list(limit_rows(runs))
    lines = [f"{what:73} {disk:10} {figure:>7}  {limit:13} {verdict}"
             for what, disk, figure, _, limit, verdict in rows]
    met = sum(row[-1] == "met" for row in rows)
    return "\n".join([*lines, f"{met} of {len(rows)} limits met"])
