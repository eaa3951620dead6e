# SPDX-License-Identifier: GPL-2.0-or-later
"""make bench-update: measures, judges, and writes a page and a picture into docs/.

With 'quick' the phases that have a limit once, and the two files go to out/
instead. Fails only if something did not run: a missed limit is a result.
"""

import argparse
import os

import lab
import pair
import updatejobs
import updatereport
from fio import MIB
from lab import verity, vm
from measure import Run, repetitions

# The disk of the board that is meant, an eMMC: nanoseconds for a request, MiB/s.
LATENCY, SPEED = 120_000, 166
# Its core does so many instructions in a nanosecond; one is what the machine's
# processor does, whose disks therefore do everything so many times slower.
CORE, SLOW_CORE = 2, 1
FILES = ("new", "old", "diff1", "diff0", "hashes")
STORE = 2 * pair.CHANGED  # exceptions of a snapshot
MERGE_FILES = ("new", "old", "diff1", "diff0", "progress", "merged")
REPEATS = 5
STATS = b"""for name in update1 update0 merge; do
	[ -e /dev/mapper/$name ] || continue
	dmsetup message $name 0 stats | tr ' =' '\\n ' | sed "s/^/stat $name /"
done
"""


def console(name, work, disks, plan, variables, **machine):
    return lab.console(
        name, work, disks, plan, "guest-update.sh",
        {"START": pair.REWRITTEN, **variables},
        files={"packed": work / "packed", "bin/mark": lab.MARK + STATS},
        packages=["fio", "zstd"], **machine)


def whole(path):
    """The disk that a file begins as, of whole MiB."""
    size = -(-path.stat().st_size // MIB)
    os.truncate(path, size * MIB)
    return f"{path.name}:{size}"


def measure_reads(work, plan, table, core, repeats):
    disks = [whole(work / name) for name in FILES] + [
        f"{name}:{STORE // MIB}" for name in ("stores4", "stores64")]
    text = console(
        "bench-update", work, [work / name for name in FILES], plan,
        {"REPEATS": repeats, "EVENT": "block_rq_complete",
         "VERITY": f"'{table}'", "LATENCY": LATENCY * core,
         "SPEED": SPEED // core, "DISKS": f"'{' '.join(disks)}'"},
        kind="bench-alone", memory=1280, timeout=3600,
        modules=["dm_mod", "dm_update", "dm_verity", "dm_snapshot",
                 "sha256_generic", "null_blk"])
    return repetitions(text, plan[1], 0, minors=1)


def measure_merges(work, repeats):
    for name in ("progress", "merged"):
        lab.make_disk(work / name, pair.SIZE)
    text = console("bench-merge", work, [work / name for name in MERGE_FILES],
                   ("", []), {"REPEATS": repeats,
                              "LINKS": f"'{' '.join(MERGE_FILES)}'"},
                   memory=768, timeout=1200,
                   modules=["dm_mod", "dm_update"])
    return repetitions(text, [], 0)


def measure(repeats, phases, targets):
    with lab.folder() as work:
        table = verity.table(pair.SIZE // 512, "/dev/mapper/linear",
                             "/dev/hashes", pair.make(work))
        sizes = {name: (work / name).stat().st_size
                 for name in ("diff1", "diff0", "packed")}
        reads = measure_reads(work, updatejobs.plan(phases, targets), table,
                              CORE, repeats)
        slow = measure_reads(
            work, updatejobs.plan([p for p in phases if p.quick],
                                  updatejobs.QUICK), table, SLOW_CORE, 1)
        merges = measure_merges(work, repeats)
    return (Run([{**read, **merge} for read, merge in
                 zip(reads, merges, strict=True)], 0),
            Run(slow, 0), sizes)


def main():
    parser = argparse.ArgumentParser(prog="benchupdate.py")
    parser.add_argument("quick", nargs="?", choices=["quick"])
    quick = parser.parse_args().quick
    phases = [p for p in updatejobs.PHASES if p.quick or not quick]
    run, slow, sizes = measure(1 if quick else REPEATS, phases,
                         updatejobs.QUICK if quick
                         else tuple(updatejobs.TARGETS))
    into = vm.OUT if quick else lab.TOP / "docs"
    (into / "bench-update.md").write_text(updatereport.page(run, slow, sizes))
    (into / "bench-update.svg").write_text(updatereport.chart(run))
    print(updatereport.summary(run))


if __name__ == "__main__":
    main()
