# SPDX-License-Identifier: GPL-2.0-or-later
"""The ways in which an update can fail. Each ends with the old system, the old
data, and the reason in bowline_last; after three attempts, or after one when
there is no doubt."""

import re

import pytest

import fit
from board import UBOOT_BANNER

MIB = 1 << 20
THREE_ATTEMPTS = [{"slot": "B", "attempt": "1"}, {"slot": "B", "attempt": "2"},
                  {"slot": "B", "attempt": "3"}, {"slot": "A"}]


def update_id(bench):
    return bench.env["bowline_update"]


def assert_rolled_back(bench, old_data, update, reason, fresh):
    """The device, which is off, is what it was before the update."""
    env = bench.env
    assert re.fullmatch(f"rolled-back {update} {reason}", env["bowline_last"])
    assert env["bowline_phase"] == "idle"
    assert env["BOOT_ORDER"] == "A B"
    assert "bowline_trial" not in env and "bowline_update" not in env
    assert bench.files() == old_data
    assert bench.images.partition("system").sha256() == \
        fresh.partition("system").sha256(), "the system was written to"


@pytest.fixture
def fails(bench, installed, old_data, fresh):
    """fails(mode, reason): the bad system fails in a way, three times."""
    def run(mode, reason, timeout=120):
        device = bench(installed, mode)
        update = update_id(device)
        device.board.power_on()
        boots = [device.board.kernel(timeout) for _ in THREE_ATTEMPTS]
        assert boots == THREE_ATTEMPTS
        device.board.shell()
        assert "system-1" in device.board.ok("echo system-$IMAGE_VERSION")
        device.board.poweroff()
        assert_rolled_back(device, old_data, update, reason, fresh)
        assert device.stores() <= 3 + 2  # and one for the install
    return run


NOT_COMMITTED = "not committed: panic, reset or power cut"


def test_the_kernel_panics(fails):
    fails("panic", NOT_COMMITTED)


def test_init_exits(fails):
    fails("exit", NOT_COMMITTED)


def test_the_system_hangs(fails):
    fails("hang", "watchdog", 240)


def test_the_initramfs_is_not_ours(bench, installed, old_data, fresh, out,
                                   tmp_path):
    """A kernel without a program to run panics, in each attempt."""
    device = bench(installed)
    board, update = device.board, update_id(device)
    kernel = (out / "kernel/Image").read_bytes()
    device.images.partition("boot-b").write(
        fit.make(tmp_path, kernel, b"no archive"))
    board.power_on()
    assert [board.kernel() for _ in THREE_ATTEMPTS] == THREE_ATTEMPTS
    board.shell()
    board.poweroff()
    assert_rolled_back(device, old_data, update, "initramfs never reached",
                       fresh)


def test_the_kernel_hangs_before_the_initramfs(bench, installed, old_data,
                                               fresh, tmp_path):
    """U-Boot has armed the watchdog; here it waits for 4 seconds, not 120."""
    device = bench(installed)
    board, update = device.board, update_id(device)
    hanging = fit.make(tmp_path, fit.hanging_kernel(), b"never read")
    device.images.partition("boot-b").write(hanging)
    device.images.environment.set(watchdog_ms="7d0")
    board.power_on()
    for _ in range(3):
        board.expect("bowline: slot B\n")
        board.expect("Starting kernel", unless=UBOOT_BANNER)
    assert board.kernel() == {"slot": "A"}
    board.shell()
    board.poweroff()
    assert_rolled_back(device, old_data, update, "watchdog", fresh)


def test_a_health_check_fails(fails):
    fails("health", "health 20-test: exit 3")


def test_nobody_commits_before_the_deadline(fails):
    fails("late", "deadline: nobody committed", 240)


def test_power_is_cut_in_each_attempt(bench, installed, old_data, fresh):
    """Early in the kernel, in the initramfs, and with the system running."""
    device = bench(installed)
    board, update = device.board, update_id(device)
    for n, point in enumerate(["Freeing unused kernel", "step system-trial",
                               None], 1):
        board.power_on()
        assert board.kernel() == {"slot": "B", "attempt": str(n)}
        if point:
            board.expect(point)
        else:
            board.shell()
            board.ok("rm -rf /data/media; sync")
        board.power_cut()
    board.power_on()
    assert board.kernel() == {"slot": "A"}
    board.shell()
    board.poweroff()
    assert_rolled_back(device, old_data, update, NOT_COMMITTED, fresh)


def test_the_kernel_image_is_damaged(bench, installed, old_data, fresh):
    """U-Boot sees it, and boots the other slot without another reset."""
    device = bench(installed)
    board, update = device.board, update_id(device)
    device.images.partition("boot-b").flip(5 * MIB)
    board.power_on()
    assert board.kernel() == {"slot": "A", "failed": "B"}
    board.shell()
    board.poweroff()
    assert_rolled_back(device, old_data, update, "kernel not loadable",
                       fresh)


def test_the_staged_update_is_damaged(bench, installed, old_data, fresh):
    """The initramfs sees it before it mounts anything."""
    device = bench(installed)
    board, update = device.board, update_id(device)
    device.images.partition("stage").flip(3 * MIB)  # in the diff
    board.power_on()
    assert board.kernel() == {"slot": "B", "attempt": "1"}
    board.expect("step reboot", unless="step system")
    assert board.kernel() == {"slot": "A"}
    board.shell()
    board.poweroff()
    assert_rolled_back(device, old_data, update, ".*(damaged|hash).*",
                       fresh)
