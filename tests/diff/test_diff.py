# SPDX-License-Identifier: GPL-2.0-or-later
"""`bowline diff --format 1` from outside, on file systems of small trees: what
it makes is proven by `bowline apply --check` and gives the new image, to a file
and in place."""

import filecmp
import os
import pathlib
import random
import re
import subprocess
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from host import BOWLINE, noise, run  # noqa: E402

TIME = "1700000000"
FIXED = {**os.environ, "E2FSPROGS_FAKE_TIME": TIME}
UUID = "6f626f77-6c69-4e65-8000-00000000000a"
TEXT = "".join(f"setting {i} = {i * i % 977}\n" for i in range(9000)).encode()


def write_tree(folder, files):
    """The files, path: contents, all with the same times."""
    for path, contents in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(contents)
    for path in [folder, *folder.rglob("*")]:
        os.utime(path, (int(TIME), int(TIME)))


OLD = {"etc/a.conf": b"a = 1\n", "etc/b.conf": TEXT,
       "usr/bin/one": noise(300000, 1), "usr/bin/two": noise(200000, 2),
       "usr/lib/three": TEXT[:100000] + noise(100000, 3),
       "usr/lib/gone": noise(50000, 4)}
# One grows, so what is behind it moves; one has changes; one is new.
NEW = {"etc/a.conf": b"a = 2\n" * 2000, "etc/b.conf": TEXT,
       "usr/bin/one": noise(300000, 1),
       "usr/bin/two": noise(200000, 2)[:90000] + b"new" * 5 +
       noise(200000, 2)[90000:],
       "usr/lib/three": TEXT[:100000] + noise(100000, 3),
       "usr/lib/new": noise(20000, 5)}


def ext4(tree, image):
    run("mke2fs", "-q", "-t", "ext4", "-U", UUID, "-b", "4096", "-O",
        "^has_journal", "-E", f"hash_seed={UUID},root_owner=0:0", "-d", tree,
        image, "16M", env=FIXED)


def squashfs(tree, image):
    run("mksquashfs", tree, image, "-comp", "zstd", "-all-root", "-no-xattrs",
        "-no-progress", "-all-time", TIME, "-mkfs-time", TIME)


def edited(old_tree, new_tree, old_image, image):
    """The old image, changed in place."""
    script = run(sys.executable, HERE / "edit.py", old_tree, new_tree).stdout
    image.write_bytes(old_image.read_bytes())
    commands = image.with_suffix(".debugfs")
    commands.write_text(script)
    run("debugfs", "-w", "-f", commands, image, env=FIXED)
    run("e2fsck", "-fn", image)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """A folder with old-KIND.img and new-KIND.img of every kind."""
    folder = tmp_path_factory.mktemp("images")
    for name, files in (("old", OLD), ("new", NEW)):
        write_tree(folder / name, files)
        ext4(folder / name, folder / f"{name}-rebuilt.img")
        squashfs(folder / name, folder / f"{name}-squashfs.img")
    (folder / "old-in-place.img").hardlink_to(folder / "old-rebuilt.img")
    edited(folder / "old", folder / "new", folder / "old-rebuilt.img",
           folder / "new-in-place.img")
    return folder


KINDS = ["rebuilt", "in-place", "squashfs"]


def make(images, kind, out, *options):
    return run(BOWLINE, "diff", "--format", "1", "--level", "6", *options,
               images / f"old-{kind}.img", images / f"new-{kind}.img",
               "-o", out)


def proven(images, kind, diff, work):
    """Checked, applied, and merged in place."""
    old, new = (images / f"{which}-{kind}.img" for which in ("old", "new"))
    answer = run(BOWLINE, "apply", "--check", old, diff)
    assert "right" in answer.stdout + answer.stderr
    run(BOWLINE, "apply", old, diff, "-o", work / "made.img")
    assert filecmp.cmp(work / "made.img", new, False)
    system = work / "system.img"
    system.write_bytes(old.read_bytes())
    os.truncate(system, max(old.stat().st_size, new.stat().st_size))
    run(BOWLINE, "apply", "--in-place", system, diff, "--progress",
        work / f"progress-{kind}")
    return system.read_bytes()[:new.stat().st_size] == new.read_bytes()


@pytest.mark.parametrize("kind", KINDS)
def test_a_diff_is_proven_and_merges(images, kind, tmp_path):
    make(images, kind, tmp_path / "diff")
    assert proven(images, kind, tmp_path / "diff", tmp_path)


@pytest.mark.parametrize("kind", KINDS)
def test_the_other_way_too(images, kind, tmp_path):
    """A rollback by a diff: from the new image to the old one."""
    for name in ("old", "new"):
        other = {"old": "new", "new": "old"}[name]
        (tmp_path / f"{other}-{kind}.img").hardlink_to(
            images / f"{name}-{kind}.img")
    make(tmp_path, kind, tmp_path / "diff")
    assert proven(tmp_path, kind, tmp_path / "diff", tmp_path)


@pytest.mark.parametrize("kind, most", [
    # 20000 new bytes that do not compress, and what says where all others are
    ("rebuilt", 36000), ("in-place", 36000), ("squashfs", 48000)])
def test_only_what_is_new_is_stored(images, kind, most, tmp_path):
    make(images, kind, tmp_path / "diff")
    assert (tmp_path / "diff").stat().st_size < most


@pytest.mark.parametrize("options", [
    ("--chunk-size", "256K"), ("--chunk-size", "4K", "--piece-size", "4K"),
    ("--block-size", "1K"), ("--prefix-size", "4K"), ("--level", "1"),
    ("--block-size", "64K", "--chunk-size", "1M")])
def test_options_change_the_size_but_not_the_image(images, options, tmp_path):
    make(images, "rebuilt", tmp_path / "diff", *options)
    assert proven(images, "rebuilt", tmp_path / "diff", tmp_path)


def test_the_same_input_gives_the_same_bytes(images, tmp_path):
    for threads in (1, 2, 5):
        make(images, "rebuilt", tmp_path / f"{threads}", "--chunk-size", "8K",
             "--piece-size", "4K", "--threads", threads)
    assert filecmp.cmp(tmp_path / "1", tmp_path / "2", False)
    assert filecmp.cmp(tmp_path / "1", tmp_path / "5", False)


def test_holes_are_zeros(images, tmp_path):
    """A sparse image and the same without holes are the same."""
    sparse = tmp_path / "old-rebuilt.img"
    run("cp", "--sparse=always", images / "old-rebuilt.img", sparse)
    new = tmp_path / "new-rebuilt.img"
    run("cp", "--sparse=never", images / "new-rebuilt.img", new)
    assert sparse.stat().st_blocks < new.stat().st_blocks
    make(tmp_path, "rebuilt", tmp_path / "sparse")
    make(images, "rebuilt", tmp_path / "usual")
    assert filecmp.cmp(tmp_path / "sparse", tmp_path / "usual", False)


def explained(text):
    """KiB of the image by operation."""
    found = re.findall(r"^(\w+) .* ([\d.]+) KiB of the image", text, re.M)
    return {name: float(size) for name, size in found}


def test_explain_accounts_for_the_whole_image(images, tmp_path):
    answer = make(images, "rebuilt", tmp_path / "diff", "--explain")
    sizes = explained(answer.stdout)
    assert set(sizes) == {"unchanged", "zero", "copy", "data"}
    assert sum(sizes.values()) == 16 * 1024
    assert sizes["copy"] > 4 * sizes["data"] > 0
    assert re.search(r"^merge +\d+ epochs, ", answer.stdout, re.M)


def test_an_image_cut_short_meanwhile_is_named(images, tmp_path):
    """The program ends with a line, not with a signal."""
    old = tmp_path / "old.img"
    old.write_bytes(noise(16 << 20, 7))
    with subprocess.Popen(
            [BOWLINE, "diff", "--format", "1", old,
             images / "new-rebuilt.img", "-o", tmp_path / "diff"],
            stderr=subprocess.PIPE, text=True) as child:
        assert child.stderr.readline().startswith("reading the old image")
        os.truncate(old, 4096)
        said = child.stderr.read()
    assert child.returncode == 1
    assert f"bowline: cannot read image '{old}'" in said
    assert not (tmp_path / "diff").exists()


@pytest.mark.parametrize("compression", ["zstd", "lz4", "none"])
def test_the_published_spelling(images, compression, tmp_path):
    tool = tmp_path / "update-diff"
    tool.symlink_to(BOWLINE)
    old, new = images / "old-rebuilt.img", images / "new-rebuilt.img"
    run(tool, old, new, "-o", tmp_path / "diff", "-a", compression)
    with open(tmp_path / "diff", "rb") as file:
        assert file.read(32) == (b"update\0\0\0\x0c\0\0\x10\0\0\0" +
                                 compression.encode().ljust(16, b"\0"))
    run(BOWLINE, "apply", old, tmp_path / "diff", "-o", tmp_path / "made")
    assert filecmp.cmp(tmp_path / "made", new, False)


LETTERS = bytes(b"acgt"[i % 4] for i in range(256))


def modules(code):
    """Files of one kind, and later versions of them in another order: every
    file moves, and has a change every few hundred bytes. @code makes them out
    of noise."""
    shared = code(noise(40000, 90))
    old, new = {}, {}
    for i in range(60):
        body = code(noise(60000 + i % 7 * 9000, i)) + \
            shared[i * 500 % 20000:][:20000]
        edited = bytearray(body)
        for at in range(i, len(edited), 900):
            edited[at] ^= 255
        grown = code(noise(i % 5 * 3500, 190 + i))
        old[f"lib/{i:02}.ko"] = body
        new[f"lib/{i * 37 % 60 + i % 3 * 7:03}-{i}.ko"] = \
            bytes(edited) + grown if i % 2 else bytes(edited[:-len(grown) - 1])
    return old, new


def images_of(folder, code):
    for name, files in zip(("old", "new"), modules(code)):
        write_tree(folder / name, files)
        ext4(folder / name, folder / f"{name}-rebuilt.img")


@pytest.fixture(scope="module")
def moved(tmp_path_factory):
    """Files of few different letters, which can be had without old bytes."""
    folder = tmp_path_factory.mktemp("moved")
    images_of(folder, lambda noises: noises.translate(LETTERS))
    return folder


def writes(folder, diff, *options):
    """What the merge writes, as parts of what changes, and in how many
    requests what changes."""
    answer = make(folder, "rebuilt", diff, "--explain", *options).stdout
    total, changed, requests, saved, records, ratio = map(float, re.search(
        r"^writes +([\d.]+) KiB: ([\d.]+) changed in (\d+) requests, ([\d.]+) "
        r"saved, ([\d.]+) of records; ([\d.]+) of what changes", answer,
        re.M).groups())
    assert total == changed + saved + records
    assert requests >= changed / 1024
    return ratio, requests / changed * 1024


@pytest.mark.parametrize("percent, most", [(300, 1.28), (110, 1.12),
                                           (100, 1.02)])
def test_a_merge_saves_little(moved, percent, most, tmp_path):
    diff = tmp_path / "diff"
    assert 1 < writes(moved, diff, "--merge-writes", percent)[0] <= most
    assert proven(moved, "rebuilt", diff, tmp_path)


def test_a_diff_does_not_grow_by_what_is_saved(tmp_path):
    """Noise has nothing but old bytes to lean on."""
    images_of(tmp_path, bytes)
    usual, _ = writes(tmp_path, tmp_path / "usual", "--merge-writes", 300)
    least, _ = writes(tmp_path, tmp_path / "least", "--merge-writes", 100)
    assert 1.1 < least <= usual
    assert (tmp_path / "least").stat().st_size < \
        1.1 * (tmp_path / "usual").stat().st_size
    assert proven(tmp_path, "rebuilt", tmp_path / "least", tmp_path)


def compiled(size, changes):
    """Bytes that compress to a third, and a later version of the same: a few
    others every few hundred bytes, and here and there some more."""
    words = [noise(4 + i % 5, i % 256) for i in range(600)]
    choices = noise(2 * size, 77)
    old = b"".join(words[(choices[i] << 8 | choices[i + 1]) % 600]
                   for i in range(0, 2 * size, 2))[:size]
    new = bytearray()
    for i, at in enumerate(range(0, size, changes)):
        new += old[at:at + changes]
        new[-4:-2] = noise(2, i % 256)
        new += noise(i * 7 % 30, i % 256) if not i % 40 else b""
    return old, bytes(new)


def test_what_is_replaced_in_its_place_leans_on_what_was_there(tmp_path):
    """Though its merge saves all of that: a byte of the diff is worth more."""
    old, new = compiled(400_000, 300)
    for name, data in (("old", old), ("new", new)):
        (tmp_path / f"{name}-rebuilt.img").write_bytes(
            noise(1 << 19, 1) + data.ljust(100 << 12, b"\0"))
    most, _ = writes(tmp_path, tmp_path / "most", "--merge-writes", 300)
    usual, _ = writes(tmp_path, tmp_path / "usual")
    assert 1.9 < usual <= most < 2.1
    assert (tmp_path / "usual").stat().st_size <= \
        1.1 * (tmp_path / "most").stat().st_size
    assert (tmp_path / "usual").stat().st_size < len(new) / 20
    assert proven(tmp_path, "rebuilt", tmp_path / "usual", tmp_path)


def test_neighbours_are_written_together(moved, tmp_path):
    """Although each chunk has an epoch of its own to be cheapest in."""
    _, per_mib = writes(moved, tmp_path / "diff", "--merge-writes", 300)
    assert per_mib < 10


def writes_between(folder, old, new):
    """The same for two images; the diff is folder/diff."""
    for name, image in (("old", old), ("new", new)):
        (folder / f"{name}-rebuilt.img").write_bytes(image)
    return writes(folder, folder / "diff", "--level", "1")


def test_a_few_saves_are_worth_long_writes(tmp_path):
    """Every third row of 64 KiB leans on another row, in circles: without saves
    each of them has an epoch of its own. 25 MiB need two epochs, 26 requests."""
    row, count = 64 << 10, 400
    old = noise(count * row, 21)
    new = bytearray(noise(count * row, 22))
    for i in range(0, count, 3):
        there = i * 37 % count * row + 777
        new[i * row + 5000:i * row + 14000] = old[there:there + 9000]
    ratio, per_mib = writes_between(tmp_path, old, new)
    assert per_mib <= 1.2
    assert ratio <= 1.09
    assert proven(tmp_path, "rebuilt", tmp_path / "diff", tmp_path)


def test_short_rows_do_not_split_long_ones(tmp_path):
    """What leans on what, and where, is left to chance. Settled step by step a
    row of three or four in an epoch of its own stays there: 29 requests."""
    rng = random.Random(18)
    row, count = 64 << 10, 400
    old = noise(count * row, 21)
    new = bytearray(noise(count * row, 22))

    def lean(size, to):
        there = rng.randrange(count * row - size)
        new[to:to + size] = old[there:there + size]
    for i in range(count):
        for _ in range(rng.randrange(1, 4) if rng.random() < 0.2 else 0):
            size = rng.randrange(2000, 16000)
            lean(size, i * row + rng.randrange(row - size))
    for _ in range(4):
        lean(3 * row, rng.randrange(count - 3) * row)
    ratio, per_mib = writes_between(tmp_path, old, new)
    assert per_mib <= 1.05
    assert ratio <= 1.1
    assert proven(tmp_path, "rebuilt", tmp_path / "diff", tmp_path)


def reads(work, new):
    """Of old bytes, for a chunk, where they are 40 places in 4 MiB of noise."""
    old = noise(4 << 20, 11)
    (work / "old").write_bytes(old)
    (work / "new").write_bytes(new(old))
    answer = run(BOWLINE, "diff", "--level", "3", work / "old", work / "new",
                 "-o", work / "diff", "--explain").stdout
    run(BOWLINE, "apply", "--check", work / "old", work / "diff")
    return float(re.search(r"ranges in ([\d.]+) reads$", answer, re.M)[1])


@pytest.mark.parametrize("there, least, most", [(500, 0, 0), (1500, 35, 40)])
def test_what_gives_little_is_not_read(tmp_path, there, least, most):
    """One chunk that has @there bytes in common with each place."""
    def new(old):
        rows = [old[100000 * i + 77:][:there] + noise(1600 - there, 50 + i)
                for i in range(40)]
        return b"".join(rows).ljust(64 << 10, b"x")
    assert least <= reads(tmp_path, new) <= most
