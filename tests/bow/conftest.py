# SPDX-License-Identifier: GPL-2.0-or-later
"""Lets the tests here import what tests/ and tests/vm share."""

import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS / "vm")]
