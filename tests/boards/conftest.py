# SPDX-License-Identifier: GPL-2.0-or-later
"""What all board tests share: the board under test and what was built."""

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from image import board_conf  # noqa: E402

TOP = Path(__file__).resolve().parents[2]
BOARD = os.environ.get("BOARD", "qemu-arm64")


@pytest.fixture(scope="session")
def top():
    return TOP


@pytest.fixture(scope="session")
def out():
    """What `make image` left for the board."""
    return TOP / "out" / BOARD


@pytest.fixture(scope="session")
def conf():
    return board_conf(TOP / "boards" / BOARD / "board.conf")
