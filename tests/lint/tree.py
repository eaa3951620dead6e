# SPDX-License-Identifier: GPL-2.0-or-later
"""The files of this tree, for the tests that read them."""

import functools
import os
import pathlib
import subprocess

TOP = pathlib.Path(__file__).resolve().parents[2]
OUT = pathlib.Path(os.environ.get("OUT", TOP / "out"))


@functools.cache
def files():
    """Paths relative to TOP of all that is, or could be, under git."""
    command = ["git", "-c", f"safe.directory={TOP}", "ls-files", "--cached",
               "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=TOP, capture_output=True, text=True,
                            check=True).stdout
    return sorted(f for f in set(listed.splitlines()) if (TOP / f).is_file())


def with_suffix(*suffixes):
    return [f for f in files() if f.endswith(suffixes)]


@functools.cache
def text(file):
    """A file's text; nothing for one that is not text."""
    raw = (TOP / file).read_bytes()
    return "" if b"\0" in raw else raw.decode("utf-8", "replace")


def matches(pattern, wanted):
    """"FILE:LINE: text" of every line of these files that has pattern."""
    return [
        f"{file}:{number}: {line.strip()}"
        for file in wanted
        for number, line in enumerate(text(file).splitlines(), 1)
        if pattern.search(line)
    ]
