# SPDX-License-Identifier: GPL-2.0-or-later
"""What a test counted, for the summary of 'make test-bow'.

    counts.add("crash points", 312)

appends a line to the file that the environment's BOW_COUNTS names; without
it nothing is written. The summary adds up the lines of one name.
"""

import os


def add(name, value):
    file = os.environ.get("BOW_COUNTS")
    if not file:
        return
    # One write, so that tests that run at once do not mix their lines.
    with open(file, "a", encoding="utf-8") as lines:
        lines.write(f"{name}={value}\n")
