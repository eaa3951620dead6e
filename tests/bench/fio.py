# SPDX-License-Identifier: GPL-2.0-or-later
"""What fio does in the machine.

Within one repetition fio runs a phase on every target before the next phase,
so that a noisy host hits all of them. Between two jobs a job without I/O prints
the kernel's histogram of device requests: what lies between two of them belongs
to exactly one phase on one target.
"""

import dataclasses

MIB = 1 << 20

GLOBAL = """[global]
ioengine=libaio
direct=1
thread=1
stonewall
randrepeat=0

"""


@dataclasses.dataclass(frozen=True)
class Phase:
    """One fio job; start and room in MiB, room and count for each job."""

    name: str
    rw: str
    size: int  # bytes of a request
    depth: int
    count: int  # requests
    start: int  # where its part of the device begins
    room: int  # and how long that is
    jobs: int = 1
    same: bool = False  # all jobs have the same part
    fsync: int = 0
    slow: int = 0  # count with the delay, when it differs
    all: bool = False  # also on bow512
    quick: bool = False  # also in the quick bench

    def requests(self, delay=0):
        return (self.slow if delay and self.slow else self.count) * self.jobs

    def job(self, target, device, delay=0):
        lines = [f"[{self.name}/{target}]", f"filename={device}",
                 f"rw={self.rw}", f"bs={self.size}",
                 f"iodepth={self.depth}", f"offset={self.start}m",
                 f"size={self.room}m",
                 f"number_ios={self.requests(delay) // self.jobs}"]
        if self.jobs > 1:
            lines += [f"numjobs={self.jobs}", "group_reporting"]
        if self.jobs > 1 and not self.same:
            lines += [f"offset_increment={self.room}m"]
        if self.fsync:
            lines += [f"fsync={self.fsync}"]
        return "\n".join(lines) + "\n"


def mark(number):
    """fio puts what the command prints into mark-<number>.prerun.txt."""
    return (f"[mark-{number}]\nioengine=null\nfilename=null\nsize=4k\n"
            "rw=read\nexec_prerun=mark\n")


def job_file(jobs):
    """jobs: [(phase, target, device, delay)]. fio's job file, and the
    [(phase, target)] between the marks."""
    text, order = GLOBAL + mark(0), []
    for phase, target, device, delay in jobs:
        order.append((phase.name, target))
        text += phase.job(target, device, delay) + mark(len(order))
    return text, order
