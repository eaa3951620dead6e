# SPDX-License-Identifier: GPL-2.0-or-later
"""F2FS as data: what `bowline boot` does for it when state 1 begins.

startbow.c runs the updater's own code. The file systems were unmounted with all
their free space trimmed, which their checkpoints say.
"""

import subprocess

import pytest

import counts
import fs
import vm
from test_bow import bowline

MIB = 1 << 20
SIZE = 128 * MIB
BLOCK = 4096
F2FSCK = ["/sbin/fsck.f2fs", "-f", "--dry-run"]
WORDS = {"modules": ["f2fs"], "memory": 512, "timeout": 200}
UPDATER = ["machine", "dm", "fsck", "watchdog", "io", "err", "progress"]

FIRST = """
prepare() {     # prepare NAME LOWER: all is trimmed, and the checkpoint says so
    on_bow $1 $2
    use $1 f2fs
    fill_$1
    say_sum $1-before $1
    fstrim /mnt/$1
    umount /mnt/$1
    dmsetup remove $1
}
fill_usual() { fsload fill /mnt/usual 1 8000; }
fill_full() { fails dd if=/dev/zero of=/mnt/full/all bs=64k; }
start() {       # start NAME LOWER
    startbow $2 /mnt/$1
    echo $1-room=$(stat -f -c %a /mnt/$1)
    echo $1-free=$(cat $(find_bow bowline-data)/free)
}
prepare full $full
start full $full
umount /mnt/full
dmsetup remove bowline-data
prepare usual $usual
start usual $usual
dd if=/dev/urandom of=/mnt/usual/trial bs=4k count=3 conv=fsync 2> /dev/null
echo CUT-HERE
sleep 99
"""
SECOND = """
use usual f2fs $usual
say_sum usual-after usual
ls /mnt/usual
umount /mnt/usual
"""


@pytest.fixture(scope="session")
def startbow(tmp_path_factory):
    program = tmp_path_factory.mktemp("bin") / "startbow"
    subprocess.run(
        [vm.MACHINES[fs.MACHINE].compiler(), "-std=gnu11", "-O1",
         "-ffunction-sections", "-Wl,--gc-sections", "-Iupdater", "-Ikmod",
         "-o", program, "tests/bow/startbow.c",
         *(f"updater/{name}.c" for name in UPDATER), "-ldevmapper"],
        cwd=vm.TOP, check=True)
    return program


@pytest.mark.parametrize("sector", [512, 4096])
def test_what_was_fsynced_first_is_gone_after_a_restore(ram, fsload, startbow,
                                                        sector):
    mkfs = ["/sbin/mkfs.f2fs", "-q", "-w", sector]
    disks = {name: fs.make(ram / name, SIZE, mkfs)
             for name in ("usual", "full")}
    first = fs.boot(FIRST, disks, work=ram, program=fsload, sector=sector,
                    files={"bin/startbow": startbow}, kill_at="CUT-HERE",
                    **WORDS)
    assert first.killed, first.console
    room = int(first.value("usual-room")) * BLOCK
    assert int(first.value("usual-free")) > 0.9 * room > 20 * MIB
    bowline("restore", disks["usual"])
    fs.run(*F2FSCK, disks["usual"])
    second = fs.boot(SECOND, disks, work=ram, program=fsload, sector=sector,
                     **WORDS)
    assert second.status == 0, second.console
    assert second.value("usual-after") == first.value("usual-before")
    counts.add("file systems", f"f2fs/begin/{sector}")
