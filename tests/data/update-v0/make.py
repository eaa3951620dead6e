#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Makes the sample diffs beside it: python3 make.py

Written from the description of the format alone and shares no code with the
project, so that a misreading in the project's writer and reader shows. Needs
the zstd program. The results are kept in git and never made again: they stand
for diffs that others wrote.
"""
import pathlib
import random
import struct
import subprocess

BLOCK = 4096
HERE = pathlib.Path(__file__).parent


def text(rng, size):
    words = [b"bowline", b"knot", b"sheet", b"cleat", b"rope", b"\n", b"0"]
    out = b""
    while len(out) < size:
        out += rng.choice(words) + b" "
    return out[:size]


def images(rng):
    """48 blocks: text, noise and zeros; some changed, some equal to others."""
    kinds = [lambda: text(rng, BLOCK), lambda: rng.randbytes(BLOCK),
             lambda: bytes(BLOCK), lambda: text(rng, BLOCK)]
    old = [kinds[i % 4]() for i in range(48)]
    new = list(old)
    for i in (0, 1, 2, 5, 6, 7, 8, 9, 10, 13, 20, 21, 30, 31, 32, 33, 46, 47):
        new[i] = rng.choice(kinds)()
    new[22] = new[21]
    new[34] = bytes(BLOCK - 1) + b"\1"
    return old, new


def lz4_block(data):
    """An LZ4 block of literals, and one match where a run of zeros ends it."""
    zeros = len(data) - len(data.rstrip(b"\0"))
    if zeros < 64:
        return lz4_sequence(data, None)
    head = data[:len(data) - zeros + 1]
    return (lz4_sequence(head, zeros - 1 - 12) +
            lz4_sequence(data[-12:], None))


def lz4_length(rest):
    return b"\xff" * (rest // 255) + bytes([rest % 255])


def lz4_sequence(literals, match):
    """@match: length of a copy of the byte before, or None for the last."""
    lit = len(literals)
    token = min(lit, 15) << 4 | (0 if match is None else min(match - 4, 15))
    out = bytes([token]) + (lz4_length(lit - 15) if lit >= 15 else b"")
    out += literals
    if match is not None:
        out += struct.pack("<H", 1)
        if match - 4 >= 15:
            out += lz4_length(match - 4 - 15)
    return out


def zstd(data):
    return subprocess.run(["zstd", "-q", "-19", "-c"], input=data, check=True,
                          stdout=subprocess.PIPE).stdout


PACK = {"none": bytes, "zstd": zstd, "lz4": lz4_block}


def changed(old, new):
    return [i for i in range(len(new)) if old[i] != new[i]]


def chunks(old, new, per_chunk, share):
    """Lists of (entries, data), entry = (dest, index in the chunk)."""
    todo = changed(old, new)
    while todo:
        blocks, entries = [], []
        while todo and (len(blocks) < per_chunk or
                        share and new[todo[0]] in blocks):
            block = new[todo[0]]
            if not (share and block in blocks):
                blocks.append(block)
                entries.append((todo[0], len(blocks) - 1))
            else:
                entries.append((todo[0], blocks.index(block)))
            todo.pop(0)
        yield entries, b"".join(blocks)


def entry(dest, src, offset):
    return struct.pack("<IHHII", dest & 0xffffffff, dest >> 32, src >> 32,
                       src & 0xffffffff, offset)


def build(old, new, compression, per_chunk, start, share=False, pack=None):
    """The bytes of a diff whose chunks begin at byte @start."""
    body, directory, src = b"", b"", start
    for entries, data in chunks(old, new, per_chunk, share):
        packed = (pack or PACK[compression])(data)
        for dest, index in entries:
            directory += entry(dest, src, index)
        body += packed
        src += len(packed)
    directory += entry(len(new), src, 0)
    n = len(directory) // 16
    directory = PACK[compression](directory)
    head = struct.pack("<8sBBHI16sQQQQ", b"update", 0, 12, 0, per_chunk,
                       compression.encode(), src, len(directory), n, 0)
    out = head + bytes(start - len(head)) + body + directory
    return out + bytes(-len(out) % 4096)


def write(name, *words, **more):
    (HERE / name).write_bytes(build(*words, **more))


def main():
    rng = random.Random(20240611)
    old, new = images(rng)
    (HERE / "old.img").write_bytes(b"".join(old))
    (HERE / "new.img").write_bytes(b"".join(new))
    write("none-16.diff", old, new, "none", 16, 4096)
    write("zstd-16.diff", old, new, "zstd", 16, 4096)
    write("zstd-3-shared.diff", old, new, "zstd", 3, 77, share=True)
    write("lz4-5.diff", old, new, "lz4", 5, 64)
    write("same.diff", old, old, "zstd", 16, 4096)


if __name__ == "__main__":
    main()
