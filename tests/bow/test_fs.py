# SPDX-License-Identifier: GPL-2.0-or-later
"""Every file system above bow: cut and restored, cut and kept, committed.

All of them share two machines for each sector size. In the first each is
filled, enters state 1, changes and settles; then all go on changing until the
power fails. What was settled is restored and kept; what the cut left is
restored and kept too. The second machine mounts all of that. The restored one
goes through another trial there, which is committed at work; the one that was
kept after the cut is mounted above bow in state 0, where its journal is
replayed, and goes through a trial that ends in a cut.
"""

import re
import subprocess
from types import SimpleNamespace

import pytest

import counts
import fs
from fs import run
from test_bow import bowline

MIB = 1 << 20
E2FSCK = ["/sbin/e2fsck", "-fn"]
F2FSCK = ["/sbin/fsck.f2fs", "-f", "--dry-run"]
XFSCK = ["/sbin/xfs_repair", "-n"]
BTRFSCK = ["/bin/btrfs", "check", "--readonly"]
VFATCK = ["/sbin/fsck.vfat", "-n"]

# name: type, MiB, options of the table, mkfs, fsck
SHAPES = {
    512: {
        "ext4_1k": ("ext4", 48, "1 block_size:1024",
                    ["/sbin/mke2fs", "-q", "-t", "ext4", "-b", 1024], E2FSCK),
        "ext4_4k": ("ext4", 48, "",
                    ["/sbin/mke2fs", "-q", "-t", "ext4", "-b", 4096], E2FSCK),
        "xfs": ("xfs", 64, "1 block_size:512",
                ["/sbin/mkfs.xfs", "-q", "--unsupported"], XFSCK),
        "f2fs": ("f2fs", 128, "1 block_size:4096",
                 ["/sbin/mkfs.f2fs", "-q", "-w", 512], F2FSCK),
        "vfat": ("vfat", 48, "", ["/sbin/mkfs.vfat", "-F", 32], VFATCK),
        "btrfs": ("btrfs", 128, "1 block_size:4096",
                  ["/sbin/mkfs.btrfs", "-q"], BTRFSCK),
    },
    4096: {
        "ext4_4k": ("ext4", 48, "",
                    ["/sbin/mke2fs", "-q", "-t", "ext4", "-b", 4096], E2FSCK),
        "xfs": ("xfs", 64, "",
                ["/sbin/mkfs.xfs", "-q", "--unsupported", "-s", "size=4096"],
                XFSCK),
        "f2fs": ("f2fs", 128, "", ["/sbin/mkfs.f2fs", "-q", "-w", 4096],
                 F2FSCK),
        "vfat": ("vfat", 64, "", ["/sbin/mkfs.vfat", "-S", 4096], VFATCK),
        "btrfs": ("btrfs", 128, "", ["/sbin/mkfs.btrfs", "-q"], BTRFSCK),
    },
}
MODULES = ["ext4", "xfs", "f2fs", "vfat", "nls_cp437", "nls_ascii", "btrfs"]
WORDS = {"modules": MODULES, "memory": 640, "timeout": 600}

FIRST = """
trial() {       # trial NAME LOWER OPTIONS TYPE KIB
    on_bow $1 $2 "$3"
    use $1 $4
    fsload fill /mnt/$1 1 $5
    begin $1 $4
    change $1 100
    ask copy $1 $1.quiet
}
"""
SECOND = """
commit() {      # commit NAME LOWER OPTIONS TYPE
    on_bow $1 $2 "$3"
    use $1 $4
    begin $1 $4
    change $1 80
    fsload churn /mnt/$1 9 80 > /dev/null &
    echo 2 > $(find_bow $1)/state
    wait
    sync
    say_sum $1-committed $1
    umount /mnt/$1
    dmsetup remove $1
    use $1 $4 $2
    say_sum $1-remounted $1
    umount /mnt/$1
}
kept() {        # kept NAME LOWER TYPE
    use $1 $3 $2
    say_sum $1-kept $1
    umount /mnt/$1
}
replay() {      # replay NAME LOWER OPTIONS TYPE
    on_bow $1 $2 "$3"
    use $1 $4
    hexdump -n 4 -e '"'$1-progress=%d'\\n"' /mnt/$1/progress
    begin $1 $4
    change $1 80
}
"""


def fs_check(kind, image):
    run(*kind.fsck, image)


def mend(kind, image):
    """FAT has no journal: a cut leaves it with faults, and marked dirty."""
    if kind.type == "vfat":
        subprocess.run(["/sbin/fsck.vfat", "-a", image], check=False,
                       stdout=subprocess.PIPE)


def brief(result):
    """The console without the ranges."""
    return re.sub(r"(?m)^(Free|Unchanged): .*\n|.* synced\n", "",
                  result.console)


def shapes(sector):
    return {name: SimpleNamespace(type=kind, size=mib * MIB,
                                  kib=mib * 170, options=options,
                                  mkfs=mkfs, fsck=fsck)
            for name, (kind, mib, options, mkfs, fsck) in
            SHAPES[sector].items()}


def first_boot(sector, kinds, work, fsload):
    disks = {name: fs.make(work / name, kind.size, kind.mkfs)
             for name, kind in kinds.items()}
    script = FIRST + "".join(
        f"trial {name} ${name} '{kind.options}' "
        f"{kind.type} {kind.kib}\n" for name, kind in kinds.items())
    script += "".join(f"fsload churn /mnt/{name} 7 0 &\n" for name in kinds)
    script += "sleep 8\necho CUT-HERE\nwait\n"
    result = fs.boot(script, disks, work=work, program=fsload, sector=sector,
                     kill_at="CUT-HERE", **WORDS)
    assert result.killed, brief(result)
    return result, disks


def undo(image, begun, free, kind):
    """Restored, it must be as it was and in order; the path of a copy that was
    kept instead."""
    kept = fs.sparse_copy(image, image.with_name(image.name + ".kept"))
    assert bowline("inspect", image).count("a good log: ") == 1
    bowline("restore", image)
    assert fs.differences(image, begun, free) == []
    fs_check(kind, image)
    bowline("keep", kept)
    assert bowline("inspect", kept) == "no log\n"
    return kept


def second_boot(sector, kinds, disks, work, fsload):
    script = SECOND
    for name, kind in kinds.items():
        script += (f"commit {name} ${name} '{kind.options}' {kind.type}\n"
                   f"kept quiet_{name} $quiet_{name} {kind.type}\n"
                   f"replay live_{name} $live_{name} '{kind.options}' "
                   f"{kind.type}\n")
    every = {}
    for name, path in disks.items():
        every[name] = path
        every[f"quiet_{name}"] = path.with_name(name + ".quiet.kept")
        every[f"live_{name}"] = path.with_name(name + ".kept")
    result = fs.boot(script + "echo CUT-HERE\nsleep 99\n", every, work=work,
                     program=fsload, sector=sector, kill_at="CUT-HERE",
                     **WORDS)
    assert result.killed, brief(result)
    return result


@pytest.mark.parametrize("sector", [512, 4096])
def test_every_file_system(ram, fsload, sector):
    kinds = shapes(sector)
    first, disks = first_boot(sector, kinds, ram, fsload)
    free = {name: fs.ranges_of(first.console, name) for name in kinds}
    for name, kind in kinds.items():
        begun = ram / f"{name}.begun"
        for image in (ram / f"{name}.quiet", disks[name]):
            mend(kind, undo(image, begun, free[name], kind))
    second = second_boot(sector, kinds, disks, ram, fsload)
    for name, kind in kinds.items():
        check_second(name, kind, first, second, disks[name])
        counts.add("file systems", f"{name}/{sector}")


def check_second(name, kind, first, second, disk):
    assert second.value(f"{name}-before") == first.value(f"{name}-before")
    assert second.value(f"quiet_{name}-kept") == first.value(f"{name}-after")
    assert first.value(f"{name}-after") != first.value(f"{name}-before")
    assert second.value(f"{name}-remounted") == \
        second.value(f"{name}-committed")
    assert bowline("inspect", disk) == "no log\n"
    fs_check(kind, disk)
    fs_check(kind, disk.with_name(f"{name}.quiet.kept"))
    # What was said to be synced before the cut was there after it.
    said = re.findall(rf"^/mnt/{name}: (\d+) synced$", first.console, re.M)
    assert int(second.value(f"live_{name}-progress")) >= int(said[-1])
    undo_replayed(name, kind, second, disk)


def undo_replayed(name, kind, second, disk):
    live = disk.with_name(f"{name}.kept")
    begun = disk.with_name(f"live_{name}.begun")
    bowline("restore", live)
    assert fs.differences(live, begun,
                          fs.ranges_of(second.console, f"live_{name}")) == []
    fs_check(kind, live)
