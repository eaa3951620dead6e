# SPDX-License-Identifier: GPL-2.0-or-later
"""The 23 known hazards of the published update target: a test each that ours
does not have it. Nearly all run in a real kernel, in one boot."""

import functools
import random
import struct
import subprocess

import pytest

import counts
import vm
from host import BOWLINE, TOP, run
from test_update import (SAMPLES, find_chunks, images, maker, patched, sha)
from test_update_v1 import Pair
from updatelab import MACHINE, Experiment, Lab

BLOCK = 4096
MODULES = ["dm_mod", "dm_delay", "dm_flakey", "dm_zero", "dm_snapshot"]
LABS = {}


@functools.lru_cache(maxsize=None)
def pair(count, kind="mixed"):
    """(old, new) as lists of blocks; "mixed": rows and single ones change,
    "all": every block, "ends": the first and the last."""
    changed = {"mixed": set(range(0, count // 2, 3)) |
               set(range(count // 2, count - count // 8)),
               "all": set(range(count)), "ends": {0, count - 1}}[kind]
    return images(count, changed)


def diff_of(old, new, compression="zstd", per_chunk=16, **more):
    return maker.build(old, new, compression, per_chunk, 4096, **more)


def new_image(count=512, kind="mixed"):
    return b"".join(pair(count, kind)[1])


def experiment(number, script, count=512, kind="mixed", diff=None, **more):
    old, new = pair(count, kind)
    LABS[f"h{number:02}"] = Experiment(
        b"".join(old), diff or diff_of(old, new, **more), script)


@pytest.fixture(scope="session")
def lab(tmp_path_factory):
    plain = diff_of(*pair(512, "all"), "none")
    return Lab(tmp_path_factory.mktemp("lab"), LABS, modules=MODULES,
               extra={"extra/none": plain})


def counted(number):
    """The last line of each test here: one hazard less."""
    counts.add("hazards", 1)
    print(f"hazard {number}: not here")


# ---- 1: one decompression state ---------------------------------------------

experiment(1, """
map
dmsetup message u 0 yield off
for i in 1 2 3 4 5 6 7 8; do
    for bs in 4k 20k 64k 1M; do
        dd if=/dev/mapper/u bs=$bs iflag=direct 2>/run/dd | sha256sum
    done > /run/sums-$i &
done
wait
wait_phase done
echo sums=$(cat /run/sums-* | sort | uniq -c)
echo merged=$(sum /dev/vda)
""", per_chunk=3)


def test_hazard_01_decompression_states_are_not_shared(lab):
    part = lab.part("h01")
    assert part.value("sums").split() == ["32", sha(new_image()), "-"]
    assert part.value("merged") == sha(new_image())
    counted(1)


# ---- 2: src is checked ------------------------------------------------------

def sources():
    """{name: (a diff with wrong places of its chunks, the reason)}"""
    old, new = pair(64)
    diff = diff_of(old, new, "none", 4)
    offset, _, n = struct.unpack_from("<QQQ", diff, 32)
    last = offset + 16 * (n - 1)
    before = diff[last - 10:last - 4]
    first = diff[offset + 6:offset + 12]
    return {
        "same": (patched(diff, last + 6, before), "not in file order"),
        "less": (patched(diff, last + 6, first), "not in file order"),
        "huge": (patched(diff, last + 6, b"\xff" * 6), "chunk is too large"),
        "zero": (patched(diff, offset + 6, bytes(6)), ""),
    }


def refusals(diffs):
    """A script that tries each of /extra/NAME."""
    return "".join(f"""
dmesg -c > /run/before
dd if=/dev/zero of=/dev/vdb bs=1M count=4 conv=fsync 2>/run/dd
dd if=/extra/{name} of=/dev/vdb bs=64k conv=fsync 2>/run/dd
fails show
echo {name}=$(reasons)
""" for name in diffs)


def extra(diffs):
    return {f"extra/{name}": data for name, data in diffs.items()}


def refused(tmp_path, diffs):
    """Boots once; every diff of {name: (diff, reason)} has to be refused."""
    old, _ = pair(64)
    lab = Lab(tmp_path,
              {"all": Experiment(b"".join(old), b"", refusals(diffs))},
              extra=extra({name: d for name, (d, _) in diffs.items()}))
    for name, (_, reason) in diffs.items():
        assert reason in lab.part("all").value(name), name


def test_hazard_02_places_of_chunks_are_checked(tmp_path):
    refused(tmp_path, sources())
    counted(2)


# ---- 3: what decompression yields -------------------------------------------

def short_diff(count=150):
    """The second chunk gives a block less than it should."""
    old, new = pair(count)
    sizes = []

    def pack(data):
        sizes.append(len(data))
        return maker.PACK["zstd"](data[:-BLOCK] if len(sizes) == 2 else data)

    return diff_of(old, new, pack=pack)


BAD_CHUNK = """
show
i=0
while [ $i -lt $((sectors / 8)) ]; do
    if dd if=/dev/mapper/u of=/run/b bs=4k skip=$i count=1 iflag=direct \\
        2>/run/dd; then
        cat /run/b >> /run/good
    else
        bad="$bad $i"
    fi
    i=$((i + 1))
done
echo bad=$bad
echo good=$(sha256sum < /run/good | cut -d' ' -f1)
rm /run/good
dmsetup remove u
map
wait_phase failed
echo reason=$(field 6) done=$(field 1) of=$(field 2) errors=$(field 5)
echo disk=$(sum /dev/vda)
"""


def bad_chunk(part, count, diff):
    """Only the reads of the second chunk failed, and it was not merged."""
    old, new = pair(count)
    found = find_chunks(diff)
    changed = [i for i in range(count) if old[i] != new[i]]
    bad = [b for b in changed if found[1][1] <= b < found[2][1]]
    assert part.value("bad").split() == [str(b) for b in bad]
    assert part.value("good") == sha(b"".join(
        block for i, block in enumerate(new) if i not in bad))
    said = dict(word.split("=") for word in
                ("reason=" + part.value("reason")).split())
    assert said["reason"] == "damaged_chunk"
    assert int(said["done"]) < int(said["of"]) and int(said["errors"]) > 0
    assert part.value("disk") in (
        # Writes that were under way beside it may have come to their end.
        sha(b"".join(new[:n] + old[n:])) for n in range(bad[0] + 1))


experiment(3, BAD_CHUNK, 150, diff=short_diff())


def test_hazard_03_a_short_chunk_shows_nothing_stale(lab):
    bad_chunk(lab.part("h03"), 150, short_diff())
    counted(3)


# ---- 4: checksums, and the base ---------------------------------------------

def flipped_diff(count=150):
    diff = bytearray(diff_of(*pair(count)))
    diff[find_chunks(diff)[1][0] + 100] ^= 0x10
    return bytes(diff)


experiment(4, BAD_CHUNK, 150, diff=flipped_diff())


def test_hazard_04_a_flipped_bit_or_another_base_is_not_merged(lab, tmp_path):
    """The frame's checksum, which 'bowline diff' always adds, finds the bit.
    A diff of version 1 says what it belongs to, so one other bit of the old
    image is one too many; for version 0 'bowline install' compares what the
    bundle says, and tests/errors shows how."""
    bad_chunk(lab.part("h04"), 150, flipped_diff())
    pair_1 = Pair(tmp_path, 4, 100)
    (tmp_path / "diff").write_bytes(pair_1.diff)
    for flip, status in ((0, 0), (1, 1)):
        (tmp_path / "old").write_bytes(bytes([pair_1.old[0] ^ flip]) +
                                       pair_1.old[1:])
        applied = run(BOWLINE, "apply", tmp_path / "old", tmp_path / "diff",
                      "-o", tmp_path / f"new-{flip}", check=False)
        assert applied.returncode == status
    assert "is not what" in applied.stderr
    assert not (tmp_path / "new-1").exists()
    counted(4)


# ---- 5: memory --------------------------------------------------------------

experiment(5, """
show
echo memory=$(stat memory) directory=$(stat directory)
sum /dev/mapper/u > /run/sum
echo after=$(stat memory)
""", 1024, "all")


def memory_diffs():
    old, new = pair(64)
    diff = diff_of(old, new, "none", 4)
    return {
        "chunk": (patched(diff, 12, b"\xff\xff\xff\x7f"), "Chunk size out of"),
        "many": (patched(diff, 48, struct.pack("<Q", 1 << 60)),
                 "Directory size out of"),
        "packed": (patched(diff, 40, struct.pack("<Q", 1 << 40)),
                   "Directory outside of"),
    }


def test_hazard_05_memory_is_bounded(lab, tmp_path):
    part = lab.part("h05")
    fixed, directory = part.value("memory").split(" directory=")
    assert int(fixed) <= 2 << 20
    assert part.value("after") == fixed
    chunks = 1024 // 16 + 1
    assert int(directory) <= 8 * (1024 + 1) + 16 * chunks + 1024 // 8 + 64
    refused(tmp_path, memory_diffs())
    counts.add("memory at rest", f"{int(fixed) >> 10} KiB")
    counted(5)


# ---- 6: dest, and the last block --------------------------------------------

def beyond_diff():
    old, new = pair(64)
    diff = diff_of(old, new, "none", 4)
    offset, _, n = struct.unpack_from("<QQQ", diff, 32)
    last = offset + 16 * (n - 1)
    return patched(patched(diff, last, b"\xff\xff"), last - 16, b"\xfe\xff")


experiment(6, """
sectors=$((sectors - 3))
map
wait_phase done
echo done=$(field 1) total=$(field 2)
echo shown=$(sum /dev/mapper/u)
echo tail=$(dd if=/dev/vda bs=512 skip=$sectors count=3 iflag=direct \\
    2>/run/dd | sha256sum | cut -d' ' -f1)
""", 64, "all", per_chunk=2)


def test_hazard_06_nothing_is_written_outside(lab, tmp_path):
    refused(tmp_path, {"beyond": (beyond_diff(), "a block past the image")})
    part = lab.part("h06")
    new, old = new_image(64, "all"), b"".join(pair(64, "all")[0])
    assert part.value("done").split() == ["64", "total=64"]
    assert part.value("shown") == sha(new[:-1536])
    assert part.value("tail") == sha(old[-1536:])
    counted(6)


# ---- 7: the target's start --------------------------------------------------

experiment(7, """
printf '0 24 zero\\n24 %s update /dev/vda /dev/vdb 0\\n' $sectors |
    dmsetup create u
dmsetup status u
until_true sh -c "dmsetup status u | grep -q ' done '"
echo shown=$(dd if=/dev/mapper/u bs=4k skip=3 iflag=direct 2>/run/dd |
    sha256sum | cut -d' ' -f1)
echo merged=$(sum /dev/vda)
""")


def test_hazard_07_a_table_may_start_anywhere(lab):
    assert lab.part("h07").value("shown") == sha(new_image())
    assert lab.part("h07").value("merged") == sha(new_image())
    counted(7)


# ---- 8: failures ------------------------------------------------------------

experiment(8, """
at=$((sectors / 2))
good="0 $sectors linear /dev/vda 0"
bad="0 $at linear /dev/vda 0
$at $((sectors - at)) flakey /dev/vda $at 0 99 1 error_writes"
lower "$bad"
map
wait_phase running
sleep 1
echo first=$(field 4) errors=$(field 5)
timeout 60 dmsetup wait u 0
echo then=$(field 4) reason=$(field 6) done=$(field 1)
echo shown=$(sum /dev/mapper/u)
lower "$good"
before=$(dmsetup info -c --noheadings -o events u)
dmsetup suspend u
dmsetup resume u
timeout 60 dmsetup wait u $before || true
wait_phase done
echo last=$(field 4) reason=$(field 6)
echo merged=$(sum /dev/vda)
""")


def test_hazard_08_failures_are_retried_and_seen(lab):
    part = lab.part("h08")
    first, errors = part.value("first").split(" errors=")
    assert first == "running" and int(errors) > 0
    assert part.value("then").startswith("failed reason=io_error")
    assert part.value("last") == "done reason=-"
    assert part.value("shown") == part.value("merged") == sha(new_image())
    counted(8)


# ---- 9: durable progress ----------------------------------------------------

def striped(count, mark):
    """Blocks that differ, and that take no time to make or to compress."""
    return [struct.pack("<Q", i) + bytes([mark]) * (BLOCK - 8)
            for i in range(count)]


PROGRESS = """
lower "0 $sectors delay /dev/vda 0 0 /dev/vda 0 100"
options="3 progress /dev/vdc 8"
map "$options"
dmsetup message u 0 yield off
dmsetup message u 0 rate 8388608
wait_done 4600
dmsetup suspend u
dmsetup remove u
map "4 paused progress /dev/vdc 8"
echo again=$(field 1)
echo table=$(dmsetup table u)
echo shown=$(sum /dev/mapper/u)
dmsetup message u 0 resume
wait_phase done
echo bytes=$(field 3)
echo merged=$(sum /dev/vda)
dmsetup remove u
map "$options"
wait_phase done
echo after=$(field 3)
"""


def test_hazard_09_progress_survives(tmp_path):
    old, new = striped(8192, 1), striped(8192, 2)
    lab = Lab(tmp_path, {"all": Experiment(
        b"".join(old), diff_of(old, new, "zstd", 64),
        PROGRESS)}, modules=MODULES)
    part = lab.part("all")
    assert part.number("again") == 4096
    assert part.value("table").endswith("4 paused progress 254:32 8")
    assert part.number("bytes") == 4096 * BLOCK
    assert part.number("after") == 0
    assert part.value("shown") == part.value("merged") == sha(b"".join(new))
    counted(9)


# ---- 10: splitting ----------------------------------------------------------

experiment(10, """
show
count() {
    before=$(ios vda 1)
    dd if=$1 of=/dev/null bs=$2 skip=1 count=$3 iflag=direct 2>/run/dd
    echo $(($(ios vda 1) - before))
}
for bs in 4k 64k 128k; do
    echo $bs=$(count /dev/mapper/u $bs 10)
done
echo 1M=$(count /dev/mapper/u 1M 2) raw=$(count /dev/vda 1M 2)
""", 1024, "ends")


def test_hazard_10_unchanged_reads_are_not_split(lab):
    part = lab.part("h10")
    for size in ("4k", "64k", "128k"):
        assert part.number(size) == 10
    ours, raw = part.value("1M").split(" raw=")
    assert ours == raw
    counted(10)


# ---- 11: large writes, several at once, a throttle --------------------------

experiment(11, """
reset() { dmsetup remove u; }
lower "0 $sectors delay /dev/vda 0 0 /dev/vda 0 400"
before=$(ios vda 5)
start=$(date +%s)
map
dmsetup message u 0 yield off
wait_phase done
echo writes=$(($(ios vda 5) - before)) seconds=$(($(date +%s) - start))
reset
S=/dev/vda
map "1 paused"
dmsetup message u 0 rate 1048576
start=$(date +%s)
dmsetup message u 0 resume
wait_phase done
echo slow=$(($(date +%s) - start))
""", 2048, "all", compression="none")


def test_hazard_11_writes_are_large_and_overlap(lab):
    """8 MiB in a row: at most 1.1 writes a MiB and the flush, which the disk
    counts by itself; one after the other they would take 3.2 s and more."""
    part = lab.part("h11")
    writes, seconds = part.value("writes").split(" seconds=")
    assert int(writes) <= 9
    assert int(seconds) <= 3
    assert part.number("slow") >= 6
    counted(11)


# ---- 12: merged blocks ------------------------------------------------------

experiment(12, """
size=$(blockdev --getsz /dev/vdb)
upper "0 $size linear /dev/vdb 0"
map
wait_phase done
upper "0 $size error"
forget
echo shown=$(sum /dev/mapper/u)
echo decoded=$(stat chunks_decoded)
sum /dev/mapper/u > /run/sum
echo then=$(stat chunks_decoded)
""")


def test_hazard_12_merged_blocks_are_read_plainly(lab):
    part = lab.part("h12")
    assert part.value("shown") == sha(new_image())
    assert part.value("decoded") == part.value("then")
    counted(12)


# ---- 13: completions that read again ----------------------------------------

experiment(13, """
show
rm -f /run/sums-*
dmsetup create over --table "0 $sectors update /dev/mapper/u /dev/vdb 1 \\
no_bg_update"
for i in $(seq 16); do
    dd if=/dev/mapper/over bs=$((i * 4))k iflag=direct 2>/run/dd |
        sha256sum > /run/sums-$i &
done
wait
echo sums=$(cat /run/sums-* | sort | uniq -c)
dmsetup remove over
""")


def test_hazard_13_no_lock_is_held_over_completions(lab):
    """The target over itself: reads that end begin others. The debug kernel
    would tell of sleep in map(), and of locks that are taken in two orders."""
    assert lab.part("h13").value("sums").split() == ["16", sha(new_image()),
                                                     "-"]
    counted(13)


# ---- 14: more chunks than there is room -------------------------------------

experiment(14, """
show
for i in $(seq 64); do
    dd if=/dev/mapper/u bs=4k skip=$((i * 8 - 8)) count=8 iflag=direct \\
        of=/run/part-$i 2>/run/dd &
done
wait
echo joined=$(for i in $(seq 64); do cat /run/part-$i; done | sha256sum |
    cut -d' ' -f1)
echo decoded=$(stat chunks_decoded)
""", 512, "all", per_chunk=8)


def test_hazard_14_more_chunks_than_buffers(lab):
    """64 readers of as many chunks: none is lost, none starves, and a chunk is
    not decompressed anew for each of its 8 blocks."""
    part = lab.part("h14")
    assert part.value("joined") == sha(new_image(512, "all"))
    assert part.number("decoded") <= 3 * 64
    counted(14)


# ---- 15: each chunk once, and no more than is needed -------------------------

experiment(15, """
show
rm -f /run/sums-* /run/gate
mkfifo /run/gate
for i in 1 2 3 4; do
    (read go < /run/gate || dd if=/dev/mapper/u bs=4k iflag=direct 2>/run/dd) |
        sha256sum > /run/sums-$i &
done
sleep 1
: > /run/gate
wait
echo sums=$(cat /run/sums-* | sort | uniq -c | sed 's/ -//')
echo decoded=$(stat chunks_decoded)
dmsetup remove u
dd if=/extra/none of=/dev/vdb bs=64k conv=fsync 2>/run/dd
forget
show
for i in 35 100 203 470; do
    dd if=/dev/mapper/u of=/dev/null bs=4k skip=$i count=1 iflag=direct \\
        2>/run/dd
done
echo lone=$(stat bytes_decoded)
dd if=/dev/mapper/u of=/dev/null bs=80k skip=14 count=1 iflag=direct 2>/run/dd
echo both=$(stat bytes_decoded)
""", 512, "all")


def test_hazard_15_chunks_are_decompressed_once(lab):
    """By four readers that begin together; and of a chunk that can be stopped
    at any byte, a lone read gets no more than is before its end: of a single
    block, and of blocks 280 to 300, the second half of a chunk and a part of
    the next."""
    part = lab.part("h15")
    assert part.value("sums").split() == ["4", sha(new_image(512, "all"))]
    assert part.number("decoded") == 512 // 16
    assert part.number("lone") == sum((i % 16 + 1) * BLOCK
                                      for i in (35, 100, 203, 470))
    assert part.number("both") - part.number("lone") == (16 + 12) * BLOCK
    counted(15)


# ---- 16: a suspend that fails -----------------------------------------------

experiment(16, """
lower "0 $sectors delay /dev/vda 0 3000 /dev/vda 0 100"
map
dmsetup message u 0 yield off
dd if=/dev/mapper/u of=/dev/null bs=4k skip=510 count=1 iflag=direct \\
    2>/run/dd &
sleep 1
at=$(field 1)
timeout -s INT 1 dmsetup suspend --nolockfs u && echo it-was-suspended
echo state=$(dmsetup info -c --noheadings -o suspended u)
wait_phase done
wait
echo done=$(field 1)
""")


def test_hazard_16_a_failed_suspend_does_not_stop_the_merge(lab):
    part = lab.part("h16")
    assert "it-was-suspended" not in part.text
    assert part.value("state") == "Active"
    old, new = pair(512)
    assert part.number("done") == sum(a != b for a, b in zip(old, new))
    counted(16)


# ---- 17: arguments ----------------------------------------------------------

experiment(17, """
for more in "0 0" "0 no_bg_update" "1 no_bg_update x" "1 x" "2 paused" \\
    "2 paused paused" "x"; do
    fails map "$more"
done
map
lines() { sed -n 's/.*update: //p'; }
reasons | wc -l
""")


def test_hazard_17_other_arguments_are_refused(lab):
    assert lab.part("h17").text
    counted(17)


# ---- 18: read-only ----------------------------------------------------------

experiment(18, """
blockdev --setro /dev/vdb
blockdev --setro /dev/vda
show
echo ro=$(blockdev --getro /dev/mapper/u)
fails dd if=/dev/zero of=/dev/mapper/u bs=4k count=1 conv=notrunc
blockdev --setrw /dev/vda
dmsetup remove u
map
wait_phase done
blockdev --setrw /dev/vdb
echo merged=$(sum /dev/vda)
""")


def test_hazard_18_nothing_is_opened_for_writing_in_vain(lab):
    part = lab.part("h18")
    assert part.value("ro") == "1"
    assert part.value("merged") == sha(new_image())
    counted(18)


# ---- 19: compression names --------------------------------------------------

def named_diff():
    return patched(diff_of(*pair(64), "none"), 16, b"deflate\0")


experiment(19, """
cut -d' ' -f1 /proc/modules | sort > /run/modules
fails show
cut -d' ' -f1 /proc/modules | sort | cmp - /run/modules
echo said=$(reasons)
""", 64, diff=named_diff())


def test_hazard_19_no_module_is_loaded_by_name(lab):
    assert "Unknown compression of the update diff" in \
        lab.part("h19").value("said")
    counted(19)


# ---- 20: limits -------------------------------------------------------------

def test_hazard_20_limits_and_devices_are_announced(tmp_path):
    """That a read of 512 bytes is refused cannot be seen here: busybox's dd
    does without O_DIRECT then, and reads by way of the page cache."""
    old, new = pair(64)
    lab = Lab(tmp_path, {"all": Experiment(b"".join(old), diff_of(old, new), """
map "4 paused progress /dev/vdc 0"
echo size=$(cat /sys/block/dm-0/queue/logical_block_size)
echo deps=$(dmsetup deps -o devname u)
echo shown=$(sum /dev/mapper/u)
""")}, sector=4096)
    part = lab.part("all")
    assert part.value("size") == "4096"
    for name in ("(vda)", "(vdb)", "(vdc)"):
        assert name in part.value("deps")
    assert part.value("shown") == sha(new_image(64))
    counted(20)


# ---- 21: the page cache -----------------------------------------------------

experiment(21, """
cat /dev/vda > /run/old
map
wait_phase done
echo seen=$(head -c $((sectors * 512)) /dev/vda | sha256sum | cut -d' ' -f1)
""")


def test_hazard_21_old_pages_are_dropped(lab):
    """A plain read of the system device, of which all was cached before."""
    assert lab.part("h21").value("seen") == sha(new_image())
    counted(21)


# ---- 22: 32 bits ------------------------------------------------------------

def test_hazard_22_links_on_32_bits():
    """Our modules for a 32-bit kernel, which has no 64-bit division: what is
    undefined then is said at the end of the build, which fails."""
    run(TOP / "scripts/kmod.sh", "armhf")
    module = vm.OUT / "vm/armhf/kmod/dm-update.ko"
    symbols = subprocess.run(["nm", "-u", module], check=True, text=True,
                             stdout=subprocess.PIPE).stdout
    assert "dm_register_target" in symbols
    assert "divdi3" not in symbols and "aeabi_uldivmod" not in symbols
    counted(22)


# ---- 23: when the copy starts -----------------------------------------------

experiment(23, """
before=$(ios vda 5)
show
sum /dev/mapper/u > /run/sum
sleep 1
dmsetup remove u
map "1 paused"
sleep 1
echo paused=$(($(ios vda 5) - before)) phase=$(field 4)
echo old=$(sum /dev/vda)
dmsetup message u 0 resume
wait_phase done
echo new=$(sum /dev/vda)
""")


def test_hazard_23_the_copy_starts_when_it_is_told_to(lab):
    part = lab.part("h23")
    assert part.value("paused") == "0 phase=paused"
    assert part.value("old") == sha(b"".join(pair(512)[0]))
    assert part.value("new") == sha(new_image())
    counted(23)


def test_every_hazard_has_its_test():
    names = [name for name in globals() if name.startswith("test_hazard_")]
    assert sorted(int(name[12:14]) for name in names) == list(range(1, 24))
