# SPDX-License-Identifier: GPL-2.0-or-later
"""The hash tree of dm-verity, for blocks of 4096 bytes and no salt."""

import hashlib

BLOCK = 4096


def tree(path):
    """Over a file: the tree's bytes, top first, and the root in hexadecimal."""
    below, levels = path.read_bytes(), []
    while len(below) > BLOCK or not levels:
        level = b"".join(hashlib.sha256(below[i:i + BLOCK]).digest()
                         for i in range(0, len(below), BLOCK))
        below = level + bytes(-len(level) % BLOCK)
        levels.insert(0, below)
    return b"".join(levels), hashlib.sha256(below).hexdigest()


def table(sectors, device, hashes, root):
    return (f"0 {sectors} verity 1 {device} {hashes} {BLOCK} {BLOCK} "
            f"{sectors * 512 // BLOCK} 0 sha256 {root} -")
