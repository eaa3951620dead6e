# SPDX-License-Identifier: GPL-2.0-or-later
"""The harness itself: what it reports is what the machine did."""

import pytest

import vm


def test_status_and_disk(tmp_path):
    disk = tmp_path / "disk"
    disk.write_bytes(bytes(1 << 20))
    result = vm.run("echo -n knot > /dev/vda; sync\n"
                    "dmsetup version && echo answer=42\nexit 3\n",
                    disks=[disk], modules=["dm_mod"], work=tmp_path)
    assert result.status == 3, result.console
    assert result.value("answer") == "42"
    assert disk.read_bytes()[:5] == b"knot\0"


def test_power_cut(tmp_path):
    result = vm.run("echo CUT-HERE; sleep 60\n", kill_at="CUT-HERE",
                    work=tmp_path)
    assert result.killed and result.status is None


def test_time_limit(tmp_path):
    with pytest.raises(TimeoutError):
        vm.run("sleep 60\n", timeout=15, work=tmp_path)


def test_programs_of_packages(tmp_path):
    result = vm.run("xfs_io -V && mkfs.xfs -V\nls /usr/sbin/xfs_info || exit 7\n"
                    "ls /usr/share\n", packages=["xfsprogs"], work=tmp_path)
    assert "xfs_io version" in result.console
    assert result.status not in (0, 7), "no more than programs is wanted"


def test_unknown_machine(tmp_path):
    with pytest.raises(ValueError, match="'amd46'.*arm64, amd64, debug"):
        vm.run("true\n", machine="amd46", work=tmp_path)


def test_other_machine(tmp_path):
    result = vm.run("uname -m\n", machine="amd64", work=tmp_path)
    assert "x86_64" in result.console
