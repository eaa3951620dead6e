# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tests of the host's `bowline` share."""

import hashlib
import os
import pathlib
import struct
import subprocess

TOP = pathlib.Path(__file__).resolve().parents[1]
BOWLINE = pathlib.Path(os.environ.get("BOWLINE", TOP / "out/host/bowline"))


def run(*command, **kwargs):
    """Must succeed, unless check=False; the answer has stdout and stderr."""
    kwargs.setdefault("check", True)
    return subprocess.run(
        [str(c) for c in command], capture_output=True, text=True, **kwargs
    )


def noise(size, seed):
    """The same bytes for the same seed, 0 to 255; no two seeds are alike."""
    return hashlib.shake_128(bytes([seed])).digest(size)


def fit(size):
    """Begins like a FIT image of that size."""
    return struct.pack(">II", 0xD00DFEED, size) + noise(size - 8, 3)
