# SPDX-License-Identifier: GPL-2.0-or-later
"""make bench-update: measures, judges, and writes a page and a picture into docs/.

With 'quick' the phases that have a limit once, and the two files go to out/
instead. Fails only if something did not run: a missed limit is a result.
"""

import argparse
import sys

import lab
import pair
import updatejobs
import updatereport
from lab import verity, vm
from measure import Run, repetitions

STORES = 4 * pair.CHANGED  # exceptions of two snapshots
STATS = b"""for name in update1 update0 merge; do
	[ -e /dev/mapper/$name ] || continue
	dmsetup message $name 0 stats | tr ' =' '\\n ' | sed "s/^/stat $name /"
done
"""


def make_disks(work):
    def empty(name, size):
        return lab.make_disk(work / name, size)
    lab.halve(empty("stores", STORES), STORES)
    return [work / name for name in
            ("new", "old", "diff1", "diff0", "hashes", "stores")] + [
        empty("progress", pair.SIZE), empty("merged", pair.SIZE)]


def measure(repeats, phases, targets):
    with lab.folder() as work:
        table = verity.table(pair.SIZE // 512, "/dev/mapper/linear",
                             "/dev/vde", pair.make(work))
        plan = updatejobs.plan(phases, targets)
        console = lab.console(
            "bench-update", work, make_disks(work), plan, "guest-update.sh",
            {"REPEATS": repeats, "START": pair.REWRITTEN,
             "VERITY": f"'{table}'"},
            files={"packed": work / "packed", "bin/mark": lab.MARK + STATS},
            modules=["dm_mod", "dm_update", "dm_verity", "dm_snapshot",
                     "sha256_generic"],
            memory=768, packages=["fio", "zstd"],
            timeout=1200 + 600 * repeats)
        sizes = {name: (work / name).stat().st_size
                 for name in ("diff1", "diff0", "packed")}
    return Run(repetitions(console, plan[1], 0), 0), sizes


def main():
    parser = argparse.ArgumentParser(prog="benchupdate.py")
    parser.add_argument("quick", nargs="?", choices=["quick"])
    quick = parser.parse_args().quick
    phases = [p for p in updatejobs.PHASES if p.quick or not quick]
    repeats = 1 if quick else 5
    print(f"bench-update: repetitions: {repeats}", file=sys.stderr)
    run, sizes = measure(repeats, phases, updatejobs.QUICK if quick
                         else tuple(updatejobs.TARGETS))
    into = vm.OUT if quick else lab.TOP / "docs"
    (into / "bench-update.md").write_text(updatereport.page(run, sizes))
    (into / "bench-update.svg").write_text(updatereport.chart(run))
    print(updatereport.summary(run))


if __name__ == "__main__":
    main()
