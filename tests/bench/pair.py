# SPDX-License-Identifier: GPL-2.0-or-later
"""The images of the update target's bench, and the diffs between them.

The contents are the machine's own kernel modules, each file at the beginning of
a block. The new image, and what the old one has there:

    unchanged    modules                the same
    rewritten    other modules          modules that have nothing to do with them
    edited       the first modules with edits, as when they were built anew
                                        zeros

So the edited ones lean on old bytes that the merge does not overwrite, as most
do when an image is built from nothing.
"""

import hashlib
import os
import random
import shutil

import lab
from fio import MIB
from lab import vm, verity

PART = 24 * MIB
UNCHANGED, REWRITTEN, EDITED = 0, 24, 48  # where they begin, in MiB
SIZE = 3 * PART
CHANGED = 2 * PART
BLOCK = 4096
BOWLINE = vm.OUT / "host/bowline"


def modules():
    """The contents of all modules, one behind the other."""
    root = vm.find_machine("amd64").need("kernel/root")
    for path in sorted(root.rglob("*.ko")):
        data = path.read_bytes()
        yield data + bytes(-len(data) % BLOCK)


def parts(count):
    """So many parts' bytes of modules."""
    data = bytearray()
    for module in modules():
        data += module
        if len(data) >= count * PART:
            break
    return [bytes(data[i * PART:(i + 1) * PART]) for i in range(count)]


def edited(data, rng):
    """As from another compiler run: every few hundred bytes other addresses,
    every few thousand something longer or shorter."""
    made, at = bytearray(), 0
    while len(made) < len(data):
        run = rng.randrange(100, 1000)
        made += data[at:at + run] + rng.randbytes(4)
        at += run + 4
        if rng.random() < 0.1:
            made += rng.randbytes(rng.randrange(60))
            at += rng.randrange(60)
    return bytes(made[:len(data)])


def write_images(work):
    same, other, gone = parts(3)
    (work / "old").write_bytes(same + gone + bytes(PART))
    new = same + other + edited(same, random.Random(1))
    (work / "new").write_bytes(new)
    (work / "changed").write_bytes(new[PART:])


def write_diffs(work, into):
    """diff0 and diff1; packed, what changed in one stream of zstd."""
    for version in "01":
        vm.command(BOWLINE, "diff", "--format", version, work / "old",
                   work / "new", "-o", into / f"diff{version}")
    vm.command("zstd", "-q", "-19", "-T0", work / "changed", "-o",
               into / "packed")


def diffs(work):
    """A folder with what write_diffs() makes, which takes minutes: it is kept
    in the cache, by what it is made from."""
    key = hashlib.sha256()
    for path in (work / "old", work / "new", BOWLINE):
        key.update(path.read_bytes())
    folder = vm.OUT / "cache" / f"bench-update-{key.hexdigest()[:12]}"
    if not folder.exists():
        part = folder.with_suffix(f".{os.getpid()}.part")
        part.mkdir()
        write_diffs(work, part)
        part.rename(folder)
    return folder


def make(work):
    write_images(work)
    for path in diffs(work).iterdir():
        shutil.copyfile(path, work / path.name)
    hashes, root = verity.tree(work / "new")
    (work / "hashes").write_bytes(hashes)
    return root
