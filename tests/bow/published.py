#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The published bow target and its restore tool, in miniature and in memory,
after their description: what docs/FORMAT.md calls "published".

    published.py SEED IMAGE BEGUN

writes a device that such a target leaves behind, and what it was before, and
prints its shape and what was free.

The writer makes every choice that the published one may make: entries of many
blocks, backups that are backed up, log blocks too, several rollovers, what is
stale left as it is, `sector0` written one log write late after a move. The
restorer follows the description strictly: it checks through a map, newest
entry first, takes a checksum of 0 as none, and knows nothing of a tail.
"""

import random
import struct
import sys
import zlib

HEADER = struct.Struct("<IHHIIIQ")
ENTRY = struct.Struct("<QQII")
MAGIC = 0x00574F42
RESTORING = 0x00424F57
VERSION = 0x0100
UNCHANGED, FREE, CHANGED, BACKUP = range(4)


def checksum(block, data):
    seed = (block & 0xFFFFFFFF) ^ 0xFFFFFFFF
    return zlib.crc32(data, seed) ^ 0xFFFFFFFF


class Shape:
    """What a device is like; all of it follows from the seed."""

    def __init__(self, rng, block_size=None):
        self.block_size = block_size or rng.choice([512, 1024, 2048, 4096])
        self.header_size = rng.choice([28, 28, 28, 32, 52, 200])
        self.blocks = rng.randrange(60, 400)
        self.noisy = rng.random() < 0.5  # stale bytes after the last entry
        self.tail = b"\0" * 4
        self.end_with_move = rng.random() < 0.3
        self.writes = rng.randrange(1, 200)
        self.free = self.choose_free(rng)

    def choose_free(self, rng):
        wanted = rng.randrange(3, self.blocks * 3 // 4)
        free = set()
        while len(free) < wanted:
            start = rng.randrange(1, self.blocks)
            free.update(range(start, min(self.blocks,
                                         start + rng.randrange(1, 20))))
        return free

    def free_ranges(self):
        step = self.block_size // 512
        return [(n * step, n * step + step) for n in sorted(self.free)]


class Writer:
    """A device in state 1. image: its bytes; begun: as it was before; upper:
    what its user wrote, where that is known."""

    def __init__(self, rng, shape):
        self.rng = rng
        self.size = shape.block_size
        self.step = self.size // 512
        self.shape = shape
        self.begun = rng.randbytes(shape.blocks * self.size)
        self.image = bytearray(self.begun)
        self.upper = {}
        self.types = [FREE if n in shape.free else UNCHANGED
                      for n in range(shape.blocks)]
        self.capacity = (self.size - 4 - shape.header_size) // 24
        self.logs = 1
        self.begin()

    # ---- blocks ---------------------------------------------------------

    def get(self, block, count=1):
        return bytes(self.image[block * self.size:(block + count) * self.size])

    def put(self, block, data):
        self.image[block * self.size:block * self.size + len(data)] = data

    def run(self, block, most):
        """How many blocks from here on are of one type."""
        count = 1
        while (count < most and block + count < len(self.types)
               and self.types[block + count] == self.types[block]):
            count += 1
        return count

    def claim(self, most):
        """(block, count) of free blocks, or None."""
        free = [n for n, kind in enumerate(self.types) if kind == FREE]
        if not free:
            return None
        block = self.rng.choice(free)
        count = self.run(block, most)
        self.types[block:block + count] = [BACKUP] * count
        return block, count

    # ---- the log --------------------------------------------------------

    def begin(self):
        original = self.get(0)
        saved, self.live = self.claim(1)[0], self.claim(1)[0]
        self.put(saved, original)
        self.put(self.live, original)
        self.sequence = 0
        self.entries = [(0, saved * self.step, self.size,
                         checksum(0, original))]
        self.log = bytearray(self.size)
        if self.shape.noisy:
            self.log[28:] = self.rng.randbytes(self.size - 28)
        self.log[-4:] = self.shape.tail
        self.write_log(self.live)

    def write_log(self, live):
        HEADER.pack_into(self.log, 0, MAGIC, VERSION, self.shape.header_size,
                         self.size, len(self.entries), self.sequence,
                         live * self.step)
        for i, entry in enumerate(self.entries):
            ENTRY.pack_into(self.log, self.shape.header_size + 24 * i, *entry)
        self.put(0, self.log)

    def roll(self):
        """The log block is full. False: no room for it."""
        found = self.claim(1)
        if not found:
            return False
        full = self.get(0)
        self.put(found[0], full)
        self.sequence += 1
        self.logs += 1
        self.entries = [(0, found[0] * self.step, self.size,
                         checksum(0, full))]
        self.write_log(self.live)
        return True

    def append(self, source, dest, count, total):
        self.entries.append((source * self.step, dest * self.step,
                             count * self.size, total))
        self.write_log(self.live)

    def back_up(self, block, most):
        """Backs up the first of these blocks; how many, 0 when full."""
        if len(self.entries) == self.capacity and not self.roll():
            return 0
        found = self.claim(1 if block == self.live else most)
        if not found:
            return 0
        dest, count = found
        data = self.get(block, count)
        self.put(dest, data)
        if block == self.live:
            self.append(block, dest, 1, 0)  # with sector0 as it was
            self.live = dest
        else:
            self.append(block, dest, count, checksum(block, data))
        self.types[block:block + count] = [CHANGED] * count
        return count

    # ---- what a user does -----------------------------------------------

    def write(self, block, count):
        """False when there is no room for what has to be saved."""
        while count:
            done = self.run(block, count)
            if block < self.live < block + done:
                done = self.live - block
            if self.types[block] in (UNCHANGED, BACKUP):
                done = self.back_up(block, done)
            if not done:
                return False
            self.types[block:block + done] = [CHANGED] * done
            for n in range(block, block + done):
                self.upper[n] = self.rng.randbytes(self.size)
                self.put(n, self.upper[n])
            block += done
            count -= done
        return True

    def write_block0(self):
        self.upper[0] = self.rng.randbytes(self.size)
        self.put(self.live, self.upper[0])

    def work(self):
        for _ in range(self.shape.writes):
            if self.rng.random() < 0.05:
                self.write_block0()
                continue
            block = self.rng.randrange(1, len(self.types))
            count = min(self.rng.choice([1, 1, 1, 2, 3, 8, 30]),
                        len(self.types) - block)
            if not self.write(block, count):
                break
        if self.shape.end_with_move:
            self.write(self.live, 1)

    # ---- what must come of it -------------------------------------------

    def kept(self):
        return self.get(self.live) + bytes(self.image[self.size:])

    def is_as_written(self, image):
        return all(image[n * self.size:(n + 1) * self.size] == data
                   for n, data in self.upper.items())


def make(seed, block_size=None, tail=None):
    """A Writer that has worked. tail: 4 bytes that no entry uses."""
    rng = random.Random(seed)
    shape = Shape(rng, block_size)
    shape.tail = tail or shape.tail
    writer = Writer(rng, shape)
    writer.work()
    return writer


def same_outside(one, other, free):
    """Are two devices alike outside these ranges of sectors?"""
    one, other = bytearray(one), bytearray(other)
    for start, end in free:
        one[start * 512:end * 512] = other[start * 512:end * 512]
    return one == other


# ---- the restore tool --------------------------------------------------------


class Refused(Exception):
    """A check failed; the published tool rolls forward then."""


class Restorer:
    """Undoes a log as the published tool is described."""

    def __init__(self, image):
        self.image = bytearray(image)
        self.logs = []  # (header, entries, raw), newest first
        self.moved = {}

    def read(self, sector, size):
        """Through the map of what the steps before would have moved."""
        return b"".join(
            bytes(self.image[at * 512:at * 512 + 512])
            for at in (self.moved.get(n, n)
                       for n in range(sector, sector + size // 512)))

    def has_log(self):
        return HEADER.unpack_from(self.image)[0] in (MAGIC, RESTORING)

    def has_begun(self):
        return HEADER.unpack_from(self.image)[0] == RESTORING

    def load(self):
        size = HEADER.unpack_from(self.image)[3]
        sequence = None
        while sequence != 0:
            raw = self.read(0, size)
            header = HEADER.unpack_from(raw)
            if header[0] not in (MAGIC, RESTORING) or header[1] != VERSION \
                    or header[3] != size:
                raise Refused("header")
            if sequence is not None and header[5] != sequence - 1:
                raise Refused("sequence")
            sequence = header[5]
            self.logs.append((header, raw))
            for i in reversed(range(header[4])):
                self.check(header, raw, i)

    @staticmethod
    def entry(header, raw, i):
        return ENTRY.unpack_from(raw, header[2] + 24 * i)

    def check(self, header, raw, i):
        source, dest, size, total = self.entry(header, raw, i)
        if not size or size % header[3]:
            raise Refused("size")
        block = source // (header[3] // 512)
        if total and checksum(block, self.read(dest, size)) != total:
            raise Refused("checksum")
        new = {source + n: self.moved.get(dest + n, dest + n)
               for n in range(size // 512)}
        self.moved.update(new)

    def copy(self, source, dest, size):
        self.image[source * 512:source * 512 + size] = \
            self.image[dest * 512:dest * 512 + size]

    def mark(self, count):
        struct.pack_into("<I", self.image, 0, RESTORING)
        struct.pack_into("<I", self.image, 12, count)

    def steps(self):
        """Yields after each write to the device."""
        size = self.logs[0][0][3]
        for header, raw in self.logs:
            for i in reversed(range(1, header[4])):
                source, dest, length, _ = self.entry(header, raw, i)
                half = length // 1024 * 512
                self.copy(source, dest, half)
                yield
                self.copy(source, dest, length)
                yield
                self.mark(i)
                yield
            self.copy(0, self.entry(header, raw, 0)[1], size)
            if header[5]:
                struct.pack_into("<I", self.image, 0, RESTORING)
            yield

    def restore(self):
        """What the tool says of it; the device is in self.image."""
        if not self.has_log():
            return "no log"
        try:
            self.load()
        except Refused as why:
            header = HEADER.unpack_from(self.image)
            self.copy(0, header[6], header[3])
            return f"rolled forward: {why}"
        for _ in self.steps():
            pass
        return "restored"


def main():
    if len(sys.argv) != 4:
        sys.exit(f"usage: {sys.argv[0]} SEED IMAGE BEGUN")
    writer = make(int(sys.argv[1]))
    with open(sys.argv[2], "wb") as file:
        file.write(writer.image)
    with open(sys.argv[3], "wb") as file:
        file.write(writer.begun)
    print(f"{writer.shape.blocks} blocks of {writer.size}, header "
          f"{writer.shape.header_size}, {writer.logs} log blocks")
    print(",".join(f"{a}-{b}" for a, b in writer.shape.free_ranges()))


if __name__ == "__main__":
    main()
