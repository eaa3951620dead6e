# SPDX-License-Identifier: GPL-2.0-or-later
"""File systems and bow between other layers, with next to no room, and on two
TiB.

One machine carries all trials until the power fails, one looks at what is
kept. Restored images are compared here with what they were.
"""

import subprocess

import counts
import fs
from fs import run
from test_bow import bowline, fsck

MIB = 1 << 20
END = 2 << 40
EXT4 = ["/sbin/mke2fs", "-q", "-t", "ext4", "-b"]
XFS = ["/sbin/mkfs.xfs", "-q", "-K", "--unsupported"]
MODULES = ["ext4", "xfs", "dm_crypt", "xts", "ecb", "aes_generic"]
WORDS = {"modules": MODULES, "memory": 640, "timeout": 400}

CRYPT = """
KEY=000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f
crypt() {       # crypt NAME LOWER OPTIONS
    dmsetup create $1 --table "0 $(blockdev --getsz $2) \\
        crypt aes-xts-plain64 $KEY$KEY 0 $2 0 $3"
}
"""
FIRST = CRYPT + """
# dm-crypt on top passes everything on, the first sector and discards too.
above() {       # above NAME LOWER OPTIONS TYPE MKFS
    on_bow $1 $2 "$3"
    crypt $1.crypt /dev/mapper/$1 "1 allow_discards"
    $5 /dev/mapper/$1.crypt
    use $1 $4 /dev/mapper/$1.crypt
    fsload fill /mnt/$1 1 8000
    begin $1 $4 /dev/mapper/$1.crypt
    change $1 60
    umount /mnt/$1          # writes the superblock
    use $1 $4 /dev/mapper/$1.crypt
    dmsetup message $1 0 ranges | grep Sector0_current | sed s/^/$1-/
}
above xcrypt $xcrypt '1 block_size:512' xfs 'mkfs.xfs -q -K --unsupported'
above ecrypt $ecrypt '1 block_size:4096' ext4 '/sbin/mke2fs -q -t ext4 -b 4096'

# dm-crypt below takes no discards unless it is told to.
crypt below $below 0
test $(cat /sys/block/dm-$(dmsetup info -c --noheadings -o minor below)/queue/\\
discard_max_bytes) = 0
/sbin/mke2fs -q -t ext4 -b 1024 /dev/mapper/below
on_bow plain /dev/mapper/below '1 block_size:4096'
use plain ext4
fsload fill /mnt/plain 1 12000
fstrim /mnt/plain
say_sum plain-before plain
umount /mnt/plain
say_ranges plain
ask copy below below.begun
echo 1 > $(find_bow plain)/state
use plain ext4
change plain 100

# Hardly anything is free: some writes fail, and nothing is lost.
on_bow full $full ''
use full ext4
dd if=/dev/urandom of=/mnt/full/some bs=64k count=10 2>/dev/null
dd if=/dev/urandom of=/mnt/full/rest bs=64k 2>/dev/null || true
rm /mnt/full/some
sync
begin full ext4
fails dd if=/dev/urandom of=/mnt/full/rest bs=4k count=1000 conv=notrunc,fsync
sync || true
dmsetup status full | sed 's/^/full-status=/'

# Two TiB, of which the last MiB belongs to no file system.
on_bow huge $huge '1 block_size:4096'
use huge xfs
fsload fill /mnt/huge 1 12000
begin huge xfs
change huge 60
dd if=/dev/urandom of=/dev/mapper/huge bs=64k seek=$((32 * 1048576 - 16)) \\
    count=16 conv=notrunc,fsync 2>/dev/null
dmsetup status huge | sed 's/^/huge-end=/'
echo CUT-HERE
sleep 99
"""
SECOND = CRYPT + """
look() {        # look NAME TYPE SUFFIX DEVICE
    use $1 $2 $4
    say_sum $1-$3 $1
    umount /mnt/$1
}
for what in restored kept; do
    for name in xcrypt ecrypt; do
        eval lower=\\$$name$what
        crypt $name$what $lower 0
        type=ext4
        [ $name = ecrypt ] || type=xfs
        look $name $type $what /dev/mapper/$name$what
    done
done
look huge xfs restored $hugerestored
look huge xfs kept $hugekept
crypt was $begun 0
crypt is $cut 0
cat /dev/mapper/was > $plainbegun
cat /dev/mapper/is > $plaincut
sync
"""


def blank(path, size):
    with open(path, "wb") as file:
        file.truncate(size)
    return path


def first_boot(work, fsload):
    disks = {name: blank(work / name, 32 * MIB)
             for name in ("xcrypt", "ecrypt", "below")}
    disks["full"] = fs.make(work / "full", 24 * MIB, [*EXT4, 1024])
    disks["huge"] = blank(work / "huge", END)
    run(*XFS, "-d", f"size={END - MIB}", "-l", "size=32m", disks["huge"])
    result = fs.boot(FIRST, disks, work=work, program=fsload,
                     packages=["e2fsprogs", "xfsprogs"], kill_at="CUT-HERE",
                     **WORDS)
    assert result.killed, result.console
    return result, disks


def second_boot(work, fsload, kept):
    disks = {"begun": work / "below.begun", "cut": work / "below",
             "plainbegun": blank(work / "plainbegun", 32 * MIB),
             "plaincut": blank(work / "plaincut", 32 * MIB)}
    for name, image in kept.items():
        disks[f"{name}restored"] = work / name
        disks[f"{name}kept"] = image
    result = fs.boot(SECOND, disks, work=work, program=fsload, **WORDS)
    assert result.status == 0, result.console
    return result, disks


def undo(image, begun, free):
    """Restores the image; the path of a copy that was kept."""
    kept = fs.sparse_copy(image, image.with_name(image.name + ".kept"))
    bowline("restore", image)
    assert fs.differences(image, begun, free) == []
    bowline("keep", kept)
    return kept


def tree_sum(image, work, fsload):
    """What the guest's `fsload sum` says, of an image of ext4 here."""
    out = work / f"{image.name}.d"
    out.mkdir()
    subprocess.run(["/sbin/debugfs", "-R", f"rdump / {out}", image],
                   check=True, stderr=subprocess.PIPE)
    return run(fsload, "sum", out).strip()


def check_plain(first, disks, work, fsload):
    """What lay below dm-crypt, decrypted."""
    image = disks["plaincut"]
    kept = undo(image, disks["plainbegun"],
                fs.ranges_of(first.console, "plain"))
    fsck(image)
    assert tree_sum(image, work, fsload) == first.value("plain-before")
    subprocess.run(["/sbin/e2fsck", "-fy", kept], check=False,
                   stdout=subprocess.PIPE)
    fsck(kept)
    assert tree_sum(kept, work, fsload) == first.value("plain-after")


def test_between_other_layers(ram, fsload):
    first, disks = first_boot(ram, fsload)
    names = ("xcrypt", "ecrypt", "huge", "full")
    kept = {name: undo(disks[name], ram / f"{name}.begun",
                       fs.ranges_of(first.console, name)) for name in names}
    fsck(disks["full"])
    assert tree_sum(disks["full"], ram, fsload) == first.value("full-before")
    assert int(first.value("full-status").split()[-2]) > 0
    del kept["full"]
    second, more = second_boot(ram, fsload, kept)
    for name in kept:
        assert second.value(f"{name}-restored") == \
            first.value(f"{name}-before"), name
        assert second.value(f"{name}-kept") == first.value(f"{name}-after")
    check_plain(first, more, ram, fsload)
    for name in (*names, "below"):
        counts.add("file systems", name)
