# SPDX-License-Identifier: GPL-2.0-or-later
"""`bowline diff --explain` per file of the new image, on file systems that the
tools of their makers made."""

import os
import pathlib
import re
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from host import BOWLINE, noise, run  # noqa: E402

OLD = {f"lib/{i:02}": noise(9000 + 100 * i, i) for i in range(40)}
OLD["bin/large"] = noise(400000, 90)
OLD["bin/grown"] = noise(150000, 91)
NEW = dict(OLD)
NEW["bin/grown"] = noise(150000, 91) + noise(160000, 92)
NEW["deep/in/a tree/n\"ew"] = noise(300000, 93)
GROWN, ADDED = 160000, 300000


def ext(options):
    def make(tree, image):
        run("mke2fs", "-q", "-d", tree, *options, image, "8M")
    return make


def squashfs(tree, image):
    run("mksquashfs", tree, image, "-quiet", "-no-progress")


def erofs(tree, image):
    run("mkfs.erofs", "-zlz4hc", image, tree)


KINDS = {"ext4": ext(["-t", "ext4", "-b", "4096"]),
         "ext4-1k": ext(["-t", "ext4", "-b", "1024"]),
         "ext2": ext(["-t", "ext2", "-b", "1024"]),
         "squashfs": squashfs, "erofs": erofs}


def write_tree(folder, files):
    for path, contents in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(contents)


def images(folder, make, old=None, new=None):
    for name, files in (("old", old or OLD), ("new", new or NEW)):
        write_tree(folder / name, files)
        make(folder / name, folder / f"{name}.img")


def explain(folder, **kwargs):
    return run(BOWLINE, "diff", "old.img", "new.img", "-o", "diff", "--level",
               "1", "--explain", cwd=folder, **kwargs).stdout


def by_file(text):
    return [(name, float(size) * 1024) for size, name in
            re.findall(r"(?m)^file +([\d.]+) KiB stored  (.*)$", text)]


def stored(text):
    """What the row of all stored data says."""
    return 1024 * float(re.search(r"(?m)^data .* ([\d.]+) KiB stored",
                                  text)[1])


@pytest.mark.parametrize("kind", KINDS)
def test_the_files_that_made_it_large_come_first(tmp_path, kind):
    images(tmp_path, KINDS[kind])
    text = explain(tmp_path)
    (first, most), (second, less) = by_file(text)[:2]
    assert (first, second) == ("/deep/in/a tree/n\"ew", "/bin/grown")
    # squashfs keeps the end of a file, less than 128 KiB, with other ends
    end = (128 << 10) if kind == "squashfs" else 0
    assert ADDED - end - 8192 < most < ADDED + 8192
    assert GROWN - end - 8192 < less < GROWN + 8192


@pytest.mark.parametrize("kind", KINDS)
def test_the_rows_are_all_that_is_stored(tmp_path, kind):
    images(tmp_path, KINDS[kind])
    text = explain(tmp_path)
    rows = by_file(text)
    assert rows[-1][0].startswith("(no file alone: ")
    assert sum(size for _, size in rows) == pytest.approx(
        stored(text), abs=64 * len(rows))
    sizes = [size for _, size in rows[:-2]]
    assert sizes == sorted(sizes, reverse=True)


def test_of_many_files_the_largest_are_named(tmp_path):
    new = {f"lib/{i:02}": noise(4096 * (i + 1), 100 + i) for i in range(40)}
    images(tmp_path, KINDS["ext4"], new=new)
    names = [name for name, _ in by_file(explain(tmp_path))]
    assert names == [f"/lib/{i:02}" for i in range(39, 19, -1)] + [
        "(20 other files)",
        "(no file alone: metadata, free blocks, shared blocks)"]


def test_without_the_tool_the_rest_is_said(tmp_path):
    images(tmp_path, squashfs)
    text = explain(tmp_path, env={**os.environ, "PATH": "/nowhere"})
    assert ("no sizes per file of 'new.img': rdsquashfs is not installed\n"
            in text)
    assert stored(text) > ADDED


@pytest.mark.parametrize("kind, tool", [
    ("squashfs", "rdsquashfs"), ("ext4", "debugfs"), ("erofs", "dump.erofs")])
def test_an_image_that_its_tool_refuses(tmp_path, kind, tool):
    images(tmp_path, KINDS[kind])
    image = bytearray((tmp_path / "new.img").read_bytes())
    for start, end in ((4, 1024), (1028, 1080), (1082, len(image))):
        image[start:end] = bytes(end - start)  # all but the magic numbers
    (tmp_path / "new.img").write_bytes(image + noise(ADDED, 1))
    assert (f"no sizes per file of 'new.img': {tool} fails\n"
            in explain(tmp_path))


def test_other_images_have_no_files(tmp_path):
    (tmp_path / "old.img").write_bytes(noise(100000, 1))
    (tmp_path / "new.img").write_bytes(noise(1000, 2))
    assert ("no sizes per file of 'new.img': it is not ext4, squashfs or erofs"
            in explain(tmp_path))
