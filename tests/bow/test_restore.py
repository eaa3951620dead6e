# SPDX-License-Identifier: GPL-2.0-or-later
"""The offline tool on a log of a million entries, on a sparse device of 2 TiB:
time, and memory by what bow.h promises."""

import struct
import subprocess
import sys
import zlib
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from host import BOWLINE  # noqa: E402

BLOCK = 512
ENTRIES = 1_000_000
EACH = (BLOCK - 4 - 28) // 24 - 1  # beside entry 0
TIB2 = 2 << 40
SOURCES = 1 << 20        # sectors: where the sources begin
BACKUPS = 3 << 30        # where their backups do
LOGS = 2 << 30           # where the older log blocks are
ZEROS = bytes(BLOCK)


def checksum(block, data):
    """CRC-32 without inversions, seeded with the block."""
    return zlib.crc32(data, ~block & 0xFFFFFFFF) ^ 0xFFFFFFFF


def header(sequence, entries):
    return struct.pack("<IHHIIIQ", 0x00574F42, 0x0100, 28, BLOCK,
                       len(entries), sequence, LOGS - 8)


def log_block(sequence, entries):
    """As the published target writes it: without a tail."""
    return (header(sequence, entries) +
            b"".join(struct.pack("<QQII", *e) for e in entries)).ljust(
                BLOCK, b"\0")


def entries():
    """Sources side by side in eights, backups in another order: none can be
    merged with its neighbour. All contents are zero, holes in the file."""
    for i in range(ENTRIES):
        source = SOURCES + i // 8 * 1024 + i % 8
        dest = BACKUPS + (i * 7919) % ENTRIES * 2
        yield source, dest, BLOCK, checksum(source & 0xFFFFFFFF, ZEROS)


def make(path):
    """A device whose block 0 was full of ones; returns its log blocks."""
    ones = b"\1" * BLOCK
    first = (0, LOGS - 16, BLOCK, checksum(0, ones))
    rest = entries()
    with open(path, "wb") as f:
        f.truncate(TIB2)
        for place in (LOGS - 16, LOGS - 8):
            f.seek(place * 512)
            f.write(ones)
        for sequence in range(-(-ENTRIES // EACH)):
            mine = [first] + [e for _, e in zip(range(EACH), rest)]
            block = log_block(sequence, mine)
            f.seek((LOGS + sequence) * 512)
            f.write(block)
            first = (0, LOGS + sequence, BLOCK, checksum(0, block))
        f.seek(0)
        f.write(block)
        for i in range(0, ENTRIES, 8):  # what the trial wrote there
            f.seek((SOURCES + i * 128) * 512)
            f.write(b"\2" * 4096)
    return sequence + 1


def run(verb, path):
    """Its output, and its largest resident size in bytes."""
    done = subprocess.run(["/usr/bin/time", "-f", "%M", BOWLINE, verb, path],
                          capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-500:]
    return done.stdout, int(done.stderr.split()[-1]) * 1024


def test_a_million_entries_on_two_tebibytes(tmp_path):
    path = tmp_path / "data"
    blocks = make(path)
    out, inspecting = run("inspect", path)
    assert out.endswith(f"a good log: {blocks} log blocks, "
                        f"{ENTRIES + blocks} entries, "
                        f"{(ENTRIES + blocks) * BLOCK} bytes backed up\n")
    _, restoring = run("restore", path)
    most = max(inspecting, restoring)
    print(f"{most / (ENTRIES + blocks):.0f} bytes of memory an entry")
    assert most < (4 << 20) + 160 * (ENTRIES + blocks)
    with open(path, "rb") as f:
        assert f.read(BLOCK) == b"\1" * BLOCK
        for i in range(0, ENTRIES, 8):
            f.seek((SOURCES + i * 128) * 512)
            assert f.read(4096) == bytes(4096)
