# SPDX-License-Identifier: GPL-2.0-or-later
"""What fio does in the machine.

Each target has a disk of its own, all alike, and within one repetition fio
runs a phase on every target before the next phase, so that a noisy host hits
all of them. Between two jobs a job without I/O prints the kernel's histogram
of device requests: what lies between two of them belongs to exactly one phase
on one target.
"""

import dataclasses

MIB = 1 << 20
DISK = 512 * MIB  # of every target; half of it is free, or for exceptions
EVENTS = "/sys/kernel/tracing/events/block"

# Every target, and the device that fio writes to; raw is a disk, or the delay
# on it. bow512 has the block size that the target takes by itself there.
TARGETS = {
    "raw": "/dev/vda",
    "linear": "/dev/mapper/linear",
    "bow": "/dev/mapper/bow",
    "snap4": "/dev/mapper/snap4",
    "snap64": "/dev/mapper/snap64",
    "bow512": "/dev/mapper/bow512",
}


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
    fsync: int = 0
    slow: int = 0  # count with the delay, when it differs
    all: bool = False  # also on bow512
    quick: bool = False  # also in the quick bench

    def requests(self, delay):
        return (self.slow if delay and self.slow else self.count) * self.jobs

    def job(self, target, device, delay):
        lines = [f"[{self.name}/{target}]", f"filename={device}",
                 f"rw={self.rw}", f"bs={self.size}",
                 f"iodepth={self.depth}", f"offset={self.start}m",
                 f"size={self.room}m",
                 f"number_ios={self.requests(delay) // self.jobs}"]
        if self.jobs > 1:
            lines += [f"numjobs={self.jobs}",
                      f"offset_increment={self.room}m", "group_reporting"]
        if self.fsync:
            lines += [f"fsync={self.fsync}"]
        return "\n".join(lines) + "\n"


# Rewrites and reads come last and use what the long sequential phase wrote.
PHASES = [
    Phase("first-4k-d1", "randwrite", 4096, 1, 400, 1, 16, slow=100,
          quick=True),
    Phase("first-4k-d1x4", "randwrite", 4096, 1, 200, 17, 4, jobs=4,
          slow=60),
    Phase("first-4k-d32", "randwrite", 4096, 32, 2000, 33, 48, all=True,
          quick=True),
    Phase("first-4k-d32x4", "randwrite", 4096, 32, 600, 81, 12, jobs=4),
    Phase("first-4k-fsync", "randwrite", 4096, 1, 200, 129, 8, fsync=1,
          slow=60),
    Phase("first-1m-d1", "write", MIB, 1, 16, 137, 16),
    Phase("first-1m-d16", "write", MIB, 16, 96, 153, 96, all=True,
          quick=True),
    Phase("rewrite-4k-d1", "randwrite", 4096, 1, 1000, 153, 96, slow=200),
    Phase("rewrite-4k-d32", "randwrite", 4096, 32, 3000, 153, 96),
    Phase("read-4k-d1", "randread", 4096, 1, 1000, 1, 248),
    Phase("read-4k-d32", "randread", 4096, 32, 3000, 1, 248),
]
BY_NAME = {phase.name: phase for phase in PHASES}

GLOBAL = """[global]
ioengine=libaio
direct=1
thread=1
stonewall
randrepeat=0

"""


def mark(number):
    """fio puts what the command prints into mark-<number>.prerun.txt."""
    return (f"[mark-{number}]\nioengine=null\nfilename=null\nsize=4k\n"
            f"rw=read\nexec_prerun=cat {EVENTS}/block_rq_issue/hist "
            f"{EVENTS}/block_bio_queue/hist\n")


def job_file(delay, phases):
    """fio's job file, and the [(phase, target)] between the marks."""
    text, order = GLOBAL + mark(0), []
    for phase in phases:
        for name, device in TARGETS.items():
            if name == "bow512" and (delay or not phase.all):
                continue
            if name == "raw" and delay:
                device = "/dev/mapper/slow-raw"
            order.append((phase.name, name))
            text += phase.job(name, device, delay) + mark(len(order))
    return text, order
