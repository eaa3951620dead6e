# SPDX-License-Identifier: GPL-2.0-or-later
"""The data log in the field: what each BOW_DAMAGED does with a log that does
not add up, and each BOW_NO_SPACE with a file system that gets full."""

import re
import subprocess
from pathlib import Path

import pytest

import fit
from updates import check_fs, tree

SAMPLES = Path(__file__).resolve().parents[1] / "data/bow"
ENTRY = re.compile(r"entry \d+: (\d+) bytes of sector (\d+) at (\d+), checksum "
                   r"good")


# ---- a board with another board file ----------------------------------------


def initramfs(out, folder, lines):
    """The initramfs of slot 1 with more lines in its board file: a second
    archive behind the first."""
    etc = folder / "more/etc/bowline"
    etc.mkdir(parents=True, exist_ok=True)
    conf = (out / "board.conf").read_text()
    (etc / "board.conf").write_text(conf + "".join(f"{x}\n" for x in lines))
    more = subprocess.run(
        ["cpio", "-o", "-H", "newc", "--quiet"], cwd=folder / "more",
        input=b"etc/bowline/board.conf\n", capture_output=True, check=True)
    first = subprocess.run(["zstd", "-dqc", out / "initramfs-1.cpio.zst"],
                           capture_output=True, check=True)
    return subprocess.run(["zstd", "-qc", "-1"], input=first.stdout + more.stdout,
                          capture_output=True, check=True).stdout


@pytest.fixture
def board_file(out, tmp_path):
    """board_file(device, slot, lines): the slot's kernel has these lines."""
    def write(device, slot, *lines):
        kernel = (out / "kernel/Image").read_bytes()
        device.images.partition(f"boot-{slot}").write(
            fit.make(tmp_path, kernel, initramfs(out, tmp_path, lines)))
    return write


# ---- damaged logs ------------------------------------------------------------


@pytest.fixture(scope="session")
def bowline(top):
    def run(*arguments):
        return subprocess.run([top / "out/host/bowline", *arguments],
                              capture_output=True, text=True)
    return run


@pytest.fixture
def cut_trial(bench, installed):
    """A device whose trial was cut off and then called off."""
    device = bench(installed)
    device.board.power_on()
    device.board.boot()
    device.board.ok("sync")
    device.board.power_cut()
    device.images.environment.set(bowline_phase="rollback")
    return device


def rot_backup(device, bowline, folder):
    """One byte of one backup; the sectors that it was of."""
    data = device.images.partition("data")
    part = data.extract(folder / "damaged.part")
    entries = ENTRY.findall(bowline("inspect", part).stdout)
    part.unlink()
    size, source, dest = map(int, entries[len(entries) // 2])
    data.flip(dest * 512 + 100)
    return range(source, source + size // 512)


def break_header(device):
    """A count that does not fit."""
    device.images.partition("data").write(b"\xff\xff", 12)


def log_is_there(device):
    return device.images.partition("data").read(0, 4) in (b"BOW\0", b"WOB\0")


def files(device, folder):
    """Of the data, sound and without a log."""
    assert not log_is_there(device)
    data = device.images.partition("data").extract(folder / "after.part")
    check_fs(data)
    found = tree(data)
    data.unlink()
    return found


def last_is(device, outcome):
    return re.fullmatch(rf"rolled-back [0-9a-f]{{16}} data log damaged: "
                        rf"{outcome}; .*", device.env["bowline_last"])


def boot(device):
    """To the shell of the old system; the console until then."""
    device.board.power_on()
    device.board.boot()
    assert device.board.ok("echo $IMAGE_VERSION") == "1"
    return device.board.seen


def test_salvage_is_what_a_board_does(cut_trial, bowline, old_data, tmp_path):
    """One backup rots: all other data is the old, and the file system sound."""
    lost = rot_backup(cut_trial, bowline, tmp_path)
    console = boot(cut_trial)
    assert f"sectors {lost[0]} to " in console
    assert "bowline: fsck.ext4: " in console
    cut_trial.board.ok("echo works >/data/works; sync")
    cut_trial.board.poweroff()
    assert last_is(cut_trial, "salvaged, in part")
    found = files(cut_trial, tmp_path)
    same = [name for name in old_data if found.get(name) == old_data[name]]
    assert len(same) > 0.9 * len(old_data)
    assert "works" in found


def test_salvage_without_a_header(cut_trial, old_data, tmp_path):
    """The entries prove themselves: nothing is lost."""
    break_header(cut_trial)
    console = boot(cut_trial)
    assert "it counts more entries than fit" in console
    cut_trial.board.poweroff()
    assert last_is(cut_trial, "salvaged, in part")
    found = files(cut_trial, tmp_path)
    assert {n: h for n, h in found.items() if n in old_data} == old_data


@pytest.mark.parametrize("damage", ["backup", "header"])
def test_keep(cut_trial, bowline, board_file, tmp_path, damage):
    board_file(cut_trial, "a", "BOW_DAMAGED=keep")
    if damage == "backup":
        rot_backup(cut_trial, bowline, tmp_path)
    else:
        break_header(cut_trial)
    console = boot(cut_trial)
    assert "bowline: fsck.ext4: " in console
    assert cut_trial.board.ok("cat /data/written-in-the-trial") == "wait"
    cut_trial.board.poweroff()
    assert last_is(cut_trial, "kept, data not restored")
    assert "written-in-the-trial" in files(cut_trial, tmp_path)


def test_stop(cut_trial, board_file):
    """The old system without data, boot after boot; nothing is written."""
    board_file(cut_trial, "a", "BOW_DAMAGED=stop")
    break_header(cut_trial)
    before = cut_trial.images.partition("data").sha256()
    for _ in range(2):
        assert "bowline: EMERGENCY: data log damaged" in boot(cut_trial)
        assert "/data" not in cut_trial.board.ok("cat /proc/mounts")
        cut_trial.board.poweroff()
    assert last_is(cut_trial, "stopped, data not mounted")
    assert cut_trial.images.partition("data").sha256() == before
    assert cut_trial.stores() == 1 + 1  # and one of the attempt


@pytest.mark.parametrize("name", sorted(
    path.name.split(".")[0] for path in SAMPLES.glob("bad_*.img.zst")))
def test_damaged_samples_come_up(bench, fresh, tmp_path, name):
    """Logs of the published target, found by an ordinary boot."""
    device = bench(fresh)
    image = subprocess.run(
        ["zstd", "-dqc", SAMPLES / f"{name}.state1.img.zst"],
        capture_output=True, check=True).stdout
    device.images.partition("data").write(image)
    boot(device)
    mounted = "/data" in device.board.ok("cat /proc/mounts")
    device.board.poweroff()
    assert not log_is_there(device)
    if name == "bad_magic_zero":  # no log, so nobody knows of a block 0
        return
    assert mounted
    assert "data log damaged: salvaged, in part" in device.env["bowline_last"]
    files(device, tmp_path)


# ---- no space ----------------------------------------------------------------


def fill(board):
    """All that is free, and then over the user's files: the file system
    keeps some blocks for itself, which are room for their backups."""
    board.run("cat /dev/zero >/data/fill 2>/dev/null; sync", 400)
    board.run("for f in /data/media/*; do dd if=/dev/zero of=$f bs=1M "
              "count=1 conv=notrunc; done 2>/dev/null; sync", 400)


def status(board, key):
    found = re.search(rf"(?m)^{key} +(.*)$", board.ok("bowline status"))
    return found[1]


def test_full_and_fail(bench, installed, board_file, old_data):
    """Writes fail; the way back stays. A large write fails though there is
    room for a small one."""
    device = bench(installed)
    board = device.board
    board_file(device, "b", "BOW_LOW_WATER=16")
    board.power_on()
    board.boot()
    assert status(board, "room") == "ok"
    fill(board)
    target, state, *_, errors, room = status(board, "data").split()
    assert (target, state) == ("bow", "1") and int(errors) > 0
    assert room == status(board, "room") and room in ("low", "full")
    board.until("cat /var/log/health.log", f"room for the way back: {room}",
                60)
    board.ok("fw_setenv bowline_phase rollback")
    board.power_cut()
    board.power_on()
    board.boot()
    board.poweroff()
    assert device.files() == old_data


def test_full_and_release(bench, installed, board_file, tmp_path):
    """Writes go on; the old data is gone, and that is said at the end."""
    device = bench(installed)
    board = device.board
    board_file(device, "b", "BOW_NO_SPACE=release", "BOW_LOW_WATER=64")
    board.power_on()
    board.boot()
    fill(board)
    assert status(board, "room") == "released"
    board.until("cat /var/log/health.log", "room for the way back: released",
                60)
    board.ok("rm /data/fill; echo late >/data/late; sync")
    board.ok("fw_setenv BOOT_B_LEFT 0")
    board.reboot()
    board.boot()
    assert board.ok("cat /data/late") == "late"
    board.poweroff()
    assert "data not restored: no room" in device.env["bowline_last"]
    assert "late" in files(device, tmp_path)
