# SPDX-License-Identifier: GPL-2.0-or-later
"""The devices of tests/data/bow, unpacked once."""

import functools
import re
import subprocess
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
DATA = TOP / "tests/data/bow"

GOOD = ["s4k", "s512"]
BAD = ["bad_count_huge", "bad_entry_size_unaligned", "bad_flip_backup_data"]


@functools.lru_cache(maxsize=4)
def image(name):
    return subprocess.run(["zstd", "-dqc", DATA / f"{name}.img.zst"],
                          check=True, stdout=subprocess.PIPE).stdout


def free(name):
    """[(from, to), ...] in sectors."""
    text = (DATA / f"{name}.free.txt").read_text()
    return [(int(a), int(b)) for a, b in re.findall(r"\((\d+), (\d+)\)", text)]
