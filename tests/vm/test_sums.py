# SPDX-License-Identifier: GPL-2.0-or-later
"""Who makes the sums of the two targets: the processor where it can."""

import re

import pytest

import vm

# arm64's library needs no driver; the debug kernel has but one, which uses no
# instructions of the processor's either.
DRIVERS = {"amd64": {"crc32-pclmul", "crc32c-intel"},
           "arm64": set(), "debug": {"crc32c-generic"}}


def users(text):
    """{driver: how many use it} of /proc/crypto's sums."""
    return {driver: int(count) for driver, count in re.findall(
        r"^driver +: (crc32\S+)$.*?^refcnt +: (\d+)$", text, re.M | re.S)}


@pytest.mark.parametrize("machine", sorted({vm.find_machine().name, "amd64"}))
@pytest.mark.parametrize("module", ["dm_bow", "dm_update"])
def test_drivers_are_held_while_loaded(tmp_path, machine, module):
    result = vm.run(f"cat /proc/crypto; rmmod {module}; echo GONE\n"
                    "cat /proc/crypto\n", machine=machine, modules=[module],
                    work=tmp_path)
    assert result.status == 0, result.console
    loaded, gone = (users(part) for part in result.console.split("GONE"))
    assert {d for d in loaded if loaded[d] != gone[d]} == DRIVERS[machine]
    assert all(loaded[d] == gone[d] + 1 for d in DRIVERS[machine])
