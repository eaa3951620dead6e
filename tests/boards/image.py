# SPDX-License-Identifier: GPL-2.0-or-later
"""What the host reads from, and writes to, the disk images of a board that is
switched off: GPT partitions, both copies of the U-Boot environment, files.
"""

import hashlib
import shlex
import struct
import subprocess
import uuid
import zlib
from pathlib import Path

SECTOR = 512


def board_conf(path):
    """The KEY=value lines of a board file as a dict."""
    conf = {}
    for line in Path(path).read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            key, _, value = line.partition("=")
            conf[key] = " ".join(shlex.split(value))
    return conf


def gpt(path):
    """{name: (offset, size)} in bytes, of the partitions in an image file."""
    with open(path, "rb") as f:
        f.seek(SECTOR)
        header = f.read(92)
        assert header[:8] == b"EFI PART", f"{path}: no GPT"
        lba, count, size = struct.unpack_from("<QII", header, 72)
        f.seek(lba * SECTOR)
        entries = f.read(count * size)
    found = {}
    for i in range(count):
        entry = entries[i * size:(i + 1) * size]
        if uuid.UUID(bytes_le=entry[:16]).int == 0:
            continue
        first, last = struct.unpack_from("<QQ", entry, 32)
        name = entry[56:128].decode("utf-16-le").rstrip("\0")
        found[name] = (first * SECTOR, (last - first + 1) * SECTOR)
    return found


class Partition:
    """One partition: the bytes of an image file from offset, size long."""

    def __init__(self, path, offset, size):
        self.path, self.offset, self.size = Path(path), offset, size

    def read(self, offset=0, size=None):
        with open(self.path, "rb") as f:
            f.seek(self.offset + offset)
            return f.read(self.size - offset if size is None else size)

    def sha256(self, size=None):
        """Of the first bytes, or of all."""
        return hashlib.sha256(self.read(0, size)).hexdigest()

    def write(self, data, offset=0):
        assert offset + len(data) <= self.size, "longer than the partition"
        with open(self.path, "r+b") as f:
            f.seek(self.offset + offset)
            f.write(data)

    def flip(self, offset):
        """Damages one byte."""
        self.write(bytes([self.read(offset, 1)[0] ^ 0xFF]), offset)

    def extract(self, to):
        """Copies the partition to a file of its own, holes kept."""
        subprocess.run(
            ["dd", f"if={self.path}", f"of={to}", "bs=1M", "conv=sparse",
             "iflag=skip_bytes,count_bytes", f"skip={self.offset}",
             f"count={self.size}", "status=none"], check=True)
        with open(to, "r+b") as f:
            f.truncate(self.size)
        return Path(to)


class EnvCopy:
    """One copy: crc32 of the text, a serial number, NAME=value texts."""

    def __init__(self, raw):
        crc, self.serial = struct.unpack_from("<IB", raw)
        self.valid = zlib.crc32(raw[5:]) == crc
        self.values = {}
        if self.valid:
            text = raw[5:].split(b"\0\0")[0].decode(errors="replace")
            self.values = dict(v.split("=", 1) for v in text.split("\0") if v)


def env_bytes(values, serial, size):
    text = b"".join(f"{n}={v}".encode() + b"\0" for n, v in values.items())
    data = text.ljust(size - 5, b"\0")
    assert len(data) == size - 5, "environment too long"
    return struct.pack("<IB", zlib.crc32(data), serial) + data


class Environment:
    """The redundant environment in an image file."""

    def __init__(self, path, offsets, size):
        self.path, self.offsets, self.size = path, offsets, size

    def copies(self):
        with open(self.path, "rb") as f:
            return [EnvCopy(self._read(f, o)) for o in self.offsets]

    def _read(self, f, offset):
        f.seek(offset)
        return f.read(self.size)

    def current(self):
        """The copy that counts, as U-Boot chooses: the newer valid one."""
        first, second = self.copies()
        if not (first.valid and second.valid):
            assert first.valid or second.valid, "both copies are damaged"
            return first if first.valid else second
        if (first.serial, second.serial) in ((255, 0), (0, 255)):
            return first if first.serial == 0 else second
        return second if second.serial > first.serial else first

    def values(self):
        return self.current().values

    def writes_since(self, serial):
        """Stores since serial was that of current(): each adds one."""
        return (self.current().serial - serial) % 256

    def set(self, **changes):
        """Rewrites both copies as one with these changes; None removes."""
        now = self.current()
        values = {**now.values, **changes}
        values = {n: v for n, v in values.items() if v is not None}
        for i, offset in enumerate(self.offsets):
            self.write_raw(i, env_bytes(values, now.serial, self.size))

    def write_raw(self, copy, data):
        with open(self.path, "r+b") as f:
            f.seek(self.offsets[copy])
            f.write(data)

    def damage(self, copy):
        """One flipped byte in the text of a copy: its checksum is wrong."""
        with open(self.path, "r+b") as f:
            f.seek(self.offsets[copy] + 16)
            byte = f.read(1)[0]
            f.seek(self.offsets[copy] + 16)
            f.write(bytes([byte ^ 0xFF]))


class Images:
    """The images of one board in one folder: card.img, disk.img, or one."""

    def __init__(self, folder, conf):
        self.folder, self.conf = Path(folder), conf
        names = [n for n in ("card.img", "disk.img") if (self.folder / n).exists()]
        self.files = [self.folder / n for n in names]
        env = self.files[0]
        offsets = [int(conf[k], 0) for k in ("ENV_OFFSET", "ENV_OFFSET_REDUND")]
        self.environment = Environment(env, offsets, int(conf["ENV_SIZE"], 0))

    def partition(self, name):
        for path in self.files:
            if name in gpt(path):
                return Partition(path, *gpt(path)[name])
        raise KeyError(f"no partition '{name}' in {self.files}")

    def copy(self, folder):
        """A copy of all images, holes kept, in another folder."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for path in self.files:
            subprocess.run(["cp", "--sparse=always", "--reflink=auto", path,
                            folder / path.name], check=True)
        return Images(folder, self.conf)
