#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""edit.py OLD NEW: what turns the tree OLD into NEW inside of an ext4 image.

Prints commands for `debugfs -w -f`: only what differs is touched, so that all
else stays where it is, as when a device's own file system is updated in place.
"""

import filecmp
import os
import pathlib
import stat
import sys


def listed(top):
    """Every path of a tree with its status, parents first."""
    found = {}
    for folder, names, files in os.walk(top):
        names.sort()
        for name in sorted(names + files):
            path = pathlib.Path(folder, name)
            found[str(path.relative_to(top))] = path.lstat()
    return found


def same(old, new, name, before, after):
    if before.st_mode != after.st_mode:
        return False
    if stat.S_ISLNK(after.st_mode):
        return os.readlink(old / name) == os.readlink(new / name)
    if stat.S_ISREG(after.st_mode):
        return filecmp.cmp(old / name, new / name, shallow=False)
    return True


def remove(name, status):
    return f'{"rmdir" if stat.S_ISDIR(status.st_mode) else "rm"} "/{name}"'


def create(new, name, status):
    mode = f'sif "/{name}" mode 0{status.st_mode:o}'
    if stat.S_ISDIR(status.st_mode):
        return [f'mkdir "/{name}"', mode]
    if stat.S_ISLNK(status.st_mode):
        return [f'symlink "/{name}" "{os.readlink(new / name)}"']
    owner = [f'sif "/{name}" {field} 0' for field in ("uid", "gid")]
    return [f'write "{new / name}" "/{name}"', mode, *owner]


def edits(old, new):
    before, after = listed(old), listed(new)
    changed = {name for name in before if name in after and
               not same(old, new, name, before[name], after[name])}
    for name in reversed(list(before)):
        if name not in after or name in changed:
            yield remove(name, before[name])
    for name, status in after.items():
        if name not in before or name in changed:
            yield from create(new, name, status)


if __name__ == "__main__":
    print("\n".join(edits(*map(pathlib.Path, sys.argv[1:]))))
