# SPDX-License-Identifier: GPL-2.0-or-later
"""The machine that the benches measure in, and its disks.

The disks are files in memory (/dev/shm), as fast as an eMMC when data is read
or written, by QEMU's throttle: without it the disk is the host's memory, and
what one measures is the emulated processor. A flush is a request that the disk
must answer, but it does not wait for the host's own disk, which is as noisy as
what else runs there.
"""

import contextlib
import subprocess
import sys
import tempfile
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
HERE = TOP / "tests/bench"
sys.path.insert(0, str(TOP / "tests/vm"))

import verity  # noqa: E402,F401
import vm  # noqa: E402

DRIVE = ",throttling.bps-read=300000000,throttling.bps-write=120000000"
EVENTS = "/sys/kernel/tracing/events/block"
# Debian's kernel, told to keep its tick and to trust the processor's clock: to
# set a timer, or to ask a clock that is a device, takes an emulated machine as
# long as a request to a disk, which has nothing to do with any target.
WORDS = "quiet no_timer_check nohz=off tsc=reliable"


def add_machine(name, **more):
    vm.MACHINES[name] = vm.Machine(name, "vm/amd64", "amd64", "ttyS0",
                                   words=WORDS, **more)


# An emulator computes the sum of eight bytes, one instruction of the processor,
# bit by bit: by the host's clock the kernel's tables are quicker.
add_machine("bench", sums=False)
add_machine("bench-exact", exact=True)
# Nothing of the host's is in what is measured there, disks neither.
add_machine("bench-alone", exact=True, alone=True)
# A program for the machine that prints what was counted so far.
MARK = (f"#!/bin/sh\ncat {EVENTS}/block_rq_issue/hist "
        f"{EVENTS}/block_rq_complete/hist "
        f"{EVENTS}/block_bio_queue/hist\n").encode()


@contextlib.contextmanager
def folder():
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(
            dir=memory if memory.is_dir() else None) as work:
        yield Path(work)


def make_disk(path, size):
    """A disk without holes, that is, memory which is there."""
    subprocess.run(["fallocate", "-l", str(size), path], check=True)
    return path


def halve(path, size):
    """Two partitions."""
    half = size // 2 // 512
    subprocess.run(["/sbin/sfdisk", "-q", path], check=True, text=True,
                   input=f"2048,{half - 2048}\n{half},\n")


def console(name, work, disks, plan, script, variables, kind="bench",
            **machine):
    """What the machine prints that goes through plan, the text and order of
    jobs.job_file(), and script, a file beside this one, with variables set."""
    text, order = plan
    head = "".join(f"{key}={value}\n" for key, value in
                   {**variables, "MARKS": len(order)}.items())
    files = {"fio-jobs": text.encode(), **machine.pop("files")}
    files["bin/copy"] = vm.program(HERE / "copy.c", work, "amd64")
    result = vm.run(head + (HERE / "guest.sh").read_text() +
                    (HERE / script).read_text(), disks=disks, files=files,
                    work=work, machine=kind, drive=DRIVE, **machine)
    (vm.OUT / "log" / f"{name}.log").write_text(result.console)
    if "BENCH-DONE" not in result.console:
        sys.exit("the bench stopped half-way:\n" + result.console[-3000:])
    return result.console
