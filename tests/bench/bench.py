# SPDX-License-Identifier: GPL-2.0-or-later
"""make bench-bow: measures, judges, and writes docs/bench-bow.md and .svg.

With 'quick' the most important phases once, and the two files go to out/
instead. Fails only if something did not run: a missed limit is a result.

How much flushes matter on a slow medium is what the second machine shows, where
the guest's dm-delay lies under all targets. Both have a clock of their own: the
delay is counted in its ticks, and what lies between two targets is often less
than what a host does beside.
"""

import argparse
import sys

import jobs
import lab
import report
from lab import vm
from measure import Run, repetitions

NAMES = ["raw", "linear", "bow", "snap4", "snap64", "bow512"]
DELAYS = (0, 2)
PACKAGES = ["fio", "libdevmapper1.02.1", "liblz4-1", "libmbedtls14",
            "libubootenv0.1", "libzstd1", "zlib1g"]


def make_disk(path):
    lab.make_disk(path, jobs.DISK)
    if path.name.startswith("snap"):
        lab.halve(path, jobs.DISK)
    return path


def machine(work, disks, delay, repeats, phases):
    """One machine with every target; a Run."""
    plan = jobs.plan(delay, phases)
    console = lab.console(
        f"bench-bow-{delay}", work, disks, plan, "guest-bow.sh",
        {"REPEATS": repeats, "DELAY": delay},
        files={"bin/bowline": vm.OUT / "host/bowline",
               "bin/mark": lab.MARK},
        modules=["dm_mod", "dm_bow", "dm_snapshot", "dm_delay"],
        kind="bench-exact",
        memory=768, packages=PACKAGES, timeout=600 + 300 * repeats)
    return Run(repetitions(console, plan[1], delay), delay)


def measure(repeats, phases=tuple(jobs.PHASES)):
    with lab.folder() as work:
        disks = [make_disk(work / name) for name in NAMES]
        for delay, times in zip(DELAYS, repeats):
            print(f"bench-bow: repetitions: {times}, "
                  f"{delay or 'no'} ms of delay", file=sys.stderr)
            yield machine(work, disks, delay, times, phases)


def main():
    parser = argparse.ArgumentParser(prog="bench.py")
    parser.add_argument("quick", nargs="?", choices=["quick"])
    quick = parser.parse_args().quick
    if quick:
        runs = list(measure((1, 1), [p for p in jobs.PHASES if p.quick]))
    else:
        runs = list(measure((5, 3)))
    into = vm.OUT if quick else lab.TOP / "docs"
    page = report.page(runs)
    (into / "bench-bow.md").write_text(page)
    (into / "bench-bow.svg").write_text(report.chart(runs))
    print(report.summary(runs))


if __name__ == "__main__":
    main()
