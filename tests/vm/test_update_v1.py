# SPDX-License-Identifier: GPL-2.0-or-later
"""Format version 1 in a real kernel: random pairs of images, whose diffs copy
old bytes from any offset, lean on them, and overwrite what they still need."""

import fcntl
import functools
import os
import random
import subprocess

import pytest

import logwrites
import vm
from test_update import PRELUDE, sha

UNIT = vm.OUT / "unit"
MIB = 1 << 20
RECORD, SEQUENCE = 4096, 8  # bytes of one; where in it its number is


@functools.lru_cache(maxsize=None)
def maker(name="v1-pair"):
    """A program of the unit tests. One process makes it, or another would find
    it half made."""
    UNIT.mkdir(parents=True, exist_ok=True)
    with open(UNIT / "v1-pair.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        subprocess.run(["make", "-s", "-C", vm.TOP / "tests/unit", f"O={UNIT}",
                        UNIT / name], check=True)
    return UNIT / name


class Pair:
    """Old and new image as devices hold them, in whole sectors, and the diff
    between them."""

    def __init__(self, folder, seed, blocks):
        paths = [folder / f"{name}-{seed}" for name in ("old", "new", "diff")]
        self.make(paths, seed, blocks)
        self.old, self.new, self.diff = (p.read_bytes() for p in paths)
        self.new += bytes(-len(self.new) % 512)
        self.sectors = len(self.new) // 512
        self.disk = max(len(self.old), len(self.new))
        self.disk += -self.disk % 4096

    def make(self, paths, seed, blocks):
        subprocess.run([maker(), str(seed), str(blocks), *paths], check=True)

    def on_disk(self, image):
        return image + bytes(self.disk - len(image))


class EditedPair(Pair):
    """The second half of the new image is the first one with an edit every 500
    bytes, so that all its chunks lean on as much of the old image."""

    def make(self, paths, seed, blocks):
        first = random.Random(seed).randbytes(blocks * 4096)
        edited = b"".join(first[i:i + 490] + b"an edit" for i in
                          range(0, len(first), 500))
        paths[0].write_bytes(first + bytes(len(first)))
        paths[1].write_bytes(first + (edited + first)[:len(first)])
        subprocess.run([vm.OUT / "host/bowline", "diff", *paths[:2], "-o",
                        paths[2]], check=True, capture_output=True)


class RoomsPair(Pair):
    def make(self, paths, seed, blocks):
        subprocess.run([maker("v1-rooms"), *paths], check=True)


SCRIPT = """
sectors=%(sectors)d
progress="progress /dev/vdc 0"
"""


def run_pair(folder, pair, script, system=None, progress=None, **more):
    """Boots with the pair; (result, system device, progress device)."""
    disks = [folder / name for name in ("system", "diff", "progress")]
    disks[0].write_bytes(system or pair.on_disk(pair.old))
    disks[1].write_bytes(pair.diff)
    disks[2].write_bytes(progress or bytes(8 * MIB))
    modules = ["dm_update", *more.pop("modules", ())]
    result = vm.run(PRELUDE + SCRIPT % {"sectors": pair.sectors} + script,
                    disks=disks + list(more.pop("disks", ())),
                    modules=modules, work=folder, **more)
    return result, disks[0].read_bytes(), disks[2].read_bytes()


def passes(result):
    assert result.status == 0, result.console
    return result


READERS = """
readers() {
    while [ ! -e /run/stop ]; do
        sum /dev/mapper/u
        for bs in 4k 28k; do
            dd if=/dev/mapper/u bs=$bs iflag=direct 2>/run/dd | sha256sum |
                cut -d' ' -f1
        done
    done >> /run/sums-$1
}
"""


@pytest.mark.parametrize("seed", [1, 2])
def test_show_and_merge(tmp_path, seed):
    """The new image before, during and after the merge, by several readers,
    through a suspend, and with another table in the middle."""
    pair = Pair(tmp_path, seed, 3000)
    result, disk, progress = run_pair(tmp_path, pair, READERS + """
        show || die show
        echo shown=$(sum /dev/mapper/u)
        dmsetup remove u
        map /dev/vda "4 paused $progress" || die map
        echo paused=$(sum /dev/mapper/u)
        for i in 1 2 3; do readers $i & done
        dmsetup message u 0 yield off
        dmsetup message u 0 rate 8388608
        dmsetup message u 0 resume
        sleep 1
        dmsetup suspend u; dmsetup resume u
        sleep 1
        dmsetup load u --table \\
            "0 $sectors update /dev/vda /dev/vdb 3 $progress" || die load
        dmsetup suspend u && dmsetup resume u || die reload
        dmsetup message u 0 yield off
        [ $(phase) = done ] || wait_event
        echo phase=$(phase) status=$(dmsetup status u)
        touch /run/stop
        wait
        echo sums=$(cat /run/sums-* | sort -u)
        echo after=$(sum /dev/mapper/u)
        dmsetup remove u
        map /dev/vda "3 $progress" || die again
        [ $(phase) = done ] || wait_event
        echo again=$(sum /dev/mapper/u)
        echo records=$(dmsetup message u 0 stats | sed 's/.* records=//')
        """, timeout=240)
    passes(result)
    assert int(result.value("records")) == max(
        int.from_bytes(progress[at:at + 8], "little")
        for at in (SEQUENCE, RECORD + SEQUENCE))
    want = sha(pair.new)
    for name in ("shown", "paused", "sums", "after", "again"):
        assert result.value(name) == want, name
    assert disk[:len(pair.new)] == pair.new
    assert disk[len(pair.new):] == pair.on_disk(pair.old)[len(pair.new):]


@pytest.mark.parametrize("seed", [3, 4])
def test_backwards(tmp_path, seed):
    """A lone read has only some pieces of a chunk decoded and checked; a read of
    earlier ones must not take what lies before them in the cache. An odd seed
    makes pieces that lean on those before, an even one such as stand alone."""
    pair = Pair(tmp_path, seed, 400)
    result, _, _ = run_pair(tmp_path, pair, """
        show || die show
        i=$((sectors / 8))
        while [ $i -ge 0 ]; do
            dd if=/dev/mapper/u of=/run/got bs=4k skip=$i seek=$i count=1 \
                iflag=direct conv=notrunc 2>/run/dd
            i=$((i - 1))
        done
        echo got=$(sha256sum < /run/got | cut -d' ' -f1)
        """, timeout=240)
    assert passes(result).value("got") == sha(pair.new)


def test_lone_reads(tmp_path):
    """Of a chunk of 16 blocks in pieces of one or two that stand alone, a lone
    read of a block has no more than its piece decoded."""
    pair = Pair(tmp_path, 4, 3000)
    result, _, _ = run_pair(tmp_path, pair, """
        decoded() { dmsetup message u 0 stats |
            sed 's/.*bytes_decoded=\\([0-9]*\\).*/\\1/'; }
        show || die show
        for i in $(seq 0 37 $((sectors / 8 - 1))); do
            before=$(decoded)
            dd if=/dev/mapper/u of=/run/got bs=4k skip=$i count=1 \
                iflag=direct 2>/run/dd
            echo "decoded $(($(decoded) - before))"
        done
        """, timeout=240)
    counts = [int(line.split()[1])
              for line in passes(result).console.splitlines()
              if line.startswith("decoded ")]
    some = sorted(n for n in counts if n)
    assert len(some) >= 10, counts
    assert some[len(some) * 3 // 4] <= 2 * 4096, counts


def test_old_bytes_of_a_row_are_read_together(tmp_path):
    """Where each of the 32 chunks of a merge leans on 64 KiB of its own."""
    pair = EditedPair(tmp_path, 9, 512)
    result, disk, _ = run_pair(tmp_path, pair, """
        map /dev/vda "4 paused $progress" || die map
        system=$(ios vda 1)
        diff=$(ios vdb 1)
        dmsetup message u 0 resume
        [ $(phase) = done ] || wait_event
        echo system=$(($(ios vda 1) - system)) diff=$(($(ios vdb 1) - diff))
        echo stats=$(dmsetup message u 0 stats)
        """)
    passes(result)
    assert disk == pair.new
    assert "chunks_decoded=32 " in result.value("stats")
    system, diff = result.value("system").split(" diff=")
    assert 2 <= int(system) <= 32 // 2
    assert 2 <= int(diff) <= 32 // 4


def test_old_bytes_that_move_while_a_row_is_read(tmp_path):
    """Read ahead, a row has old bytes of its last chunk from their place; by
    the time it comes to that chunk, they have a room of the save area. It must
    not take what was in that room before, which it has read along with the two
    rooms beside it. Slow reads and writes make sure that it comes to this."""
    pair = RoomsPair(tmp_path, 0, 0)
    result, disk, _ = run_pair(tmp_path, pair, """
        slowly() { dmsetup create $1 --table \\
            "0 $(blockdev --getsz $2) delay $2 0 $3 $2 0 $4" || die $1; }
        stat() { dmsetup message u 0 stats | tr ' ' '\\n' |
            sed -n "s/^$1=//p"; }
        slowly system /dev/vda 700 0
        slowly stage /dev/vdc 0 300
        map /dev/mapper/system "4 paused progress /dev/mapper/stage 0" ||
            die map
        dmsetup message u 0 yield off
        dmsetup message u 0 resume
        while [ $(stat records) -lt 2 ]; do usleep 20000; done
        echo moved=$(stat chunks_decoded)
        [ $(phase) = done ] || wait_event
        echo phase=$(phase) stats=$(dmsetup message u 0 stats)
        """, modules=["dm_delay"])
    passes(result)
    assert result.value("moved") == "1"
    assert result.value("phase").startswith("done ")
    assert disk == pair.new


def test_power_cuts(tmp_path):
    """Killed again and again in the middle; each time it shows the new image
    and goes on."""
    pair = Pair(tmp_path, 7, 6000)
    system, progress, killed = None, None, 0
    for delay in (1, 2, 1):
        result, system, progress = run_pair(tmp_path, pair, f"""
            map /dev/vda "3 $progress" || die map
            echo shown=$(sum /dev/mapper/u)
            dmsetup message u 0 yield off
            dmsetup message u 0 rate 4194304
            sleep {delay}
            echo CUT-HERE
            sleep 60
            """, system, progress, kill_at="CUT-HERE")
        assert result.value("shown") == sha(pair.new)
        killed += result.killed
    result, system, _ = run_pair(tmp_path, pair, """
        map /dev/vda "3 $progress" || die map
        echo shown=$(sum /dev/mapper/u)
        [ $(phase) = done ] || wait_event
        """, system, progress)
    passes(result)
    assert killed == 3
    assert result.value("shown") == sha(pair.new)
    assert system[:len(pair.new)] == pair.new


REFUSED = [
    ("0", "is merged only with progress"),
    ("3 progress /dev/vdd 0", "save area do not fit"),
]


def test_tables_that_are_refused(tmp_path):
    pair = Pair(tmp_path, 1, 500)
    small = tmp_path / "small"
    small.write_bytes(bytes(4096))
    result, disk, _ = run_pair(tmp_path, pair, "".join(f"""
        dmesg -c > /run/dmesg
        map /dev/vda "{words}" 2>/run/err && die taken
        echo line{i}=$(dmesg | grep device-mapper)
        """ for i, (words, _) in enumerate(REFUSED)) + """
        dmesg -c > /run/dmesg
        sectors=$((sectors - 1))
        show 2>/run/err && die "another size was taken"
        echo size=$(dmesg | grep device-mapper)
        """, disks=[small])
    passes(result)
    for i, (_, why) in enumerate(REFUSED):
        assert why in result.value(f"line{i}")
    assert "another size than the target" in result.value("size")
    assert disk == pair.on_disk(pair.old)


def flips(pair, count, seed):
    """Diffs with one bit flipped, somewhere."""
    dice = random.Random(seed)
    for _ in range(count):
        diff = bytearray(pair.diff)
        diff[dice.randrange(len(diff))] ^= 1 << dice.randrange(8)
        yield bytes(diff)


def test_flipped_bits(tmp_path):
    """Refused; or the image is right; or reads fail, but none is wrong."""
    pair = Pair(tmp_path, 5, 300)
    diffs = list(flips(pair, 24, 5))
    (tmp_path / "new").write_bytes(pair.new)
    result, disk, _ = run_pair(tmp_path, pair, """
        head -c $((sectors * 512)) /dev/vdd > /run/new
        for diff in /diffs/*; do
            dd if=$diff of=/dev/vdb bs=4k conv=fsync,notrunc 2>/run/dd
            echo 3 > /proc/sys/vm/drop_caches
            if ! show 2>/run/err; then
                echo refused >> /run/outcomes
                continue
            fi
            i=0
            outcome=right
            while [ $i -lt $sectors ]; do
                n=$((sectors - i))
                [ $n -le 128 ] || n=128
                if dd if=/dev/mapper/u of=/run/got bs=512 skip=$i count=$n \\
                    iflag=direct 2>/run/dd; then
                    dd if=/run/new bs=512 skip=$i count=$n 2>/run/dd |
                        cmp -s - /run/got || die "$diff: wrong at $i"
                else
                    outcome=failed
                fi
                i=$((i + n))
            done
            echo $outcome >> /run/outcomes
            dmsetup remove u
        done
        echo outcomes=$(sort /run/outcomes | uniq -c)
        echo reasons=$(dmesg | sed -n 's/.* is damaged: //p' | sort -u)
        """, disks=[tmp_path / "new"], timeout=300,
        files={f"diffs/{i:02}": diff for i, diff in enumerate(diffs)})
    passes(result)
    outcomes = result.value("outcomes").split()
    assert sum(int(n) for n in outcomes[::2]) == len(diffs)
    assert "refused" in outcomes
    assert "Chunk " in result.value("reasons")
    assert disk == pair.on_disk(pair.old)
