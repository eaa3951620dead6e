# SPDX-License-Identifier: GPL-2.0-or-later
"""The merge of a committed update, cut in the middle: it goes on at the record
of its progress, and nothing is lost of either system or data. Diffs of both
formats; the other tests of the board are of format 1."""

import json
import struct

import pytest

from updates import make_bundle, sha256

PAYLOAD = 2 << 20  # where the diff begins on the stage
SLOW = 4_000_000  # bytes a second: some twenty seconds


@pytest.fixture(params=[0, 1])
def on_trial(request, bench, fresh, out, top, tmp_path, store):
    """A device in the trial of the bad system, which waits; and that system."""
    bad = store / "bad/bad.img"
    bundle = make_bundle(top, out / "system-1.img", bad, tmp_path / "bundle",
                         version="2", boot=out / "slot-2.itb",
                         diff_format=request.param)
    device = bench(fresh, "wait", bundle)
    board = device.board
    board.power_on()
    board.boot()
    board.ok(device.drives.install(), 180)
    board.reboot()
    board.boot()
    return device, bad


def status(board):
    return json.loads(board.ok("bowline status --json"))


def records(device):
    """(sequence, done) of those on the stage, as docs/FORMAT.md has them."""
    stage = device.images.partition("stage")
    record = max((stage.read(at, 4096) for at in (0, 4096)),
                 key=lambda r: struct.unpack_from("<Q", r, 8))
    assert record[6] == 2, "the stage does not say that a merge has begun"
    at, = struct.unpack_from("<Q", record, 116)
    size, = struct.unpack_from("<Q", record, 32)
    assert at == PAYLOAD + (size + 4095) // 4096 * 4096
    found = [stage.read(at + i * 4096, 4096) for i in (0, 1)]
    return [(struct.unpack_from("<Q", r, 8)[0],
             struct.unpack_from("<I", r, 32)[0])
            for r in found if r[:4] == b"BUPG"]


def test_a_cut_in_the_merge(on_trial):
    device, bad = on_trial
    board = device.board
    board.ok("echo kept >/data/after; sync")
    # Slow from its first blocks on, as far as a shell is quick enough.
    board.ok("bowline commit; dmsetup message bowline-system 0 "
             f"rate {SLOW}", 120)
    # More blocks than an epoch may have: one at least is recorded then.
    board.until("bowline status", r"(?m)^merge_done +([5-9]\d{3}|\d{5})", 120)
    before = status(board)
    assert before["phase"] == "commit" and before["merge"] == "running"
    assert before["merge_done"] < before["merge_total"]
    assert "progress" in board.ok("dmsetup table bowline-system")
    board.power_cut()
    assert max(records(device))[1] >= 1, "no epoch was recorded"
    assert device.images.partition("system").sha256(bad.stat().st_size) != \
        sha256(bad)
    board.power_on()
    assert board.kernel()["slot"] == "B"
    board.shell()
    assert board.ok("cat /data/after") == "kept"
    board.until("bowline status", r"(?m)^phase +idle$", 240)
    board.poweroff()
    assert device.images.partition("system").sha256(bad.stat().st_size) == \
        sha256(bad)
    assert device.env["bowline_last"].startswith("committed ")
    assert device.files()["after"]


def test_a_paused_merge_goes_on(on_trial):
    device, bad = on_trial
    board = device.board
    board.ok("bowline commit; dmsetup message bowline-system 0 pause", 120)
    assert status(board)["merge"] == "paused"
    assert ", paused" in board.ok("bowline merge")
    board.ok("dmsetup message bowline-system 0 resume")
    # 'bowline health' follows it to its end.
    board.until("bowline status", r"(?m)^phase +idle$", 240)
    assert status(board)["merge"] == ""
    board.poweroff()
    assert device.images.partition("system").sha256(bad.stat().st_size) == \
        sha256(bad)


def test_a_rollback_before_the_commit(on_trial, fresh):
    """The old system is untouched, whatever the format."""
    device, _ = on_trial
    board = device.board
    board.ok("bowline rollback")
    board.reboot()
    assert board.kernel()["slot"] == "A"
    board.shell()
    assert board.ok("echo $IMAGE_VERSION") == "1"
    board.poweroff()
    assert device.env["bowline_last"].endswith(" requested")
    assert device.images.partition("system").sha256() == \
        fresh.partition("system").sha256()
