# SPDX-License-Identifier: GPL-2.0-or-later
"""The real U-Boot on the emulated board, without our system: slots hold a
kernel and an initramfs that prints its command line. What the sandbox cannot
show is shown here: loading and checking of images, storing the environment.
"""

import subprocess

import pytest

from board import Board, ConsoleError, KERNEL_START, UBOOT_BANNER
from fit import make
from image import Images, env_bytes

MIB = 1 << 20

INIT = """\
#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
while :; do
/bin/busybox echo "@cmdline $(/bin/busybox cat /proc/cmdline)"
/bin/busybox sleep 5
done
"""


def make_initramfs(folder, busybox):
    root = folder / "root"
    for name in ("bin", "proc", "dev"):
        (root / name).mkdir(parents=True)
    (root / "bin/busybox").write_bytes(busybox.read_bytes())
    (root / "bin/busybox").chmod(0o755)
    (root / "init").write_text(INIT)
    (root / "init").chmod(0o755)
    return subprocess.run(["cpio", "-o", "-H", "newc", "--quiet"], cwd=root,
                          input=b"init\nbin\nbin/busybox\nproc\ndev\n",
                          check=True, capture_output=True).stdout


@pytest.fixture(scope="session")
def slot(tmp_path_factory, top, out):
    """A bootable slot image."""
    folder = tmp_path_factory.mktemp("fit")
    deb = subprocess.run([top / "scripts/deb.sh", "updates", "arm64",
                          "busybox-static"], check=True, text=True,
                         capture_output=True).stdout.strip()
    return make(folder, (out / "kernel/Image").read_bytes(),
                make_initramfs(folder, top / deb / "bin/busybox"))


@pytest.fixture
def images(tmp_path, conf, out, slot):
    """A card with a good image in both slots, an empty disk."""
    card = tmp_path / "card.img"
    with open(card, "wb") as f:
        f.truncate(int(conf["CARD_SIZE"]) * MIB)
    size = f"size={conf['SIZE_BOOT']}MiB"
    table = ("label: gpt\nfirst-lba: 4096\n"
             f"{size}, name=boot-a\n{size}, name=boot-b\n")
    subprocess.run(["sfdisk", "-q", card], input=table, text=True, check=True)
    with open(tmp_path / "disk.img", "wb") as f:
        f.truncate(MIB)
    images = Images(tmp_path, conf)
    for name in ("boot-a", "boot-b"):
        images.partition(name).write(slot)
    lines = (out / "u-boot-initial-env").read_text().splitlines()
    values = dict(line.split("=", 1) for line in lines)
    for copy, serial in enumerate((1, 0)):
        raw = env_bytes(values, serial, images.environment.size)
        images.environment.write_raw(copy, raw)
    return images


@pytest.fixture
def board(images, out, tmp_path):
    with Board(images, out, tmp_path / "console.log") as board:
        yield board


def arguments(board):
    """Waits until the initramfs runs; the bowline.* part of its command line."""
    line = board.expect(r"@cmdline (.*)\n").group(1)
    return " ".join(a for a in line.split() if a.startswith("bowline."))


def boot(board):
    """One boot from power on to power off: (arguments, stores, variables)."""
    before = board.images.environment.current().serial
    board.power_on()
    found = arguments(board)
    board.power_cut()
    env = board.images.environment
    return found, env.writes_since(before), env.values()


def test_an_ordinary_boot_stores_nothing(board):
    found, stores, _ = boot(board)
    assert (found, stores) == ("bowline.slot=A", 0)


def test_a_trial_counts_down_and_falls_back(board):
    board.images.environment.set(bowline_phase="trial", bowline_trial="B",
                         BOOT_ORDER="B A", BOOT_B_LEFT="2")
    found, stores, env = boot(board)
    assert (found, stores) == ("bowline.slot=B bowline.attempt=2", 1)
    assert env["BOOT_B_LEFT"] == "1"
    # The copy that counted before is still there, as it was.
    assert [c.serial for c in board.images.environment.copies()] == [1, 2]
    found, stores, env = boot(board)
    assert (found, stores) == ("bowline.slot=B bowline.attempt=3", 1)
    assert env["BOOT_B_LEFT"] == "0"
    assert not [n for n in env if n.startswith("bl_")]
    found, stores, env = boot(board)
    assert (found, stores) == ("bowline.slot=A", 0)


def test_power_is_cut_while_the_count_is_stored(board):
    """One copy is whole at any time, and no attempt comes back."""
    board.images.environment.set(bowline_phase="trial", bowline_trial="B",
                                 BOOT_ORDER="B A", BOOT_B_LEFT="9")
    before = 9
    for _ in range(5):
        board.power_on()
        board.expect("Writing to (redundant )?MMC", unless=KERNEL_START)
        board.power_cut()
        left = int(board.images.environment.values()["BOOT_B_LEFT"])
        assert left in (before, before - 1)
        before = left


@pytest.mark.parametrize("what", ["hash", "header", "size"])
def test_a_damaged_image_falls_through(board, what):
    slot = board.images.partition("boot-a")
    if what == "hash":
        slot.flip(5 * MIB)
    elif what == "header":
        slot.flip(0)
    else:
        slot.write(b"\x7f", 4)  # a total size beyond the partition
    found, stores, _ = boot(board)
    assert (found, stores) == ("bowline.slot=B bowline.failed=A", 0)


def test_an_attempt_that_fails_to_load_is_counted_once(board):
    board.images.environment.set(bowline_phase="trial", bowline_trial="B",
                         BOOT_ORDER="B A")
    board.images.partition("boot-b").flip(5 * MIB)
    found, stores, env = boot(board)
    assert (found, stores) == ("bowline.slot=A bowline.failed=B", 1)
    assert env["BOOT_B_LEFT"] == "2"


def test_a_store_keeps_only_what_belongs_there(board):
    """Slot A failed before B's attempt is stored, and left nothing behind."""
    board.images.environment.set(bowline_phase="trial", bowline_trial="B")
    board.images.partition("boot-a").flip(5 * MIB)
    before = board.images.environment.values()
    found, stores, after = boot(board)
    assert (found, stores) == \
        ("bowline.slot=B bowline.attempt=1 bowline.failed=A", 1)
    for own in ("fdtcontroladdr", "stdin", "stdout", "stderr"):
        after.pop(own)  # U-Boot's own, set anew in every boot
    assert after == {**before, "BOOT_B_LEFT": "2"}


def test_rescue_when_no_slot_may_be_booted(board):
    board.images.environment.set(BOOT_A_LEFT="0", BOOT_B_LEFT="0", BOOT_ORDER="B A")
    board.power_on()
    board.expect("no slot left to boot: rescue")
    assert arguments(board) == "bowline.slot=B bowline.rescue=1"


def test_reset_when_nothing_loads(board):
    for name in ("boot-a", "boot-b"):
        board.images.partition(name).flip(0)
    board.power_on()
    board.expect("no slot can be booted: reset in 10 seconds",
                 unless=KERNEL_START)
    board.expect(UBOOT_BANNER)


@pytest.mark.parametrize("copy", [0, 1])
def test_one_damaged_copy_of_the_environment(board, copy):
    """The older copy is newer by one serial after a store: both hold B A."""
    board.images.environment.set(BOOT_ORDER="B A")
    board.images.environment.damage(copy)
    found, stores, _ = boot(board)
    assert (found, stores) == ("bowline.slot=B", 0)


def test_both_copies_lost_boots_the_defaults(board):
    board.images.environment.damage(0)
    board.images.environment.damage(1)
    board.power_on()
    assert arguments(board) == "bowline.slot=A"


def test_the_prompt_steers_the_slots(board):
    board.power_on()
    board.uboot_prompt()
    assert board.uboot("printenv BOOT_ORDER") == (0, "BOOT_ORDER=A B")
    assert board.uboot("false")[0] == 1
    assert board.uboot('setenv BOOT_ORDER "B A"; saveenv')[0] == 0
    board.send("reset\n")
    assert arguments(board) == "bowline.slot=B"


def test_the_driver_notices_what_does_not_come(board):
    board.power_on()
    with pytest.raises(ConsoleError, match="not within 0.5 s"):
        board.expect("never said", 0.5)
    with pytest.raises(ConsoleError, match="got"):
        board.expect("never said", unless=UBOOT_BANNER)
