# SPDX-License-Identifier: GPL-2.0-or-later
"""Both directions of the published format, on the host: `bowline` on devices
of the published target (the samples, and some hundred made like them), and a
restorer made after the published tool's description on devices of ours."""

import random
import subprocess
import tempfile
from pathlib import Path

import pytest

import counts
import published
import samples
from checker import check
from host import BOWLINE, TOP, run

SIZES = [512, 1024, 2048, 4096]
SEEDS = range(80)  # of each block size


class Disk:
    """An image file and bowline on it."""

    def __init__(self, folder):
        self.path = folder / "disk"

    def after(self, verb, image, check=True):
        """(bytes afterwards, what it said)."""
        self.path.write_bytes(image)
        done = run(BOWLINE, verb, self.path, check=check)
        return self.path.read_bytes(), done.stdout + done.stderr


@pytest.fixture
def disk():
    """In memory where that can be had: a restore flushes a lot."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(
            dir=memory if memory.is_dir() else None) as folder:
        yield Disk(Path(folder))


# ---- the samples -------------------------------------------------------------


@pytest.mark.parametrize("name", samples.GOOD)
def test_a_sample_is_restored(disk, name):
    begun = samples.image(f"{name}.atstate1")
    image, _ = disk.after("restore", samples.image(f"{name}.state1"))
    assert published.same_outside(image, begun, samples.free(name))
    assert disk.after("inspect", image)[1] == "no log\n"
    counts.add("samples", 1)


@pytest.mark.parametrize("name", samples.GOOD)
def test_a_sample_is_kept(disk, name):
    image = samples.image(f"{name}.state1")
    log = check(image, published=True)
    assert disk.after("keep", image)[0] == log.kept()


@pytest.mark.parametrize("name", samples.GOOD)
def test_the_published_restorer_agrees_with_the_published_tool(name):
    restorer = published.Restorer(samples.image(f"{name}.state1"))
    assert restorer.restore() == "restored"
    assert restorer.image == samples.image(f"{name}.restored")


@pytest.mark.parametrize("name", samples.BAD)
def test_a_bad_sample_is_refused_and_explained(disk, name):
    image = samples.image(f"{name}.state1")
    after, text = disk.after("restore", image, check=False)
    assert after == image
    assert "does not add up" in text and "nothing was changed" in text
    assert "damaged: " in disk.after("inspect", image, check=False)[1]


# ---- devices like them -------------------------------------------------------


def restores_and_keeps(disk, writer):
    free = writer.shape.free_ranges()
    image, text = disk.after("restore", writer.image, check=False)
    assert published.same_outside(image, writer.begun, free), text
    image, text = disk.after("keep", writer.image, check=False)
    assert image == writer.kept(), text
    assert writer.is_as_written(image)


@pytest.mark.parametrize("size", SIZES)
def test_published_devices_restore_and_keep(disk, size):
    for seed in SEEDS:
        restores_and_keeps(disk, published.make(f"{size} {seed}", size))
    counts.add("samples", len(SEEDS))


def test_published_devices_are_as_varied_as_they_should_be():
    """So that what the other tests find nothing in is there at all."""
    made = [published.make(f"{size} {seed}", size)
            for size in SIZES for seed in SEEDS]
    heads = [published.HEADER.unpack_from(writer.image) for writer in made]
    many = [w for w in made
            if any(entry[2] > 4 * w.size for entry in w.entries)]
    late = [w for w, head in zip(made, heads)
            if head[6] != w.live * w.step]
    stale = [w for w in made if w.logs > 1 and
             any(w.image[w.shape.header_size + 24 * len(w.entries):w.size])]
    moved = [w for w in made if chained(w)]
    assert sum(w.logs > 3 for w in made) > 10
    assert sum(head[2] != 28 for head in heads) > 50
    assert min(map(len, (many, late, stale, moved))) > 10


def chained(writer):
    """Is there a backup of a backup of another backup?"""
    depth = {}
    for entry in writer.entries:
        depth[entry[1]] = depth.get(entry[0], 0) + 1
    return max(depth.values()) > 2


def cut_restores(image):
    """The restorer after each of its writes but the last."""
    restorer = published.Restorer(image)
    restorer.load()
    for _ in restorer.steps():
        if restorer.has_log():
            yield restorer


@pytest.mark.parametrize("size", SIZES)
def test_a_restore_of_the_published_tool_is_finished(disk, size):
    """Cut at each of its writes; and what has begun cannot be kept."""
    steps = 0
    for seed in range(4):
        writer = published.make(f"cut {size} {seed}", size)
        free = writer.shape.free_ranges()
        for steps, restorer in enumerate(cut_restores(writer.image), steps):
            image, text = disk.after("restore", restorer.image, check=False)
            assert published.same_outside(image, writer.begun, free), text
            if restorer.has_begun() and steps % 7 == 0:
                image, text = disk.after("keep", restorer.image, check=False)
                assert image == restorer.image
                assert "a restore has begun" in text
    assert steps > 100
    counts.add("samples", steps)


# ---- the other direction -----------------------------------------------------


@pytest.fixture(scope="session")
def dump(tmp_path_factory):
    """dump(SEED, SIZE) -> (image, begun, free): a log as ours writes it, or,
    with a third number, as a restore of ours leaves it that is cut there."""
    folder = tmp_path_factory.mktemp("ours")
    program = folder / "ours"
    sources = ["tests/bow/ours.c", "tests/unit/bow-writer.c",
               "tests/unit/memdev.c", "kmod/dm-bow-log.c",
               "kmod/dm-bow-ranges.c", "updater/io.c", "updater/err.c",
               "updater/plat.c", "updater/progress.c", "updater/extmap.c",
               *sorted(str(p.relative_to(TOP))
                       for p in (TOP / "updater").glob("bow*.c"))]
    subprocess.run(["gcc", "-std=gnu11", "-O1", "-g", "-fsanitize=address",
                    "-I", "updater", "-I", "kmod", "-o", program, *sources,
                    "-lz"],
                   cwd=TOP, check=True)

    def make(seed, size, *cut):
        run(program, seed, size, 300, folder / "image", folder / "begun",
            folder / "free", *cut)
        step = size // 512
        free = [(step * int(n), step * int(n) + step)
                for n in (folder / "free").read_text().split()]
        return ((folder / "image").read_bytes(),
                (folder / "begun").read_bytes(), free)

    return make


@pytest.mark.parametrize("size", SIZES)
def test_our_logs_obey_the_format(dump, size):
    for seed in range(30):
        image, begun, free = dump(seed, size)
        log = check(image, begun, free)
        assert log.faults == [] and log.needless == [], seed


@pytest.mark.parametrize("size", SIZES)
def test_our_logs_restore_with_the_published_tool(dump, size):
    for seed in range(30):
        image, begun, free = dump(seed, size)
        restorer = published.Restorer(image)
        assert restorer.restore() == "restored", seed
        assert published.same_outside(restorer.image, begun, free), seed


@pytest.mark.parametrize("size", SIZES)
def test_we_finish_what_the_published_tool_began_on_our_log(disk, dump, size):
    image, begun, free = dump(size % 37, size)
    for n, restorer in enumerate(cut_restores(image)):
        if n % 9 == 0:
            after, text = disk.after("restore", restorer.image, check=False)
            assert published.same_outside(after, begun, free), (n, text)


@pytest.mark.parametrize("size", SIZES)
def test_the_published_tool_finishes_what_we_began(dump, size):
    """Cut at any write of ours: it finds a log of its own and undoes it."""
    finished = 0
    for seed in range(3, 30, 3):
        for cut in range(1, 400, 1 + seed):
            image, begun, free = dump(seed, size, cut)
            restorer = published.Restorer(image)
            if not restorer.has_log():
                break
            assert restorer.restore() == "restored", (seed, cut)
            assert published.same_outside(restorer.image, begun, free), \
                (seed, cut)
            finished += 1
    assert finished > 50


# ---- salvage -----------------------------------------------------------------


def damaged(image, size, rng):
    """A few bytes of the log, or of what it saved, are others."""
    image = bytearray(image)
    for _ in range(rng.randrange(1, 4)):
        at = rng.randrange(size if rng.random() < 0.7 else len(image))
        image[at] ^= 1 << rng.randrange(8)
    return bytes(image)


def untouched_or_undone(after, image, begun, free, size):
    """Blocks outside of block 0 and of what was free that are neither."""
    ignored = {n * 512 // size for a, b in free for n in range(a, b)} | {0}
    return [n for n in range(len(image) // size) if n not in ignored and
            after[n * size:n * size + size] not in (
                image[n * size:n * size + size],
                begun[n * size:n * size + size])]


@pytest.mark.parametrize("size", SIZES)
def test_salvage_never_touches_what_it_cannot_prove(disk, dump, size):
    rng = random.Random(size)
    salvaged = 0
    for seed in range(40):
        if seed % 2:
            image, begun, free = dump(seed % 30, size)
        else:
            writer = published.make(f"{size} {seed}", size)
            image, begun = bytes(writer.image), writer.begun
            free = writer.shape.free_ranges()
        image = damaged(image, size, rng)
        disk.path.write_bytes(image)
        done = run(BOWLINE, "restore", "--salvage", disk.path, check=False)
        after = disk.path.read_bytes()
        assert done.returncode in (0, 3), done.stderr
        assert untouched_or_undone(after, image, begun, free, size) == [], seed
        salvaged += done.returncode == 3
    assert salvaged > 5


@pytest.mark.parametrize("size", SIZES)
def test_a_tail_of_nobody_is_refused_and_salvaged_whole(disk, size):
    """What neither our writer nor the published one leaves there."""
    for seed in range(0, 40, 3):
        writer = published.make(f"{size} {seed}", size, tail=b"\xde\xad\xbe\xef")
        free = writer.shape.free_ranges()
        image, text = disk.after("restore", writer.image, check=False)
        assert image == writer.image and "nothing was changed" in text
        disk.path.write_bytes(writer.image)
        run(BOWLINE, "restore", "--salvage", disk.path, check=False)
        assert published.same_outside(disk.path.read_bytes(), writer.begun,
                                      free), seed
