# SPDX-License-Identifier: GPL-2.0-or-later
"""Lets the tests here import what tests/ and tests/vm share."""

import sys
import tempfile
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parent / "vm")]

import fs  # noqa: E402
import vm  # noqa: E402


@pytest.fixture(scope="session")
def fsload(tmp_path_factory):
    """The program fsload.c, made for the guest."""
    return vm.program(HERE / "fsload.c", tmp_path_factory.mktemp("bin"),
                      fs.MACHINE)


@pytest.fixture
def ram(tmp_path):
    """A folder in memory, where a guest's flush costs nothing."""
    if not Path("/dev/shm").is_dir():
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        yield Path(folder)
