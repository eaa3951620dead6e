# SPDX-License-Identifier: GPL-2.0-or-later
"""Memory of the target on large devices, whatever is written.

Isolated blocks all over a sparse device, each in a stretch of 16 MiB of its
own, force the target to remember every stretch block by block. What the
kernel's slabs and vmalloc area grow by is the target's memory: at most 1 MiB
for each 8 GiB, and a fixed part.
"""

import re

import pytest

import counts
import fs
import vm
from test_bow import bowline

MIB, GIB = 1 << 20, 1 << 30
BUFFER = 4 * MIB  # until the commit, with 256 MiB of memory or more
FIXED = BUFFER + MIB
STRETCH = 16 * MIB

SHELL = """
memory() {      # of the kernel, in KiB
    echo 3 > /proc/sys/vm/drop_caches
    echo $1=$(awk '/^(Slab|VmallocUsed):/ { n += $2 } END { print n }' \\
        /proc/meminfo)
}
touch_all() {   # touch_all discard|write FIRST STRIDE
    isolate $1 /dev/mapper/bow $2 $3 $(((SIZE - $2) / $3)) 4
}
dmsetup create warm --table "0 $(blockdev --getsz $data) bow $data"
isolate discard /dev/mapper/warm 0 4096 256 4
dmsetup remove warm
memory before
dmsetup create bow --table "0 $(blockdev --getsz $data) bow $data"
memory created
"""
DISCARDS = """
touch_all discard 8192 $STRETCH
memory isolated
# Every second block of some stretches: no more than one of each.
isolate discard /dev/mapper/bow $((64 << 20)) 8192 8192 4
memory more
echo 1 > $(find_bow bow)/state
isolate write /dev/mapper/bow $((1 << 30)) $((STRETCH + 4096)) 1000 8
memory written
dmsetup status bow | sed 's/^/status=/'
echo 2 > $(find_bow bow)/state
memory committed
dmsetup remove bow
memory after
"""
WRITES = """
blkdiscard -o $((SIZE - (1 << 30))) -l $((1 << 30)) /dev/mapper/bow
say_ranges bow
ask copy data begun
echo 1 > $(find_bow bow)/state
touch_all write 20480 $STRETCH
memory written
dmsetup status bow | sed 's/^/status=/'
echo CUT-HERE
sleep 99
"""


@pytest.fixture(scope="session")
def isolate(tmp_path_factory):
    return vm.program(fs.HERE / "isolate.c", tmp_path_factory.mktemp("bin"),
                      fs.MACHINE)


def boot(ram, isolate, size, script, **args):
    with open(ram / "data", "wb") as file:
        file.truncate(size)
    values = f"SIZE={size}\nSTRETCH={STRETCH}\n"
    return fs.boot(values + SHELL + script, {"data": ram / "data"}, work=ram,
                   files={"bin/isolate": isolate}, memory=768, timeout=400,
                   **args)


def grown(result, name):
    """Bytes more than before the device was made."""
    return (int(result.value(name)) - int(result.value("before"))) * 1024


def note(size, used):
    each = used / MIB / (size / (8 * GIB))
    print(f"{used / MIB:.1f} MiB for {size // GIB} GiB: "
          f"{each:.2f} MiB for each 8 GiB")
    counts.add("MiB for 8 GiB", f"{each:.2f}")


def allowed(size):
    return FIXED + size // (8 * GIB) * MIB


def test_a_discarded_block_in_every_stretch(ram, isolate):
    size = 512 * GIB
    result = boot(ram, isolate, size, DISCARDS)
    assert result.status == 0, result.console
    for name in ("isolated", "more", "written"):
        assert grown(result, name) < allowed(size), result.console
    # Otherwise nothing was forced into being.
    assert grown(result, "isolated") > size // (16 * GIB) * MIB * 9 // 10
    assert grown(result, "committed") < FIXED - BUFFER, result.console
    assert grown(result, "after") < FIXED - BUFFER, result.console
    assert result.value("status").split()[7] == "0", result.console
    note(size, grown(result, "isolated"))


def test_an_overwritten_block_in_every_stretch(ram, isolate):
    size = 256 * GIB
    result = boot(ram, isolate, size, WRITES, kill_at="CUT-HERE")
    assert result.killed, result.console
    assert grown(result, "written") < allowed(size), result.console
    assert result.value("status").split()[7] == "0", result.console
    note(size, grown(result, "written"))
    assert re.search(r"\d+ entries", bowline("inspect", ram / "data"))
    bowline("restore", ram / "data")
    assert fs.differences(ram / "data", ram / "begun",
                          fs.ranges_of(result.console, "bow")) == []


def test_a_small_device(ram, isolate):
    """Blocks of 512 bytes, which are the default up to 1 GiB."""
    result = boot(ram, isolate, GIB, """
        touch_all discard 8192 $((2 << 20))
        memory isolated
        dmsetup remove bow
        """)
    assert result.status == 0, result.console
    assert grown(result, "isolated") < FIXED, result.console
