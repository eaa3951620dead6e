# SPDX-License-Identifier: GPL-2.0-or-later
"""What all board tests share: the board under test, what was built, and
images of devices at the points of an update's life where tests begin. Those
are made once, in out/tests, under a name made of all that went in.
"""

import fcntl
import hashlib
import os
import re
import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import badsystem  # noqa: E402
from board import Board  # noqa: E402
from image import Images, board_conf  # noqa: E402
from updates import drive, user_files  # noqa: E402

TOP = Path(__file__).resolve().parents[2]
BOARD = os.environ.get("BOARD", "qemu-arm64")


@pytest.fixture(scope="session")
def top():
    return TOP


@pytest.fixture(scope="session")
def out():
    """What `make image` left for the board."""
    return TOP / "out" / BOARD


@pytest.fixture(scope="session")
def conf():
    return board_conf(TOP / "boards" / BOARD / "board.conf")


@pytest.fixture(scope="session")
def fresh(out, conf):
    """The images as they are built."""
    return Images(out, conf)


@pytest.fixture(scope="session")
def store(out):
    """The folder for what is made once from these inputs."""
    digest = hashlib.sha256()
    for path in [*sorted(out.glob("*.img")), out / "u-boot.bin",
                 out / "update-2.bundle", TOP / "out/host/bowline",
                 *sorted(Path(__file__).parent.glob("[bciu]*.py"))]:
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    folder = TOP / "out/tests" / f"boards-{digest.hexdigest()[:12]}"
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.parent.glob("boards-*"):
        if old != folder:
            shutil.rmtree(old, ignore_errors=True)
    return folder


def once(folder, make):
    """The folder, filled by make(folder); others who want it wait."""
    with open(folder.with_name(folder.name + ".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            part = folder.with_name(folder.name + ".part")
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir()
            make(part)
            part.rename(folder)
    return folder


class Drives:
    """Drives beside the board's own: /dev/vdb says how the bad system fails,
    /dev/vdc is a bundle."""

    def __init__(self, folder, bundle, mode="wait"):
        self.mode, self.bundle = folder / "mode", bundle
        self.set_mode(mode)

    def set_mode(self, mode):
        self.mode.write_bytes(mode.encode().ljust(512, b"\0"))

    def arguments(self):
        return [*drive("mode", self.mode), *drive("bundle", self.bundle)]

    def install(self):
        """The command that installs the bundle from its drive."""
        size = self.bundle.stat().st_size
        return f"head -c {size} /dev/vdc | bowline install -"


@pytest.fixture(scope="session")
def bad_bundle(store, out):
    def make(folder):
        badsystem.bundle(TOP, out, folder)
    return once(store / "bad", make) / "bad.bundle"


@pytest.fixture(scope="session")
def installed(store, out, conf, fresh, bad_bundle):
    """A device on which the bad update was installed; its trial is next."""
    def make(folder):
        images = fresh.copy(folder)
        drives = Drives(folder, bad_bundle)
        with Board(images, out, folder / "console.log",
                   drives.arguments()) as board:
            board.power_on()
            board.boot()
            board.ok("echo precious >/data/mine; sync")
            board.ok(drives.install(), 180)
            board.poweroff()
    return Images(once(store / "installed", make), conf)


@pytest.fixture(scope="session")
def old_data(tmp_path_factory, installed):
    """The user's files before the trial."""
    return user_files(installed, tmp_path_factory.mktemp("old"))


@pytest.fixture(scope="session")
def updated(store, out, conf, fresh):
    """A device that has been through a whole good update, and its log."""
    def make(folder):
        images = fresh.copy(folder)
        drives = Drives(folder, out / "update-2.bundle")
        with Board(images, out, folder / "console.log",
                   drives.arguments()) as board:
            board.power_on()
            board.boot()
            board.ok("echo precious >/data/mine; sync")
            board.ok(drives.install(), 180)
            board.reboot()
            board.boot()
            board.until("bowline status", r"(?m)^phase +idle$", 240)
            assert re.search(r"(?m)^data_log +none$",
                             board.ok("bowline status"))
            board.ok("echo new >/data/yours; sync")
            board.poweroff()
    return Images(once(store / "updated", make), conf)


class Bench:
    """One test's device: a copy of prepared images, its drives, its console."""

    def __init__(self, images, folder, out, bundle, mode):
        self.folder = folder
        self.images = images.copy(folder)
        self.drives = Drives(folder, bundle, mode)
        self.board = Board(self.images, out, folder / "console.log",
                           self.drives.arguments())
        self.serial = self.images.environment.current().serial

    @property
    def env(self):
        return self.images.environment.values()

    def files(self):
        return user_files(self.images, self.folder)

    def stores(self):
        """Stores of the environment since the test began."""
        return self.images.environment.writes_since(self.serial)


@pytest.fixture
def bench(tmp_path, out, bad_bundle):
    """bench(images, mode): a device for this test, off."""
    made = []

    def make(images, mode="wait", bundle=None):
        made.append(Bench(images, tmp_path, out, bundle or bad_bundle, mode))
        return made[-1]
    yield make
    for each in made:
        each.board.close()
