# SPDX-License-Identifier: GPL-2.0-or-later
"""What an operator may do with fw_setenv on the running device, one variable
at a time, and what the next boot makes of it."""

import re

import pytest


@pytest.fixture
def trial(bench, installed):
    """A device in its first attempt, at the shell; the check waits."""
    device = bench(installed)
    device.board.power_on()
    device.board.boot()
    assert device.board.ok("echo $IMAGE_VERSION") == "2"
    return device


def restart(device):
    """Reboots; what U-Boot tells the next kernel, and the shell's system."""
    device.board.reboot()
    told = device.board.kernel()
    device.board.shell()
    return told, device.board.ok("echo $IMAGE_VERSION")


def assert_old_data(device, old_data):
    device.board.poweroff()
    assert device.files() == old_data


def test_boot_order_chooses_the_other_slot(bench, fresh):
    device = bench(fresh)
    device.board.power_on()
    device.board.boot()
    device.board.ok("fw_setenv BOOT_ORDER 'B A'")
    assert restart(device) == ({"slot": "B"}, "1")
    device.board.ok("fw_setenv BOOT_ORDER 'A B'")
    assert restart(device) == ({"slot": "A"}, "1")


def test_left_0_closes_a_slot(bench, fresh):
    device = bench(fresh)
    device.board.power_on()
    device.board.boot()
    device.board.ok("fw_setenv BOOT_A_LEFT 0")
    assert restart(device) == ({"slot": "B"}, "1")
    device.board.ok("fw_setenv BOOT_A_LEFT 1")
    assert restart(device) == ({"slot": "A"}, "1")


def test_phase_rollback_in_a_trial(trial, old_data):
    trial.board.ok("fw_setenv bowline_phase rollback")
    assert restart(trial) == ({"slot": "A"}, "1")
    assert_old_data(trial, old_data)
    assert trial.env["bowline_phase"] == "idle"
    assert trial.env["bowline_last"].endswith(" requested")


def test_phase_commit_in_a_trial(trial):
    trial.board.ok("echo kept >/data/kept; sync")
    trial.board.ok("fw_setenv bowline_phase commit")
    told, version = restart(trial)
    assert (told["slot"], version) == ("B", "2")
    assert trial.board.ok("cat /data/kept") == "kept"
    trial.board.until("bowline status", r"(?m)^phase +idle$", 240)
    assert trial.env["bowline_last"].startswith("committed ")
    # The way back is gone, not only not taken.
    assert restart(trial) == ({"slot": "B"}, "2")
    assert trial.board.ok("cat /data/kept") == "kept"
    assert re.search(r"(?m)^data_log +none$", trial.board.ok("bowline status"))


def test_left_0_ends_a_trial(trial, old_data):
    trial.board.ok("fw_setenv BOOT_B_LEFT 0")
    assert restart(trial) == ({"slot": "A"}, "1")
    assert_old_data(trial, old_data)
    assert trial.env["bowline_phase"] == "idle"


def test_boot_order_ends_a_trial(trial, old_data):
    trial.board.ok("fw_setenv BOOT_ORDER A")
    assert restart(trial) == ({"slot": "A"}, "1")
    assert_old_data(trial, old_data)
    assert trial.env["bowline_last"].endswith(" other slot chosen")


def test_one_attempt_only(bench, fresh):
    """bowline_attempts is for the next trial."""
    device = bench(fresh, "panic")
    board = device.board
    board.power_on()
    board.boot()
    board.ok("fw_setenv bowline_attempts 1")
    board.ok(device.drives.install(), 180)
    board.reboot()
    assert board.kernel() == {"slot": "B", "attempt": "1"}
    assert board.kernel() == {"slot": "A"}
    board.shell()
    assert device.env["bowline_last"].startswith("rolled-back ")


def test_nonsense_is_reported_and_survived(bench, fresh):
    device = bench(fresh)
    board = device.board
    board.power_on()
    board.boot()
    for name in ("BOOT_ORDER", "BOOT_A_LEFT", "BOOT_B_LEFT", "bowline_phase",
                 "bowline_trial", "bowline_attempts"):
        board.ok(f"fw_setenv {name} 'no; \"sense'")
    board.reboot()
    assert board.kernel() == {"slot": "A"}
    board.expect("which is no legal value")
    board.shell()
    assert "sense" in board.ok("bowline status")


def test_the_environment_is_lost_in_a_trial(trial, old_data):
    """Both copies: U-Boot boots its defaults, the stage's record speaks."""
    trial.board.power_cut()
    for copy in (0, 1):
        trial.images.environment.damage(copy)
    trial.board.power_on()
    assert trial.board.kernel() == {"slot": "A"}
    trial.board.shell()
    assert_old_data(trial, old_data)
    assert trial.env["bowline_last"].endswith(" environment lost")
