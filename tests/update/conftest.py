# SPDX-License-Identifier: GPL-2.0-or-later
"""Lets the tests here import what tests/, tests/vm and tests/bow share."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parent / "vm"),
                str(HERE.parent / "bow")]
