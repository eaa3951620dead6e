# SPDX-License-Identifier: GPL-2.0-or-later
"""The bow target in a real kernel, and bowline's offline tool on what it left.

The usual course: ext4 on bow, FITRIM, state 1, a file system at work, then
the power goes, or the trial is committed. /dev/vda is the data device, and
/dev/vdb gets a copy of it as it was when state 1 began, with the ranges that
were free then printed on the console.
"""

import hashlib
import re
import shutil
import subprocess

import pytest

import vm

BOWLINE = vm.OUT / "host" / "bowline"
MODULES = ["dm_mod", "dm_bow", "ext4"]
SIZE = 48 << 20

SETUP = """
set -e
BOW=/sys/block/dm-0/bow
make() {
    dmsetup create bow --table "0 $(blockdev --getsz $1) bow $1 $2"
}
fill() { dd if=/dev/urandom of=$1 bs=64k count=$2 conv=fsync 2>/dev/null; }
begin() {
    mount -t ext4 /dev/dm-0 /mnt
    fstrim /mnt
    umount /mnt
    dmsetup message bow 0 ranges
    sync
    echo 3 > /proc/sys/vm/drop_caches
    cp /dev/vda /dev/vdb
    sync
    echo 1 > $BOW/state
    echo began=$(cat $BOW/state)
    mount -t ext4 /dev/dm-0 /mnt
}
work() {
    fill /mnt/new 40
    fill /mnt/old/3 20
    for i in 1 2 4; do rm /mnt/old/$i; done
    mkdir /mnt/dir
    for i in $(seq 60); do echo $i > /mnt/dir/$i; done
    dd if=/dev/urandom of=/mnt/old/5 bs=4k count=9 seek=7 conv=notrunc,fsync \
        2>/dev/null
    sync
    fstrim /mnt
    fill /mnt/new2 60
    sync
    (cd /mnt && find . -type f | sort | xargs md5sum | md5sum) > /run/sum
    echo after=$(cut -c1-32 /run/sum)
    dmsetup status bow | sed 's/^/status=/'
}
"""


def sh(*words):
    return subprocess.run([str(w) for w in words], check=False, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def make_disk(path, size=SIZE, fs_block=4096):
    source = path.with_suffix(".d")
    (source / "old").mkdir(parents=True)
    for i in range(12):
        data = hashlib.shake_128(bytes([i])).digest(700000 + 9999 * i)
        (source / "old" / str(i)).write_bytes(data)
    with open(path, "wb") as disk:
        disk.truncate(size)
    done = sh("/sbin/mke2fs", "-q", "-t", "ext4", "-b", fs_block, "-d", source,
              path)
    assert done.returncode == 0, done.stdout
    return path


def free_ranges(console):
    """[(from, to)] in sectors, of what was free when state 1 began."""
    found = re.findall(r"^(\w+): (\d+)$", console, re.M)
    assert found and found[-1][0] == "Top", console
    starts = [int(sector) for _, sector in found]
    return [(starts[i], starts[i + 1]) for i, (kind, _) in
            enumerate(found[:-1]) if kind == "Free"]


def differences(one, other, free):
    """Sectors outside the free ranges that differ."""
    a, b = one.read_bytes(), other.read_bytes()
    assert len(a) == len(b)
    ignored = set()
    for start, end in free:
        ignored.update(range(start, end))
    return [s for s in range(len(a) // 512) if s not in ignored and
            a[512 * s:512 * s + 512] != b[512 * s:512 * s + 512]]


def bowline(verb, disk, status=0):
    done = sh(BOWLINE, verb, disk)
    assert done.returncode == status, done.stdout
    return done.stdout


def fsck(disk):
    done = sh("/sbin/e2fsck", "-fn", disk)
    assert done.returncode == 0, done.stdout


def tree_sum(disk, work):
    """What the guest's work() prints as after=, from the image here."""
    out = work / f"{disk.name}.dump"
    out.mkdir()
    sh("/sbin/debugfs", "-R", f"rdump / {out}", disk)
    names = sorted("./" + str(p.relative_to(out)) for p in out.rglob("*")
                   if p.is_file())
    text = "".join(
        hashlib.md5((out / n).read_bytes()).hexdigest() + "  " + n + "\n"
        for n in names)
    return hashlib.md5(text.encode()).hexdigest()


@pytest.fixture
def disks(tmp_path):
    disk = make_disk(tmp_path / "data")
    copy = tmp_path / "copy"
    with open(copy, "wb") as file:
        file.truncate(SIZE)
    return disk, copy


SHAPES = [(512, 512), (1024, 512), (4096, 512), (4096, 4096)]


def tree_of_source(work):
    """The same of the files that make_disk() put there."""
    source = work / "data.d"
    names = sorted("./" + str(p.relative_to(source))
                   for p in source.rglob("*") if p.is_file())
    text = "".join(
        hashlib.md5((source / n).read_bytes()).hexdigest() + f"  {n}\n"
        for n in names)
    return hashlib.md5(text.encode()).hexdigest()


@pytest.mark.parametrize("block_size,sector", SHAPES)
def test_power_cut_then_restore_or_keep(disks, tmp_path, block_size, sector):
    disk, copy = disks
    result = vm.run(SETUP + f'make /dev/vda "1 block_size:{block_size}"\n'
                    "begin\nwork\numount /mnt\necho CUT-HERE; sleep 99\n",
                    disks=disks, modules=MODULES, kill_at="CUT-HERE",
                    sector=sector, work=tmp_path)
    assert result.killed, result.console
    assert result.value("began") == "1"
    assert "\na good log: " in bowline("inspect", disk)
    kept = tmp_path / "kept"
    shutil.copyfile(disk, kept)

    bowline("restore", disk)
    assert differences(disk, copy, free_ranges(result.console)) == []
    fsck(disk)
    assert tree_sum(disk, tmp_path) == tree_of_source(tmp_path)

    bowline("keep", kept)
    assert bowline("inspect", kept) == "no log\n"
    fsck(kept)
    assert tree_sum(kept, tmp_path) == result.value("after")


@pytest.mark.parametrize("block_size,sector", [(512, 512), (4096, 512)])
def test_commit(disks, tmp_path, block_size, sector):
    disk = disks[0]
    result = vm.run(SETUP + f'make /dev/vda "1 block_size:{block_size}"\n'
                    "begin\nwork\nfill /mnt/while 60 &\n"
                    "echo 2 > $BOW/state\n"
                    "echo state=$(cat $BOW/state)\nwait\nrm -f /mnt/while\n"
                    "umount /mnt\ndmsetup remove bow\n", disks=disks,
                    modules=MODULES, sector=sector, work=tmp_path)
    assert result.status == 0, result.console
    assert result.value("state") == "2"
    assert bowline("inspect", disk) == "no log\n"
    fsck(disk)
    assert tree_sum(disk, tmp_path) == result.value("after")
