# SPDX-License-Identifier: GPL-2.0-or-later
"""make bench-bow: measures, judges, and writes docs/bench-bow.md and .svg.

With 'quick' the most important phases once, and the two files go to out/
instead. Fails only if something did not run: a missed limit is a result.

The disks are files in memory (/dev/shm), as fast as an eMMC when data is read
or written, by QEMU's throttle: without it the disk is the host's memory, and
what one measures is the emulated processor. A flush is a request that the disk
must answer, but it does not wait for the host's own disk, which is as noisy as
what else runs there; how much flushes matter on a slow medium is what the
second machine shows, where the guest's dm-delay lies under all targets.
"""

import argparse
import contextlib
import subprocess
import sys
import tempfile
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
HERE = TOP / "tests/bench"
sys.path[:0] = [str(TOP / "tests/vm"), str(HERE)]

import jobs  # noqa: E402
import report  # noqa: E402
import vm  # noqa: E402
from measure import Run, repetitions  # noqa: E402

NAMES = ["raw", "linear", "bow", "snap4", "snap64", "bow512"]
DELAYS = (0, 2)
DRIVE = ",throttling.bps-read=300000000,throttling.bps-write=120000000"
PACKAGES = ["fio", "libdevmapper1.02.1", "libmbedcrypto7", "libubootenv0.1",
            "libzstd1"]


def make_disk(path, halves):
    """A disk without holes, that is, memory which is there; with halves,
    two partitions."""
    subprocess.run(["fallocate", "-l", str(jobs.DISK), path], check=True)
    if halves:
        half = jobs.DISK // 2 // 512
        subprocess.run(["/sbin/sfdisk", "-q", path], check=True, text=True,
                       input=f"2048,{half - 2048}\n{half},\n")
    return path


def machine(work, disks, delay, repeats, phases):
    """One machine with every target; a Run."""
    text, order = jobs.job_file(delay, phases)
    script = f"REPEATS={repeats}\nDELAY={delay}\nMARKS={len(order)}\n"
    files = {"fio-jobs": text.encode(),
             "bin/bowline": vm.OUT / "host/bowline"}
    for name in ("copy", "stopwatch"):
        files[f"bin/{name}"] = vm.program(HERE / f"{name}.c", work, "amd64")
    result = vm.run(script + (HERE / "guest.sh").read_text(), disks=disks,
                    modules=["dm_mod", "dm_bow", "dm_snapshot", "dm_delay"],
                    files=files, memory=768, work=work, machine="amd64",
                    packages=PACKAGES, drive=DRIVE,
                    timeout=600 + 300 * repeats)
    (vm.OUT / "log" / f"bench-bow-{delay}.log").write_text(result.console)
    if "BENCH-DONE" not in result.console:
        sys.exit("the bench stopped half-way:\n" + result.console[-3000:])
    return Run(repetitions(result.console, order, delay), delay)


@contextlib.contextmanager
def folder():
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(
            dir=memory if memory.is_dir() else None) as work:
        yield Path(work)


def measure(repeats, phases=tuple(jobs.PHASES)):
    with folder() as work:
        disks = [make_disk(work / name, name.startswith("snap"))
                 for name in NAMES]
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
    into = vm.OUT if quick else TOP / "docs"
    page = report.page(runs)
    (into / "bench-bow.md").write_text(page)
    (into / "bench-bow.svg").write_text(report.chart(runs))
    print(report.summary(runs))


if __name__ == "__main__":
    main()
