# SPDX-License-Identifier: GPL-2.0-or-later
"""The end of an update under a root that is mounted and busy: dm-verity lies
over the target, programs read files all the time, the merge ends, a linear table
takes the place of the target's, and the diff is overwritten."""

import os
import subprocess

import verity
import vm
from host import BOWLINE, noise, run
from test_update import PRELUDE, sha

MACHINE = os.environ.get("VM_MACHINE") or "amd64"
SIZE = "8M"

SCRIPT = """
busy() {
    while [ ! -e /run/stop ]; do
        echo 3 > /proc/sys/vm/drop_caches
        cat /mnt/*/* | sha256sum
    done > /run/sums-$1 2>/run/errors-$1
}
rounds() { cat /run/sums-* | wc -l; }
# Until the readers have been through three times more.
read_on() {
    until=$(($(rounds) + 3))
    for i in $(seq 1200); do
        [ $(rounds) -lt $until ] || return 0
        usleep 50000
    done
    die "the readers stand still"
}
map /dev/vda "4 paused progress /dev/vdc 0" || die map
dmsetup create root --readonly --table "%(verity)s" || die root
mount -t ext4 -o ro /dev/mapper/root /mnt || die mount
for i in 1 2 3; do busy $i & done
read_on
dmsetup message u 0 resume
[ $(phase) = done ] || wait_event
echo status=$(dmsetup status u)
dmsetup load u --table "0 $sectors linear /dev/vda 0" || die load
dmsetup suspend u && dmsetup resume u || die swap
dd if=/dev/zero of=/dev/vdb bs=1M conv=fsync 2>/run/dd
read_on
touch /run/stop
wait
echo sums=$(cat /run/sums-* | sort -u)
echo errors=$(cat /run/errors-*)
echo complaints=$(dmesg | grep -c -E 'corrupted|EXT4-fs error|I/O error')
umount /mnt
dmsetup remove root
echo table=$(dmsetup table u)
"""


def image(folder, name, files):
    tree = folder / f"{name}-tree"
    for path, contents in files.items():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_bytes(contents)
    made = folder / name
    run("mke2fs", "-q", "-t", "ext4", "-b", "4096", "-O", "^has_journal", "-d",
        tree, made, SIZE)
    return made


def test_a_busy_root_becomes_linear(tmp_path):
    text = b"".join(b"line %d\n" % (i * i) for i in range(90000))
    old = image(tmp_path, "old", {"bin/a": noise(900000, 1), "etc/b": text})
    files = {"bin/a": noise(900000, 1)[5000:] + b"new", "etc/b": text[77:],
             "lib/c": noise(800000, 2)}
    new = image(tmp_path, "new", files)
    subprocess.run([BOWLINE, "diff", "--format", "1", old, new, "-o",
                    tmp_path / "diff"], check=True, capture_output=True)
    hashes, root = verity.tree(new)
    (tmp_path / "hashes").write_bytes(hashes)
    (tmp_path / "progress").write_bytes(bytes(8 << 20))
    want = new.read_bytes()
    table = verity.table(len(want) // 512, "/dev/mapper/u", "/dev/vdd", root)
    result = vm.run(
        PRELUDE + SCRIPT % {"verity": table},
        disks=[tmp_path / name for name in ("old", "diff", "progress",
                                            "hashes")],
        modules=["dm_update", "dm_verity", "sha256_generic", "ext4"],
        work=tmp_path, machine=MACHINE, timeout=240)
    assert result.status == 0, result.console
    assert result.value("sums").split() == [
        sha(b"".join(files[path] for path in sorted(files))), "-"]
    assert result.value("errors") == "" and result.value("complaints") == "0"
    assert " linear " in result.value("table")
    assert old.read_bytes() == want
