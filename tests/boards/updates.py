# SPDX-License-Identifier: GPL-2.0-or-later
"""Updates made for a test, and what the host sees of a file system.

A system that fails on purpose is another one with a few files more: what lies
in /etc/boot.d runs before anything else, what lies in the folder of health
checks is a health check.
"""

import hashlib
import shutil
import subprocess
import tempfile
from pathlib import Path


def run(*argv):
    done = subprocess.run([str(a) for a in argv], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True)
    assert done.returncode == 0, (
        f"{argv[0]} ended with {done.returncode}: {done.stderr[-2000:]}")
    return done.stdout


def variant(system, to, files):
    """A copy of a system image with files {path: text}, all executable."""
    shutil.copyfile(system, to)
    with tempfile.TemporaryDirectory() as folder:
        commands = []
        for n, (path, text) in enumerate(files.items()):
            source = Path(folder, str(n))
            source.write_text(text)
            commands += [f"rm {path}", f"write {source} {path}",
                         f"set_inode_field {path} mode 0100755"]
        script = Path(folder, "script")
        script.write_text("\n".join(commands) + "\n")
        run("debugfs", "-w", "-f", script, to)
    check_fs(to)
    return Path(to)


def make_bundle(top, old, new, to, *, version, board="qemu-arm64", boot=None,
                key=None, level=3, diff_format=1):
    """A signed bundle of the diff between two images; returns its path."""
    bowline = top / "out/host/bowline"
    diff = Path(f"{to}.diff")
    run(bowline, "diff", old, new, "-o", diff, "--level", str(level),
        "--format", str(diff_format))
    run(bowline, "bundle", "--board", board, "--version", version,
        "--old", old, "--new", new, "--diff", diff,
        "--key", key or top / "out/keys/development.key", "-o", to,
        *(["--boot", boot] if boot else []))
    diff.unlink()
    return Path(to)


def drive(name, path):
    """QEMU arguments for one more disk, read-only: /dev/vdb, then vdc."""
    return ["-drive", f"if=none,id={name},file={path},format=raw,readonly=on",
            "-device", f"virtio-blk-pci,drive={name}"]


def stick(bundle):
    """QEMU arguments that show a bundle to the device as /dev/vdb."""
    return drive("stick", bundle)


def check_fs(image):
    """e2fsck changes nothing and finds nothing to mend."""
    run("e2fsck", "-fn", image)


def tree(image):
    """{path: SHA-256} of every file in an ext4 image."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        run("debugfs", "-R", f"rdump / {folder}", image)
        for path in sorted(Path(folder).rglob("*")):
            if path.is_file() and not path.is_symlink():
                name = str(path.relative_to(folder))
                found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def user_files(images, folder):
    """{path: hash} of the user's files on a device that is off; the file
    system must be sound, and no bow log may wait to undo its changes."""
    data = images.partition("data")
    assert data.read(0, 4) not in (b"BOW\0", b"WOB\0"), "a bow log is left"
    data = data.extract(folder / "data.part")
    check_fs(data)
    found = tree(data)
    data.unlink()
    return found


def sha256(path, size=None):
    """Of a file, or of its first bytes."""
    left = size if size is not None else Path(path).stat().st_size
    digest = hashlib.sha256()
    with open(path, "rb") as f:
        while left:
            piece = f.read(min(left, 1 << 20))
            assert piece, f"{path} is too short"
            digest.update(piece)
            left -= len(piece)
    return digest.hexdigest()
