# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads what dm-log-writes recorded, and makes the disks that a power cut may
leave.

dm-log-writes gives a list of entries; all that stands before an entry with
FLUSH was complete when that flush was asked for, and is durable after it. What
follows is in the disk's volatile cache, and survives a cut or not, each sector
by itself.
"""

import struct

MAGIC = 0x6a736677736872
FLUSH, FUA, DISCARD, MARK = 1, 2, 4, 8
SECTOR = 512


class Entry:
    """sectors: how many a discard takes; data has its own length."""

    def __init__(self, sector, sectors, flags, data):
        self.sector = sector
        self.sectors = sectors
        self.flags = flags
        self.data = data

    def mark(self):
        return self.data.rstrip(b"\0").decode() if self.flags & MARK else None


def read(path):
    """The entries of a log device."""
    log = path.read_bytes()
    magic, version, count, size = struct.unpack_from("<QQQI", log, 0)
    assert (magic, version) == (MAGIC, 1)
    entries = []
    at = size
    for _ in range(count):
        sector, sectors, flags, length = struct.unpack_from("<QQQQ", log, at)
        if flags & MARK:
            data = log[at + 32:at + 32 + length]
            at += size
        else:
            at += size
            data = b"" if flags & DISCARD else \
                log[at:at + sectors * SECTOR]
            at += len(data)
        entries.append(Entry(sector, sectors, flags, data))
    return entries


class Disk:
    """A disk with a cache: durable is what a cut cannot take."""

    def __init__(self, data):
        self.durable = bytearray(data)
        self.version = 0  # of durable
        self.cache = []

    def _put(self, sector, data):
        self.version += 1
        self.durable[sector * SECTOR:sector * SECTOR + len(data)] = data

    def _supersede(self, start, count):
        """Nothing older comes to the medium there any more."""
        cache, self.cache = self.cache, []
        for sector, data in cache:
            before = data[:max(0, start - sector) * SECTOR]
            behind = data[max(0, start + count - sector) * SECTOR:]
            if before:
                self.cache.append((sector, before))
            if behind:
                self.cache.append((max(sector, start + count), behind))

    def apply(self, entry):
        if entry.flags & (MARK | DISCARD):
            return
        if entry.flags & FLUSH:
            for sector, data in self.cache:
                self._put(sector, data)
            self.cache = []
        if entry.flags & FUA:
            self._supersede(entry.sector, len(entry.data) // SECTOR)
            self._put(entry.sector, entry.data)
        elif entry.data:
            self.cache.append((entry.sector, entry.data))

    def survivors(self, dice):
        """[(byte, data)]: what of the cache a cut may leave. dice is a
        random.Random, or None for a cut that takes all it may."""
        return [(sector * SECTOR + i, data[i:i + SECTOR])
                for sector, data in (self.cache if dice else [])
                for i in range(0, len(data), SECTOR) if dice.random() < 0.5]

    def after_cut(self, dice):
        """A disk as a cut may leave it; dice as above."""
        image = bytearray(self.durable)
        for at, data in self.survivors(dice):
            image[at:at + len(data)] = data
        return image


def points(entries, between):
    """The numbers of the entries before which to cut: just before a flush the
    most is at stake; between flushes one in so many."""
    return [i for i, entry in enumerate(entries)
            if entry.flags & (FLUSH | FUA) or i % between == 0]
