#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""An independent checker of bow logs at rest, made from docs/FORMAT.md alone.

    checker.py IMAGE [--published] [--unit N] [--begun IMAGE --free FROM-TO,...]

or check(image, ...), which returns a Log whose `faults` is empty when the log
is good. It judges a log more strictly than a reader has to: what a writer must
not do is a fault, even if every reader would cope with it. It also undoes the
log by itself: Log.restored() is the device as it was when state 1 began.

FROM-TO are sectors of what was free when state 1 began; TO is not included.
"""

import argparse
import mmap
import os
import struct
import sys
import zlib

SECTOR = 512
MAGIC = b"BOW\0"
MAGIC_RESTORING = b"WOB\0"
VERSION = 0x0100
HEADER = struct.Struct("<4sHHIIIQ")
ENTRY = struct.Struct("<QQII")
SUMS = struct.Struct("<IIQI")  # ours, behind the header of a block that can tear
LONG = HEADER.size + SUMS.size
TAIL = 4

UNKNOWN, UNCHANGED, FREE, CHANGED, BACKUP = range(5)


def crc32(seed, data):
    """Reflected 0xEDB88320, no inversion at either end."""
    return zlib.crc32(data, seed ^ 0xFFFFFFFF) ^ 0xFFFFFFFF


def _table(polynomial):
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (polynomial if value & 1 else 0)
        table.append(value)
    return table


CRC32C = _table(0x82F63B78)


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ CRC32C[(crc ^ byte) & 255]
    return crc ^ 0xFFFFFFFF


class Image:
    """Bytes, or a file that is never read as a whole."""

    def __init__(self, source):
        self.data = source
        if not isinstance(source, (bytes, bytearray, memoryview)):
            with open(source, "rb") as file:
                self.data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self.size = len(self.data)

    def read(self, at, length):
        return bytes(self.data[at:at + length])


class Entry:
    def __init__(self, raw):
        self.source, self.dest, self.size, self.checksum = ENTRY.unpack(raw)

    def __str__(self):
        return f"{self.size} bytes of sector {self.source} at {self.dest}"


class Block:
    """One log block: its header, its entries, and what is wrong with them."""

    def __init__(self, raw):
        (self.magic, self.version, self.header_size, self.size, self.count,
         self.sequence, self.sector0) = HEADER.unpack_from(raw)
        self.raw = raw
        self.entries = []

    def end(self):
        return self.header_size + ENTRY.size * self.count

    def header_faults(self, sectors):
        if self.magic != MAGIC:
            yield f"magic {self.magic!r}"
        if self.version != VERSION:
            yield f"version {self.version:#x}"
        if self.size not in (512, 1024, 2048, 4096):
            yield f"block size {self.size}"
            return
        if not HEADER.size <= self.header_size <= self.size - TAIL:
            yield f"header size {self.header_size}"
        elif not 1 <= self.count <= (self.size - TAIL - self.header_size) // 24:
            yield f"count {self.count}"
        if self.sector0 % (self.size // SECTOR):
            yield f"sector0 {self.sector0} is not at a block"
        if not 0 < self.sector0 <= sectors - self.size // SECTOR:
            yield f"sector0 {self.sector0} is outside the device"

    def load_entries(self):
        self.entries = [
            Entry(self.raw[at:at + ENTRY.size])
            for at in range(self.header_size, self.end(), ENTRY.size)]

    def sum_of(self, count, sector0):
        """Of the state of the block with this count and sector0."""
        head = HEADER.pack(MAGIC, self.version, self.header_size, self.size,
                           count, self.sequence, sector0)
        end = self.header_size + ENTRY.size * count
        return crc32c(head + self.raw[self.header_size:end])

    def sums_faults(self):
        found, count, sector0, prev = SUMS.unpack_from(self.raw, HEADER.size)
        want = self.sum_of(self.count, self.sector0)
        if found != want:
            yield f"the sum is {found:08x}, not {want:08x}"
        if count >= self.count:
            yield f"prev_count {count} of {self.count}"
        elif count:
            want = self.sum_of(count, sector0)
            if prev != want:
                yield f"prev_sum is {prev:08x}, not {want:08x}"
        elif sector0 or prev:
            yield "the block has just begun, but has sums of a state before"

    def has_begun(self, unit, image):
        """Is the head alone written, and behind it what was there before?"""
        before = image.read(self.entries[0].dest * SECTOR, self.size)
        return (self.header_size == LONG and self.end() <= unit < self.size and
                self.raw[unit:] == before[unit:])

    def writer_faults(self, unit, begun):
        """What only our writer promises."""
        if self.header_size != (LONG if self.size > unit else HEADER.size):
            yield f"header size {self.header_size}, the device's unit {unit}"
        elif self.header_size == LONG:
            yield from self.sums_faults()
        if begun:
            return
        if any(self.raw[self.end():self.size - TAIL]):
            yield "unused entry space is not zero"
        want = crc32c(self.raw[:self.size - TAIL])
        found = struct.unpack("<I", self.raw[self.size - TAIL:])[0]
        if found != want:
            yield f"the tail is {found:08x}, not {want:08x}"

    def entry_faults(self, i, entry, sectors):
        per_block = self.size // SECTOR
        length = entry.size // SECTOR
        if not entry.size or entry.size % self.size:
            yield f"its size {entry.size} is not a number of blocks"
            return
        if entry.source % per_block or entry.dest % per_block:
            yield "it is not at a block"
        if max(entry.source, entry.dest) + length > sectors:
            yield "it is outside the device"
        if entry.dest == 0:
            yield "its backup is in block 0"
        if (i == 0) != (entry.source == 0) or (i == 0 and
                                               entry.size != self.size):
            yield "only entry 0 saves block 0, and nothing else"
        if abs(entry.source - entry.dest) < length:
            yield "it overlaps its own backup"


class Log:
    """See check(). blocks: newest first. live: sector of the live block 0."""

    def __init__(self, image, published, unit):
        self.image = image
        self.unit = unit
        self.published = published
        self.faults = []
        self.blocks = []
        self.moved = {}  # block of the device: which block's contents it gets
        self.sources = set()
        self.types = {}
        self.live = None

    # ---- what the chain says, newest to oldest --------------------------

    def fault(self, block, text, entry=None):
        where = f"log block {block.sequence}"
        if entry is not None:
            where += f", entry {entry}"
        self.faults.append(f"{where}: {text}")

    def origin(self, number):
        return self.moved.get(number, number)

    def undone(self, at, length):
        """Bytes of the device as undone so far."""
        step = self.block_size
        return b"".join(
            self.image.read(self.origin(number) * step, step)
            for number in range(at // step, (at + length) // step))

    def undo(self, entry):
        step = self.block_size
        source = entry.source * SECTOR // step
        dest = entry.dest * SECTOR // step
        for i in range(entry.size // step):
            self.moved[source + i] = self.origin(dest + i)
            self.sources.add(source + i)

    def load_block(self, raw):
        sectors = self.image.size // SECTOR
        block = Block(raw)
        self.blocks.append(block)
        found = list(block.header_faults(sectors))
        if not found:
            block.load_entries()
            if not self.published:
                begun = (len(self.blocks) == 1 and
                         block.has_begun(self.unit, self.image))
                found = list(block.writer_faults(self.unit, begun))
        for text in found:
            self.fault(block, text)
        for i, entry in enumerate(block.entries):
            for text in block.entry_faults(i, entry, sectors):
                self.fault(block, text, i)
        return block

    def check_sum(self, block, i):
        entry = block.entries[i]
        number = entry.source // (block.size // SECTOR)
        data = self.undone(entry.dest * SECTOR, entry.size)
        found = crc32(number & 0xFFFFFFFF, data)
        # 0 says "none": only a move of the live block 0 may say that, or chance
        if found != entry.checksum and (entry.checksum or i == 0):
            self.fault(block, f"{entry}: checksum {found:08x}, not "
                       f"{entry.checksum:08x}", i)

    def walk(self, block):
        """Undoes a block; the one before it, or None at the end."""
        for i in reversed(range(1, block.count)):
            self.check_sum(block, i)
            self.undo(block.entries[i])
        self.check_sum(block, 0)
        first = block.entries[0]
        raw = self.undone(first.dest * SECTOR, block.size)
        self.undo(first)
        if block.sequence == 0:
            if raw[:4] in (MAGIC, MAGIC_RESTORING):
                self.fault(block, "the original block 0 is a log", 0)
            return None
        older = self.load_block(raw)
        if not self.faults and (older.sequence + 1, older.size) != (
                block.sequence, block.size):
            self.fault(block, f"it follows log block {older.sequence}")
        return older

    def load(self):
        head = self.image.read(0, SECTOR)
        self.block_size = HEADER.unpack_from(head)[3]
        if self.block_size not in (512, 1024, 2048, 4096):
            self.faults.append(f"block size {self.block_size}")
            return
        block = self.load_block(self.image.read(0, self.block_size))
        while block and not self.faults:
            block = self.walk(block)

    # ---- what the writer did, oldest to newest --------------------------

    def type_of(self, number):
        return self.types.get(number, self.unwritten(number))

    def unwritten(self, number):
        if self.free is None:
            return UNKNOWN
        return FREE if number in self.free else UNCHANGED

    def take(self, block, sector, size, i, what):
        """A writer puts a backup, a log block or block 0 there."""
        first = sector * SECTOR // self.block_size
        for number in range(first, first + size // self.block_size):
            found = self.type_of(number)
            if found in (UNCHANGED, BACKUP):
                self.fault(block, f"{what} goes to block {number}, which "
                           + ("was in use when state 1 began"
                              if found == UNCHANGED else
                              "holds another backup"), i)
            self.types[number] = BACKUP

    def replay_entry(self, block, i):
        entry = block.entries[i]
        first = entry.source * SECTOR // self.block_size
        count = entry.size // self.block_size
        moves = entry.source <= self.live < entry.source + count * (
            self.block_size // SECTOR)
        if (moves or not entry.checksum) and not self.published and (
                not moves or entry.checksum or count > 1):
            self.fault(block, f"{entry}: checksum {entry.checksum:08x}, the "
                       f"live block 0 is at {self.live}", i)
        for number in range(first, first + count):
            if self.type_of(number) in (FREE, CHANGED):
                self.needless.append(f"log block {block.sequence}, entry {i}: "
                                     f"{entry} needed no backup")
            self.types[number] = CHANGED
        self.take(block, entry.dest, entry.size, i, "a backup")
        if moves:
            self.live += entry.dest - entry.source

    def first_live(self):
        """Where the live block 0 was when state 1 began: moves undone."""
        block = self.blocks[-1]
        live = block.sector0
        for entry in reversed(block.entries[1:]):
            if entry.dest == live and not entry.checksum:
                live = entry.source
        return live

    def replay(self):
        self.live = self.first_live()
        self.take(self.blocks[-1], self.live, self.block_size, 0,
                  "the live block 0")
        for block in reversed(self.blocks):
            before = self.live
            self.take(block, block.entries[0].dest, block.size, 0,
                      "a log block" if block.sequence else "block 0")
            for i in range(1, block.count):
                before = self.live
                self.replay_entry(block, i)
            late = self.published and block.sector0 == before
            if block.sector0 != self.live and not late:
                self.fault(block, f"sector0 is {block.sector0}, but the live "
                           f"block 0 is at {self.live}")

    # ---- against the device as it was -----------------------------------

    def restored(self):
        """The whole device as it was; what was free then is undefined."""
        data = bytearray(self.image.read(0, self.image.size))
        step = self.block_size
        for number, origin in self.moved.items():
            data[number * step:(number + 1) * step] = self.image.read(
                origin * step, step)
        return bytes(data)

    def kept(self):
        """The whole device with all changes; no log."""
        at = self.live * SECTOR
        return (self.image.read(at, self.block_size) +
                self.image.read(self.block_size, self.image.size))

    def check_begun(self, begun):
        step = self.block_size
        for chunk in range(0, self.image.size, 1 << 20):
            numbers = range(chunk // step,
                            min(chunk + (1 << 20), self.image.size) // step)
            if not any(n in self.moved for n in numbers) and self.image.read(
                    chunk, 1 << 20) == begun.read(chunk, 1 << 20):
                continue
            for number in numbers:
                self.check_begun_block(begun, number)

    def check_begun_block(self, begun, number):
        step = self.block_size
        if number in self.free or self.image.read(
                self.origin(number) * step, step) == begun.read(
                    number * step, step):
            return
        if number in self.sources:
            self.faults.append(f"block {number} is not restored")
        else:
            self.faults.append(f"block {number} changed without a backup")


def blocks_of(ranges, block_size):
    """Whole blocks in ranges of sectors [(from, to), ...]."""
    step = block_size // SECTOR
    return {number for start, end in ranges
            for number in range(-(-start // step), end // step)}


def check(image, begun=None, free=None, published=False, unit=SECTOR):
    """Judges the log of a device. image, begun: bytes or a path; begun is the
    device as it was when state 1 began, free what was free then, as ranges of
    sectors [(from, to), ...]. published: by a writer that is not ours, so no
    tail, stale entries, sector0 one write late. unit: the logical block size
    of the device, what it writes as one."""
    log = Log(Image(image), published, unit)
    log.load()
    if log.faults:
        return log
    log.free = None if free is None else blocks_of(free, log.block_size)
    log.needless = []
    log.replay()
    if begun is not None:
        log.check_begun(Image(begun))
    return log


def parse_ranges(text):
    return [tuple(map(int, part.split("-"))) for part in text.split(",")]


def main():
    parser = argparse.ArgumentParser(description="judges a bow log")
    parser.add_argument("image")
    parser.add_argument("--published", action="store_true")
    parser.add_argument("--unit", type=int, default=SECTOR)
    parser.add_argument("--begun")
    parser.add_argument("--free", type=parse_ranges)
    args = parser.parse_args()
    if (args.begun is None) != (args.free is None):
        parser.error("--begun and --free go together")
    log = check(args.image, args.begun, args.free, args.published, args.unit)
    for text in log.faults:
        print(f"{os.path.basename(args.image)}: {text}")
    entries = sum(len(block.entries) for block in log.blocks)
    print(f"{len(log.blocks)} log blocks, {entries} entries, "
          f"{len(log.faults)} faults")
    return 1 if log.faults else 0


if __name__ == "__main__":
    sys.exit(main())
