# SPDX-License-Identifier: GPL-2.0-or-later
"""Many small experiments with the update target in one boot.

Each is an Experiment: an old image, a diff, what the new image is, a script.
The scripts run one after the other, each in a shell of its own under `set -e`
with the old image on /dev/vda, the diff on /dev/vdb and zeros on /dev/vdc; one
that fails or hangs does not stop the others. Afterwards Part(...) has what it
printed.

    show [OPTIONS]   makes the device u with no_bg_update
    map [OPTIONS]    makes u with "<#opt> [...]" as given, "0" by default
    lower TABLE      what is under u from now on, instead of /dev/vda
    upper TABLE      the same for /dev/vdb
    sum DEVICE       SHA-256 of what is there, past the page cache
    field N          a word of the status: 1 done 2 total 3 bytes 4 phase
                     5 errors 6 reason
    stat NAME        a number of the message "stats"
    ios DISK N       field N of its statistics: 1 reads 5 writes 16 flushes
    wait_done N      until N blocks are merged
    wait_phase WORD  until the merge is there
    fails COMMAND    must fail
    reasons          what the kernel said about u since the script began
"""

import os
import re

import vm

MACHINE = os.environ.get("VM_MACHINE") or "amd64"

HEAD = """
export DM_DISABLE_UDEV=1
sectors=$(cat /old/$PART/sectors)
S=/dev/vda
D=/dev/vdb
show() { map "1 no_bg_update"; }
map() { dmsetup create u --table "0 $sectors update $S $D ${1:-0}"; }
swap() {
    if dmsetup info $1 >/dev/null 2>&1; then
        echo "$2" | dmsetup load $1
        dmsetup suspend --nolockfs $1
        dmsetup resume $1
    else
        echo "$2" | dmsetup create $1
    fi
}
lower() { swap lower "$1"; S=/dev/mapper/lower; }
upper() { swap upper "$1"; D=/dev/mapper/upper; }
sum() {
    dd if=$1 bs=1M iflag=direct 2>/run/dd | head -c $((sectors * 512)) |
        sha256sum | cut -d' ' -f1
}
field() { dmsetup status u | cut -d' ' -f$((3 + $1)); }
stat() {
    dmsetup message u 0 stats | tr ' ' '\\n' | sed -n "s/^$1=//p"
}
ios() { awk "{ print \\$$2 }" /sys/block/$1/stat; }
until_true() {
    for i in $(seq 1200); do
        if "$@"; then return 0; fi
        usleep 50000
    done
    echo "never: $*"
    return 1
}
is_done() { [ $(field 1) -ge $1 ]; }
is_phase() { [ $(field 4) = $1 ]; }
wait_done() { until_true is_done $1; }
wait_phase() { until_true is_phase $1; }
fails() { if "$@" 2>/run/err; then echo "did not fail: $*"; return 9; fi; }
reasons() { dmesg | grep 'device-mapper:'; }
forget() { sync; echo 3 > /proc/sys/vm/drop_caches; }
"""

RUN = """
cd /parts
for part in *; do
    export PART=$part
    echo "part-$part"
    dd if=/dev/zero of=/dev/vdb bs=1M count=16 conv=fsync 2>/run/dd
    dd if=/dev/zero of=/dev/vdc bs=1M count=4 conv=fsync 2>/run/dd
    dd if=/old/$part/data of=/dev/vda bs=64k conv=fsync 2>/run/dd
    dd if=/diff/$part of=/dev/vdb bs=64k conv=fsync 2>/run/dd
    echo 3 > /proc/sys/vm/drop_caches
    dmesg -c > /run/before
    status=0
    timeout %(limit)d sh -c "set -e; . /head.sh; . /parts/$part" || status=$?
    dmesg -c | grep -E 'BUG|WARNING|Oops|INFO: task|KASAN|lockdep' |
        sed 's/^/kernel-/'
    echo "end-$part=$status"
    for name in over u lower upper aside; do
        dmsetup remove --force $name >/dev/null 2>&1 || true
    done
done
"""


class Experiment:
    """@sectors: of the new image, if it has not the size of the old one."""

    def __init__(self, old, diff, script, sectors=None):
        self.old, self.diff, self.script = old, diff, script
        self.sectors = sectors or len(old) // 512


class Part:
    """What one experiment printed."""

    def __init__(self, name, console):
        found = re.search(rf"^part-{name}$\n(.*?)^end-{name}=(\d+)", console,
                          re.M | re.S)
        assert found, console
        self.text = found[1]
        assert found[2] == "0", f"status {found[2]}\n{self.text}"
        assert "kernel-" not in self.text, self.text

    def value(self, name):
        found = re.findall(rf"^{name}=(.*?)\s*$", self.text, re.M)
        assert found, f"no line {name}=\n{self.text}"
        return found[-1]

    def number(self, name):
        return int(self.value(name))


class Lab:
    """Boots once, runs all experiments {name: Experiment}."""

    def __init__(self, folder, experiments, limit=90, extra=None, **options):
        largest = max(max(len(e.old), e.sectors * 512)
                      for e in experiments.values())
        sizes = [largest + -largest % 4096, 16 << 20, 4 << 20]
        disks = []
        for number, size in enumerate(sizes):
            disk = folder / f"disk{number}"
            disk.write_bytes(bytes(size))
            disks.append(disk)
        files = {"head.sh": HEAD.encode(), **(extra or {})}
        for name, e in experiments.items():
            files[f"parts/{name}"] = e.script.encode()
            files[f"old/{name}/data"] = e.old
            files[f"old/{name}/sectors"] = str(e.sectors).encode()
            files[f"diff/{name}"] = e.diff
        options.setdefault("machine", MACHINE)
        options.setdefault("modules", [])
        options["modules"] = ["dm_update", *options["modules"]]
        result = vm.run(RUN % {"limit": limit}, disks=disks, files=files,
                        work=folder, memory=512,
                        timeout=120 + limit * len(experiments), **options)
        self.console = result.console
        assert result.status == 0, self.console

    def part(self, name):
        return Part(name, self.console)
