# SPDX-License-Identifier: GPL-2.0-or-later
"""What the target takes of a small device's memory, for an image of 1 GiB of
which every block changes: the most that version 0 can ask for."""

import os
import struct
import subprocess

import counts
import vm
from test_update import PRELUDE

MACHINE = os.environ.get("VM_MACHINE") or "amd64"
GIB = 1 << 30
BLOCKS = GIB // 4096


def one_chunk():
    """All blocks of the image are the same block of the same chunk."""
    def zstd(data):
        return subprocess.run(["zstd", "-q", "-3", "-c"], input=data,
                              check=True, stdout=subprocess.PIPE).stdout

    chunk = zstd(b"knot" * 16384)
    entries = b"".join(struct.pack("<IHHII", i, 0, 0, 64, i % 16)
                       for i in range(BLOCKS))
    entries += struct.pack("<IHHII", BLOCKS, 0, 0, 64 + len(chunk), 0)
    directory = zstd(entries)
    head = struct.pack("<8sBBHI16sQQQQ", b"update", 0, 12, 0, 16, b"zstd",
                       64 + len(chunk), len(directory), BLOCKS + 1, 0)
    diff = head + chunk + directory
    return diff + bytes(-len(diff) % 4096)


def test_one_gibibyte(tmp_path):
    with open(tmp_path / "system", "wb") as system:
        system.truncate(GIB)
    (tmp_path / "diff").write_bytes(one_chunk())
    result = vm.run(PRELUDE + """
        map /dev/vda "1 paused" || die map
        dd if=/dev/mapper/u of=/run/got bs=1M skip=777 count=1 iflag=direct \\
            2>/run/dd || die read
        [ "$(head -c 8 /run/got)" = knotknot ] || die contents
        echo stats=$(dmsetup message u 0 stats)
        echo status=$(dmsetup status u)
        """, disks=[tmp_path / "system", tmp_path / "diff"],
        modules=["dm_update"], work=tmp_path, machine=MACHINE, memory=128)
    assert result.status == 0, result.console
    stats = dict(word.split("=") for word in result.value("stats").split())
    fixed, directory, merge = (int(stats[name]) for name in
                               ("memory", "directory", "merge_memory"))
    print(f"buffers {fixed}, directory {directory}, merge {merge} bytes")
    counts.add("memory for 1 GiB", f"{(fixed + directory + merge) >> 10} KiB")
    assert fixed <= 2 << 20
    assert fixed + directory + merge <= 8 << 20
