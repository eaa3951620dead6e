# SPDX-License-Identifier: GPL-2.0-or-later
"""Many diffs of both formats, shown and merged in a real kernel: what a writer
of version 0 made that shares no code with ours, in every variation of the
format; and random pairs of version 1, which 'bowline apply' reads as well."""

import itertools
import os
import random
import subprocess

import counts
import test_update_v1
from host import BOWLINE
from test_update import SAMPLES, images, maker, sha
from updatelab import Experiment, Lab

PAIRS = int(os.environ.get("PAIRS", "24"))

SHOW_AND_MERGE = """
show
echo shown=$(sum /dev/mapper/u)
dd if=/dev/mapper/u bs=12k iflag=direct 2>/run/dd | sha256sum > /run/other &
dd if=/dev/mapper/u bs=4k iflag=direct 2>/run/dd | sha256sum | cut -d' ' -f1 \\
    > /run/small
wait
echo small=$(cat /run/small)
dmsetup remove u
map "3 progress /dev/vdc 0"
wait_phase done
echo merged=$(sum /dev/vda)
"""


def same(part, new):
    for name in ("shown", "small", "merged"):
        assert part.value(name) == sha(new), name


def variations():
    """{name: (old, new, diff)} of version 0."""
    found = {}
    for name in ("none-16", "zstd-16", "zstd-3-shared", "lz4-5"):
        found[name] = tuple((SAMPLES / file).read_bytes() for file in
                            ("old.img", "new.img", f"{name}.diff"))
    dice = random.Random(3)
    for compression, per_chunk, share in itertools.product(
            ("none", "zstd", "lz4"), (1, 7, 64), (False, True)):
        changed = {b for b in range(200) if dice.random() < 0.4}
        old, new = images(200, changed, seed=per_chunk)
        if share:
            for block in list(changed)[::3]:
                new[block] = new[min(changed)]
        diff = maker.build(old, new, compression, per_chunk,
                           dice.choice((64, 77, 4096)), share=share)
        found[f"{compression}-{per_chunk}-{int(share)}"] = (
            b"".join(old), b"".join(new), diff)
    return found


def test_version_0(tmp_path):
    found = variations()
    lab = Lab(tmp_path, {name: Experiment(old, diff, SHOW_AND_MERGE)
                         for name, (old, _, diff) in found.items()})
    for name, (_, new, _) in found.items():
        same(lab.part(name), new)
    counts.add("samples", len(found))


def applied(folder, pair):
    """What the program for user space makes of the same diff."""
    old, diff, new = (folder / name for name in ("old", "diff", "new"))
    old.write_bytes(pair.old)
    diff.write_bytes(pair.diff)
    new.unlink(missing_ok=True)
    subprocess.run([BOWLINE, "apply", old, diff, "-o", new], check=True,
                   capture_output=True)
    return new.read_bytes()


def test_version_1(tmp_path):
    pairs = {f"s{seed}": test_update_v1.Pair(tmp_path, seed, 400)
             for seed in range(100, 100 + PAIRS)}
    for pair in pairs.values():
        assert pair.new.startswith(applied(tmp_path, pair))
    lab = Lab(tmp_path, {
        name: Experiment(pair.old + bytes(-len(pair.old) % 512), pair.diff,
                         SHOW_AND_MERGE, pair.sectors)
        for name, pair in pairs.items()})
    for name, pair in pairs.items():
        same(lab.part(name), pair.new)
    counts.add("pairs", len(pairs))


