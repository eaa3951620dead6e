# SPDX-License-Identifier: GPL-2.0-or-later
"""`bowline diff` and what images may be: of any size, with blocks of any size,
sparse, a block device; the memory that it takes, and what it shows meanwhile."""

import filecmp
import os
import pathlib
import pty
import re
import signal
import subprocess
import sys
import time

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from host import BOWLINE, noise, run  # noqa: E402

MIB = 1 << 20
GIB = 1 << 30


def diff(folder, *options, out="diff"):
    """Its peak of memory in bytes."""
    said = run("/usr/bin/time", "-f", "peak %M KiB", BOWLINE, "diff",
               folder / "old", folder / "new", "-o", folder / out,
               *options).stderr
    return int(re.search(r"peak (\d+) KiB", said)[1]) << 10


def applies(folder, out="diff"):
    run(BOWLINE, "apply", folder / "old", folder / out, "-o", folder / "made")
    return filecmp.cmp(folder / "made", folder / "new", False)


# ---- sizes ------------------------------------------------------------------


@pytest.mark.parametrize("block", [512 << i for i in range(8)])
@pytest.mark.parametrize("old, new", [(1_000_001, 1_000_001),
                                      (700_000, 1_000_003),
                                      (1_000_003, 700_000)])
def test_blocks_and_images_of_every_size(tmp_path, block, old, new):
    data = noise(1_100_000, 1)
    (tmp_path / "old").write_bytes(data[:old])
    moved = data[5000:300_000] + noise(30_000, 2) + data[100:]
    (tmp_path / "new").write_bytes(moved[:new])
    diff(tmp_path, "--block-size", block, "--level", 3)
    assert applies(tmp_path)
    run(BOWLINE, "apply", "--check", tmp_path / "old", tmp_path / "diff")


# ---- memory -----------------------------------------------------------------


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """Images of 68 MiB that have much in common, nothing at its place."""
    folder = tmp_path_factory.mktemp("large")
    parts = [noise(4 * MIB, i) for i in range(17)]
    (folder / "old").write_bytes(b"".join(parts))
    parts[3] = noise(300_000, 99) + parts[3][300_000:]
    new = b"".join(parts[i * 7 % 17] for i in range(17))
    (folder / "new").write_bytes(new[:9 * MIB] + b"more" + new[9 * MIB:-4])
    return folder


def test_memory_is_at_most_six_times_the_image(large):
    assert diff(large, "--level", 1, out="usual") <= 6 * 68 * MIB


def test_memory_can_be_bounded(large):
    """Far below the two images; the diff finds most of what they share."""
    usual = diff(large, "--level", 1, out="usual")
    assert usual > 140 * MIB
    assert diff(large, "--level", 1, "--memory", "80M") <= 80 * MIB
    assert applies(large)
    assert (large / "diff").stat().st_size < \
        2 * (large / "usual").stat().st_size


# ---- holes and devices ------------------------------------------------------


def sparse(path, size, parts):
    with open(path, "wb") as file:
        file.truncate(size)
        for at, data in parts:
            file.seek(at)
            file.write(data)


def test_holes_of_large_images_are_not_read(tmp_path):
    """What is read of an image is resident: of two that are longer than 32 bits
    can say it is little. Most of the time goes into their hashes."""
    one, two, three = (noise(300_000, seed) for seed in (1, 2, 3))
    sparse(tmp_path / "old", 4 * GIB + 64 * MIB,
           [(0, one), (GIB, two), (4 * GIB + 4096, three)])
    sparse(tmp_path / "new", 4 * GIB + 64 * MIB,
           [(0, one), (4 * GIB + 12288, two), (3 * GIB, three)])
    peak = diff(tmp_path, "--level", 3)
    assert peak < 256 * MIB
    for name in ("old", "new"):
        assert (tmp_path / name).stat().st_blocks < 4096
    assert (tmp_path / "diff").stat().st_size < 65536


def test_holes_are_what_they_read_as(tmp_path):
    """Holes in one image, both, and neither, of all alignments to a block."""
    old = [(i * 49_152, noise(8192 + i % 5 * 4096, i)) for i in range(1, 60)]
    new = [(at + i % 3 * 4096, data[:len(data) - i % 2])
           for i, (at, data) in enumerate(old) if i % 7]
    for name, parts in (("old", old), ("new", new)):
        sparse(tmp_path / name, 4 * MIB + 77, parts)
    for options in (["--format", 1], ["--format", 0],
                    ["--format", 1, "--block-size", "64K"]):
        diff(tmp_path, *options)
        if options[1]:
            assert applies(tmp_path)
        (tmp_path / "diff").rename(tmp_path / "of-holes")
        for name in ("old", "new"):
            run("cp", "--sparse=never", tmp_path / name, tmp_path / "full")
            (tmp_path / "full").rename(tmp_path / name)
        diff(tmp_path, *options)
        assert filecmp.cmp(tmp_path / "diff", tmp_path / "of-holes", False)
        for name in ("old", "new"):
            run("fallocate", "--dig-holes", tmp_path / name)


@pytest.fixture
def loop():
    """loop(file): a block device that is the file."""
    root = [] if os.geteuid() == 0 else ["sudo", "-n"]
    made = []

    def attach(file):
        device = run(*root, "losetup", "--find", "--show", "--read-only",
                     file).stdout.strip()
        made.append(device)
        if root:
            run(*root, "chmod", "o+r", device)
        return device
    yield attach
    for device in made:
        run(*root, "losetup", "--detach", device)


@pytest.mark.parametrize("version", [0, 1])
def test_block_devices_are_images(tmp_path, loop, version):
    old = noise(MIB, 1)
    (tmp_path / "old").write_bytes(old)
    (tmp_path / "new").write_bytes(old[4096:300_000] + noise(4096, 2) +
                                   old[300_000:])
    diff(tmp_path, "--format", version, out="of-files")
    devices = [loop(tmp_path / name) for name in ("old", "new")]
    run(BOWLINE, "diff", *devices, "-o", tmp_path / "diff", "--format",
        version)
    assert filecmp.cmp(tmp_path / "diff", tmp_path / "of-files", False)
    if version:
        run(BOWLINE, "apply", "--check", devices[0], tmp_path / "diff")


# ---- what it shows ----------------------------------------------------------


def test_a_terminal_shows_how_far_it_is_and_what_is_left(tmp_path):
    """However quick the machine is: the program stands still for four seconds."""
    text = "".join(f"{i * i % 9973} is {i * 7919 % 10007}\n"
                   for i in range(500_000)).encode()
    (tmp_path / "old").write_bytes(b"nothing of it")
    (tmp_path / "new").write_bytes(text)
    ours, theirs = pty.openpty()
    child = subprocess.Popen(
        [BOWLINE, "diff", "--level", "22", "--threads", "1", tmp_path / "old",
         tmp_path / "new", "-o", tmp_path / "diff"], stderr=theirs,
        stdout=subprocess.DEVNULL)
    os.close(theirs)
    said = b""
    while True:
        try:
            part = os.read(ours, 4096)
        except OSError:  # Linux says so at the end
            break
        if b"compressing" in part and b"compressing" not in said:
            child.send_signal(signal.SIGSTOP)
            time.sleep(4)
            child.send_signal(signal.SIGCONT)
        said += part
    os.close(ours)
    assert child.wait() == 0
    assert re.search(rb"\rcompressing +\[#+\.+\] +\d+ %, \d+ s left ", said)
