# SPDX-License-Identifier: GPL-2.0-or-later
"""File systems above bow: what the tests with them share.

SHELL is the guest's side: begin, change and so on, each for one device by its
name. Whatever must be compared later is copied by the host while the guest
waits: the guest writes its wish, 'copy FROM TO', into the first sector of the
last disk, where a Copier finds it.
"""

import os
import re
import subprocess
import threading
from pathlib import Path

import vm
from test_bow import free_ranges

SECTOR = 512
CHUNK = 1 << 20
MACHINE = "amd64"
HERE = Path(__file__).resolve().parent

SHELL = """
set -e
export DM_DISABLE_UDEV=1
ask() {     # ask copy FROM TO: the host does it; what was written is there
    sync
    printf '%-511s\\n' "$*" | dd of=$CONTROL conv=notrunc,fsync 2>/dev/null
    until head -c 4 $CONTROL | grep -q done; do
        sleep 0.05
        echo 3 > /proc/sys/vm/drop_caches
    done
}
find_bow() {    # of a mapped device by its name: its folder in sysfs
    echo /sys/block/dm-$(dmsetup info -c --noheadings -o minor $1)/bow
}
on_bow() {      # on_bow NAME LOWER OPTIONS
    dmsetup create $1 --table "0 $(blockdev --getsz $2) bow $2 $3"
}
use() {         # use NAME TYPE [DEVICE]
    mkdir -p /mnt/$1
    mount -t $2 ${3:-/dev/mapper/$1} /mnt/$1
}
say_time() { echo "$(cut -d' ' -f1 /proc/uptime) s: $*"; }
say_sum() { say_time $1; echo $1=$(fsload sum /mnt/$2); }
say_ranges() {
    echo "$1-free=$(cat $(find_bow $1)/free)"
    echo "ranges of $1"
    dmsetup message $1 0 ranges
}
fails() { if "$@" 2>/run/err; then echo "did not fail: $*"; exit 9; fi; }
f2fs_step() {   # a new checkpoint, and something freed since the last
    echo something > /mnt/$1/step
    sync
    rm /mnt/$1/step
    sync
}
# F2FS trims nothing twice, not even from one mount to the next, unless it has
# freed something that it could not discard before the unmount.
f2fs_forget() {
    umount /mnt/$1
    mount -t f2fs -o nodiscard $2 /mnt/$1
    f2fs_step $1
    umount /mnt/$1
    mount -t f2fs -o nodiscard $2 /mnt/$1
}
# begin NAME TYPE [TOP]: trims what is mounted, takes it away, enters state 1,
# mounts again. TOP: what is mounted, if not the bow device itself.
begin() {
    [ $2 != f2fs ] || f2fs_forget $1 ${3:-/dev/mapper/$1}
    fstrim /mnt/$1
    say_sum $1-before $1
    umount /mnt/$1
    say_ranges $1
    ask copy $1 $1.begun
    echo 1 > $(find_bow $1)/state
    use $1 $2 $3
    # F2FS looks for fsynced data in free space, and knows its own by the
    # number of the checkpoint, which must not be that of the restored one.
    [ $2 != f2fs ] || f2fs_step $1
}
change() {      # change NAME OPS
    fsload churn /mnt/$1 2 $2 > /dev/null
    fsload db /mnt/$1 3 10
    sync
    fstrim /mnt/$1
    fsload churn /mnt/$1 5 $2 > /dev/null
    sync
    say_sum $1-after $1
    dmsetup status $1 | sed "s/^/$1-status=/"
}
"""


class Copier(threading.Thread):
    """Copies images for the guest; to be used in 'with'. paths: {name: path};
    a copy is made beside its original."""

    def __init__(self, control, paths):
        super().__init__(daemon=True)
        self.control = control
        self.paths = paths
        self.over = threading.Event()
        control.write_bytes(bytes(4096))

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.join()

    def run(self):
        with open(self.control, "r+b", buffering=0) as file:
            while not self.over.wait(0.02):
                words = os.pread(file.fileno(), SECTOR, 0).split()
                if words[:1] == [b"copy"]:
                    self.copy(words[1].decode(), words[2].decode())
                    os.pwrite(file.fileno(), b"done" + bytes(508), 0)

    def copy(self, name, to):
        path = self.paths[name]
        sparse_copy(path, path.with_name(to))


def sparse_copy(path, to):
    subprocess.run(["cp", "--sparse=always", path, to], check=True)
    return to


def ranges_of(console, name):
    """What was free of that device, in sectors: [(from, to)]. And `free`, the
    target's own number, must say the same."""
    text = console.split(f"ranges of {name}\n")[1]
    text = text[:re.search(r"^Top: \d+\n", text, re.M).end()]
    free = free_ranges(text)
    said = re.search(rf"^{re.escape(name)}-free=(\d+)", console, re.M)
    assert sum(b - a for a, b in free) * SECTOR == int(said.group(1)), name
    return free


def data_parts(fd, size):
    """[(from, to)] of what of a sparse file was ever written."""
    at = 0
    while at < size:
        try:
            start = os.lseek(fd, at, os.SEEK_DATA)
        except OSError:
            return
        at = os.lseek(fd, start, os.SEEK_HOLE)
        yield start, at


def compare_part(a, b, start, end, free):
    """Differing sectors of [start, end), in bytes, outside the free ranges."""
    for at in range(start, end, CHUNK):
        n = min(CHUNK, end - at)
        one, other = os.pread(a, n, at), os.pread(b, n, at)
        if one == other:
            continue
        for i in range(0, n, SECTOR):
            sector = (at + i) // SECTOR
            if one[i:i + SECTOR] != other[i:i + SECTOR] and \
                    not any(f <= sector < t for f, t in free):
                yield sector


def differences(one, other, free):
    """Like test_bow's, for images of any size: reads only what holds data."""
    size = one.stat().st_size
    assert size == other.stat().st_size
    with open(one, "rb") as a, open(other, "rb") as b:
        parts = set()
        for file in (a, b):
            for start, end in data_parts(file.fileno(), size):
                parts.update(range(start // CHUNK, -(-end // CHUNK)))
        return [s for p in sorted(parts) for s in
                compare_part(a.fileno(), b.fileno(), p * CHUNK,
                             min(size, (p + 1) * CHUNK), free)]


def make(path, size, mkfs):
    with open(path, "wb") as file:
        file.truncate(size)
    run(*mkfs, path)
    return path


def run(*words):
    done = subprocess.run([str(w) for w in words], check=False, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, f"{words}: {done.returncode}\n{done.stdout}"
    return done.stdout


def boot(script, disks, work, modules=(), program=None, files=None, **args):
    """disks: {name: path}; in the guest $name is the device. program: fsload,
    made for the guest. A Result."""
    files = dict(files or {}, **{"bin/fsload": program} if program else {})
    control = work / "control"
    values = "".join(f"{name}=/dev/vd{chr(97 + i)}\n"
                     for i, name in enumerate([*disks, "CONTROL"]))
    args.setdefault("machine", MACHINE)
    with Copier(control, disks):
        return vm.run(values + SHELL + script, work=work, files=files,
                      disks=[*disks.values(), control],
                      modules=["dm_mod", "dm_bow", *modules], **args)
