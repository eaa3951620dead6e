# SPDX-License-Identifier: GPL-2.0-or-later
"""Many small experiments with the bow target in one boot.

Each has a name, a script, and a slice of /dev/vda of its own, which it sees as
the device $L; a second one on /dev/vdb, $C, of the same size takes copies. The
scripts run one after the other, each in a shell of its own under `set -e`; one
that fails or hangs does not stop the others. Afterwards Part(...) has what it
printed and both slices.

    bow [OPTIONS]   makes $B, the bow device over $L; $BOW is its sysfs folder
    trim AT N       discards N sectors of $B
    begin           prints the ranges, copies $L to $C, state 1
    put AT TEXT [N] a direct write of N sectors of TEXT
    get AT          the first line of TEXT there
    field N         a word of the status line: 1 state 2 free 3 backed up
                    4 log blocks 5 errors
    live            the sector of the live block 0, by the ranges
    fails COMMAND   must fail
"""

import os
import re
import struct
from pathlib import Path

import vm

MACHINE = os.environ.get("VM_MACHINE") or "amd64"
SLICE = 4 << 20
SECTORS = SLICE // 512

HEAD = """
LOWER="linear /dev/vda $((SLOT * %(sectors)d))"
sectors=%(sectors)d
open() {
    dmsetup create lower --table "0 $sectors $LOWER"
    dmsetup create copy --table "0 $sectors linear /dev/vdb $((SLOT * sectors))"
    L=$(device lower)
    C=$(device copy)
}
# lower TABLE: what $L is from now on
lower() {
    echo "$1" | dmsetup load lower
    dmsetup suspend --nolockfs lower
    dmsetup resume lower
}
device() { echo /dev/dm-$(dmsetup info -c --noheadings -o minor $1); }
folder() { echo /sys/block/$(basename $(device $1)); }
bow() {
    dmsetup create bow --table "0 $sectors bow $L $1"
    B=$(device bow)
    BOW=$(folder bow)/bow
}
trim() { blkdiscard -o $(($1 * 512)) -l $(($2 * 512)) $B; }
ranges() { dmsetup message bow 0 ranges; }
begin() {
    ranges
    forget
    cp $L $C
    echo 1 > $BOW/state
}
forget() { sync; echo 3 > /proc/sys/vm/drop_caches; }
put() { poke $B $1 $2 $3 2>/run/err; }
get() { poke ${2:-$B} $1; }
field() { dmsetup status bow | cut -d ' ' -f $((3 + $1)); }
live() { ranges | sed -n 's/^Sector0_current: //p'; }
fails() { if "$@" 2>/run/err; then echo "did not fail: $*"; exit 9; fi; }
stat() { awk "{ print \\$$2 }" /sys/block/$1/stat; }
""" % {"sectors": SECTORS}

RUN = """
export SLOT=0
cd /parts
for part in *; do
    echo "part-$part"
    status=0
    timeout %(limit)d sh -c "set -e; . /head.sh; open; . /parts/$part" || status=$?
    dmesg -c | grep -E 'BUG|WARNING|Oops|INFO: task|KASAN|lockdep' | sed 's/^/kernel-/'
    echo "end-$part=$status"
    for name in bow huge lower copy; do
        dmsetup remove --force $name >/dev/null 2>&1 || true
    done
    SLOT=$((SLOT + 1))
done
sync
"""


def poke_program(folder):
    return vm.program(Path(__file__).with_name("poke.c"), folder, MACHINE)


class Part:
    """What one experiment left."""

    def __init__(self, number, name, lab):
        found = re.search(rf"^part-{name}$\n(.*?)^end-{name}=(\d+)",
                          lab.console, re.M | re.S)
        assert found, lab.console
        self.text = found[1]
        assert found[2] == "0", f"status {found[2]}\n{self.text}"
        assert "kernel-" not in self.text, self.text
        self.disk = lab.slice(lab.disks[0], number)
        self.copy = lab.slice(lab.disks[1], number)

    def value(self, name):
        found = re.findall(rf"^{name}=(.*?)\s*$", self.text, re.M)
        assert found, f"no line {name}=\n{self.text}"
        return found[-1]

    def number(self, name):
        return int(self.value(name))

    def free(self):
        """What was free when state 1 began, sectors [(from, to), ...]."""
        first = self.text.split("Top: ")[0]
        found = re.findall(r"^(\w+): (\d+)$", first, re.M) + [("", SECTORS)]
        return [(int(a), int(b)) for (kind, a), (_, b) in zip(found, found[1:])
                if kind == "Free"]


class Lab:
    """Boots once, runs all scripts {name: text}."""

    def __init__(self, folder, scripts, limit=90, disk_size=None, **options):
        self.disks = [folder / "vda", folder / "vdb"]
        self.names = sorted(scripts)
        for path in self.disks:
            with open(path, "wb") as disk:
                for n in range(len(self.names)):
                    disk.write(os.urandom(SLICE))
                disk.truncate(disk_size or len(self.names) * SLICE)
        options.setdefault("machine", MACHINE)
        files = {"head.sh": HEAD.encode(), "bin/poke": poke_program(folder)}
        for name in self.names:
            files[f"parts/{name}"] = scripts[name].encode()
        script = RUN % {"limit": limit}
        result = vm.run(script, disks=self.disks, files=files, work=folder,
                        timeout=120 + limit * len(self.names), **options)
        self.console = result.console
        assert result.status == 0, self.console

    @staticmethod
    def slice(path, number):
        with open(path, "rb") as disk:
            disk.seek(number * SLICE)
            return disk.read(SLICE)

    def part(self, name):
        return Part(self.names.index(name), name, self)


def header(block):
    """(block size, count, sequence, sector0) of a log block."""
    magic, _, _, size, count, sequence, sector0 = struct.unpack_from(
        "<4sHHIIIQ", block)
    assert magic == b"BOW\0", magic
    return size, count, sequence, sector0


def line(text):
    """A sector that put() filled with this text."""
    return (f"{text}\n".encode() * 512)[:512]
