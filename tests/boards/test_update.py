# SPDX-License-Identifier: GPL-2.0-or-later
"""The update that works, and boots in which nothing happens."""

import re

import pytest

from updates import run, sha256, user_files


def test_a_good_update(updated, fresh, out, tmp_path):
    """New system, merged; the user's data as the new system left it; both
    kernels; at most three stores and one an attempt."""
    env = updated.environment.values()
    assert re.fullmatch(r"committed [0-9a-f]{16}", env["bowline_last"])
    assert env["bowline_phase"] == "idle"
    assert env["BOOT_ORDER"] == "B A"
    assert env["BOOT_B_LEFT"] == "3"
    for partition, image in (("system", "system-2.img"),
                             ("boot-b", "slot-2.itb")):
        size = (out / image).stat().st_size
        assert updated.partition(partition).sha256(size) == sha256(out / image)
    before, after = (user_files(i, tmp_path) for i in (fresh, updated))
    assert {n: h for n, h in after.items() if n in before} == before
    assert set(after) - set(before) == {"mine", "yours"}
    stores = updated.environment.writes_since(fresh.environment.current().serial)
    assert stores <= 3 + 1


def test_an_update_of_the_kernel_alone(bench, fresh, out, top, tmp_path):
    """The other slot's kernel is tried and kept; the system stays."""
    bundle = tmp_path / "kernel.bundle"
    run(top / "out/host/bowline", "bundle", "--board", "qemu-arm64",
        "--version", "2", "--boot", out / "slot-2.itb", "--key",
        top / "out/keys/development.key", "-o", bundle)
    device = bench(fresh, bundle=bundle)
    board = device.board
    board.power_on()
    board.boot()
    board.ok(device.drives.install(), 180)
    board.reboot()
    assert board.kernel() == {"slot": "B", "attempt": "1"}
    board.shell()
    board.until("bowline status", r"(?m)^phase +idle$", 240)
    assert board.ok("echo $IMAGE_VERSION") == "1"
    board.poweroff()
    assert device.env["BOOT_ORDER"] == "B A"
    assert device.env["bowline_last"].startswith("committed ")
    assert device.images.partition("system").sha256() == \
        fresh.partition("system").sha256()


def test_the_trial_wrote_nothing_to_the_system(bench, installed, fresh):
    """Until the commit the update is only shown."""
    device = bench(installed)
    board = device.board
    board.power_on()
    board.boot()
    assert board.ok("echo $IMAGE_VERSION") == "2"
    assert "no_bg_update" in board.ok("dmsetup table bowline-system")
    board.ok("sleep 3")  # time for a merge that must not be there
    board.power_cut()
    assert device.images.partition("system").sha256() == \
        fresh.partition("system").sha256()


def test_every_attempt_starts_from_the_same_data(bench, installed):
    """Also when the attempt before it ended without a power cut."""
    device = bench(installed)
    board = device.board
    board.power_on()
    board.boot()
    board.ok("echo lost >/data/first; rm /data/mine; sync")
    board.reboot()
    assert board.kernel() == {"slot": "B", "attempt": "2"}
    board.shell()
    assert board.run("cat /data/mine /data/first") == (
        1, "precious\ncat: /data/first: No such file or directory")


def test_ordinary_boots_store_nothing(bench, fresh):
    device = bench(fresh)
    board = device.board
    board.power_on()
    board.boot()
    board.reboot()
    board.boot()
    board.power_cut()
    assert device.stores() == 0


# Ten moments of a boot, by what the console says then.
MOMENTS = ["U-Boot 20", "Loading Environment", "Hit any key", "bowline: slot",
           "Loading kernel from FIT", "Starting kernel|Booting Linux",
           "Run /init", "mmcblk0: ", "step system-plain", "step data-plain"]


def test_ten_power_cuts_of_a_committed_system_change_nothing(
        bench, updated):
    device = bench(updated)
    board = device.board
    data = device.files()
    system = device.images.partition("system").sha256()
    for moment in MOMENTS:
        board.power_on()
        board.expect(moment)
        board.power_cut()
    board.power_on()
    assert board.kernel() == {"slot": "B"}
    board.shell()
    assert board.ok("echo $IMAGE_VERSION") == "2"
    board.poweroff()
    assert device.stores() == 0
    assert device.images.partition("system").sha256() == system
    assert device.files() == data


@pytest.mark.parametrize("moment", ["step record-commit", "step system-merge",
                                    "shell"])
def test_power_is_cut_after_the_commit(bench, installed, moment):
    """There is only forward: the next boots finish what the commit began."""
    device = bench(installed)
    board = device.board
    device.images.environment.set(bowline_phase="commit")
    board.power_on()
    if moment == "shell":
        board.boot()
    else:
        board.expect(moment)
    board.power_cut()
    board.power_on()
    assert board.kernel()["slot"] == "B"
    board.shell()
    board.until("bowline status", r"(?m)^phase +idle$", 240)
    assert board.ok("echo $IMAGE_VERSION") == "2"
    board.poweroff()
    assert device.env["bowline_last"].startswith("committed ")
