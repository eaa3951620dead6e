# SPDX-License-Identifier: GPL-2.0-or-later
"""What fio does in the machine of the bow target's bench.

Each target has a disk of its own, all alike.
"""

from fio import MIB, Phase, job_file

DISK = 512 * MIB  # of every target; half of it is free, or for exceptions

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


# Rewrites and reads come last and use what the long sequential phase wrote. They
# are over soon, so they are many.
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
    Phase("rewrite-4k-d1", "randwrite", 4096, 1, 6000, 153, 96, slow=200),
    Phase("rewrite-4k-d32", "randwrite", 4096, 32, 12000, 153, 96,
          slow=3000),
    Phase("read-4k-d1", "randread", 4096, 1, 6000, 1, 248),
    Phase("read-4k-d32", "randread", 4096, 32, 12000, 1, 248),
]
BY_NAME = {phase.name: phase for phase in PHASES}

def plan(delay, phases):
    """fio's job file, and the [(phase, target)] between the marks."""
    jobs = []
    for phase in phases:
        for name, device in TARGETS.items():
            if name == "bow512" and (delay or not phase.all):
                continue
            if name == "raw" and delay:
                device = "/dev/mapper/slow-raw"
            jobs.append((phase, name, device, delay))
    return job_file(jobs)
