# SPDX-License-Identifier: GPL-2.0-or-later
"""The update target in a real kernel.

Diffs come from tests/data/update-v0, and from the writer there, which shares
no code with the project; one comes from 'bowline diff'.
"""

import hashlib
import importlib.util
import random
import struct
import subprocess

import pytest

import vm

SAMPLES = vm.TOP / "tests/data/update-v0"
BLOCK = 4096

PRELUDE = """
export DM_DISABLE_UDEV=1
sum() { dd if=$1 bs=1M iflag=direct 2>/run/dd | sha256sum | cut -d' ' -f1; }
ios() { awk "{ print \\$$2 }" /sys/block/$1/stat; }
die() { echo "died: $*"; dmesg | tail; exit 1; }
sectors=$(blockdev --getsz /dev/vda)
map() { dmsetup create u --table "0 $sectors update ${1:-/dev/vda} /dev/vdb $2"; }
show() { map /dev/vda "1 no_bg_update"; }
# Writes to the device "slow" take 30 ms each, so that a merge can be watched.
slow() {
    dmsetup create slow --table \\
        "0 $sectors delay /dev/vda 0 0 /dev/vda 0 30" || die slow
}
phase() { dmsetup status u | cut -d' ' -f7; }
done_blocks() { dmsetup status u | cut -d' ' -f4; }
wait_done() {
    for i in $(seq 600); do
        [ $(done_blocks) -ge $1 ] && return
        usleep 50000
    done
    die "the merge never came to block $1"
}
wait_event() { timeout 60 dmsetup wait u 0 || die "no event"; }
"""


def load_maker():
    spec = importlib.util.spec_from_file_location("make_v0",
                                                  SAMPLES / "make.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


maker = load_maker()


def sha(data):
    return hashlib.sha256(data).hexdigest()


class Setup:
    """A system disk with the old image, and a disk with the diff."""

    def __init__(self, folder, old, new, diff):
        self.folder, self.old, self.new = folder, old, new
        self.system, self.diff = folder / "system", folder / "diff"
        self.system.write_bytes(old)
        self.diff.write_bytes(diff)

    def run(self, script, disks=(), modules=(), **more):
        result = vm.run(PRELUDE + script,
                        disks=[self.system, self.diff, *disks],
                        modules=["dm_update", *modules], work=self.folder,
                        **more)
        assert "dm_update" not in result.console.partition("Oops")[2]
        return result

    def passes(self, script, **more):
        result = self.run(script, **more)
        assert result.status == 0, result.console
        return result


def images(count, changed, seed=1):
    """Lists of @count old and new blocks; those in @changed differ."""
    rng = random.Random(seed)

    def block():
        return maker.text(rng, BLOCK // 2) + rng.randbytes(BLOCK // 2)

    old = [block() for _ in range(count)]
    new = [block() if i in changed else old[i] for i in range(count)]
    return old, new


def make_setup(folder, count, changed, compression="zstd", per_chunk=16,
               **more):
    old, new = images(count, changed)
    diff = maker.build(old, new, compression, per_chunk, 4096, **more)
    return Setup(folder, b"".join(old), b"".join(new), diff)


def every_third(count):
    return set(range(0, count, 3))


# ---- reading ---------------------------------------------------------------

def test_samples(tmp_path):
    """Every sample shows the new image and leaves the system device alone."""
    names = ["none-16", "zstd-16", "zstd-3-shared", "lz4-5", "same"]
    old = (SAMPLES / "old.img").read_bytes()
    new = (SAMPLES / "new.img").read_bytes()
    setup = Setup(tmp_path, old, new, bytes(1 << 20))
    result = setup.passes("".join(f"""
        dd if=/{name} of=/dev/vdb bs=4k conv=fsync 2>/run/dd
        show || die {name}
        echo {name}=$(sum /dev/mapper/u)
        dmsetup remove u
        """ for name in names) + "rmmod dm_update",
        files={name: SAMPLES / f"{name}.diff" for name in names})
    for name in names[:-1]:
        assert result.value(name) == sha(new), name
    assert result.value("same") == sha(old)
    assert setup.system.read_bytes() == old


READS = """
show || die map
i=0
while [ $i -lt 80 ]; do
    at=$((RANDOM * 4 % sectors))
    n=$((1 << RANDOM % 10))
    [ $((at + n)) -le $sectors ] || n=$((sectors - at))
    a=$(dd if=/dev/mapper/u bs=512 skip=$at count=1 iflag=direct 2>/run/dd |
        md5sum)
    b=$(dd if=/dev/vdc bs=512 skip=$at count=1 2>/run/dd | md5sum)
    [ "$a" = "$b" ] || die "sector $at differs"
    at=$((at / n * n))
    a=$(dd if=/dev/mapper/u bs=${n}b skip=$((at / n)) count=1 iflag=direct \\
        2>/run/dd | md5sum)
    b=$(dd if=/dev/vdc bs=${n}b skip=$((at / n)) count=1 2>/run/dd | md5sum)
    [ "$a" = "$b" ] || die "$n sectors at $at differ"
    i=$((i + 1))
done
for bs in 4k 12k 64k 1M; do
    dd if=/dev/mapper/u bs=$bs iflag=direct 2>/run/dd | md5sum > /run/sum-$bs &
done
wait
[ $(cat /run/sum-* | sort -u | wc -l) = 1 ] || die "readers disagree"
echo sum=$(sum /dev/mapper/u)
"""


def test_reads_of_any_size(tmp_path):
    """Single sectors, pieces of blocks, several readers at once."""
    setup = make_setup(tmp_path, 1024, every_third(700) | set(range(800, 990)),
                       per_chunk=5)
    (tmp_path / "new").write_bytes(setup.new)
    result = setup.passes(READS, disks=[tmp_path / "new"])
    assert result.value("sum") == sha(setup.new)
    assert setup.system.read_bytes() == setup.old


def test_readers_of_the_same_stay_together(tmp_path):
    """One reads much faster than the other, and more than the cache holds: yet
    it does not run so far ahead that all is decompressed twice."""
    count = 1536
    setup = make_setup(tmp_path, count, set(range(count)), "none")
    result = setup.passes("""
        show || die show
        mkfifo /run/gate
        for bs in 64k 4k; do
            (read go < /run/gate; dd if=/dev/mapper/u bs=$bs iflag=direct \
                2>/run/dd-$bs | sha256sum > /run/sum-$bs) &
        done
        sleep 1
        : > /run/gate
        wait
        echo sums=$(cut -d' ' -f1 /run/sum-64k /run/sum-4k)
        echo decoded=$(dmsetup message u 0 stats |
            sed 's/.*chunks_decoded=\\([0-9]*\\).*/\\1/')
        """)
    assert result.value("sums").split() == 2 * [sha(setup.new)]
    assert int(result.value("decoded")) <= 1.1 * count / 16


def test_sectors_of_4096(tmp_path):
    """A chunk may begin and end anywhere, whatever the device's unit is."""
    setup = make_setup(tmp_path, 256, every_third(256), per_chunk=3)
    result = setup.passes("show || die map; echo sum=$(sum /dev/mapper/u)",
                          sector=4096)
    assert result.value("sum") == sha(setup.new)


def test_blocks_smaller_than_the_devices(tmp_path):
    """Requests of a part of the device's sector could not be served."""
    setup = make_setup(tmp_path, 64, {3, 4})
    diff = bytearray(setup.diff.read_bytes())
    diff[9] = 9  # block_bits
    setup.diff.write_bytes(diff)
    setup.passes("""
        show && die accepted
        dmesg | grep "smaller than the system" || die "for another reason"
        """, sector=4096)


def test_unchanged_reads_are_not_split(tmp_path):
    """One request to the system device for each request, 128 KiB and 1 MiB."""
    setup = make_setup(tmp_path, 1024, {0, 1023})
    result = setup.passes("""
        show || die map
        count() {
            before=$(ios vda 1)
            dd if=$1 of=/dev/null bs=$2 skip=1 count=$3 iflag=direct \\
                2>/run/dd
            echo $(($(ios vda 1) - before))
        }
        echo small=$(count /dev/mapper/u 128k 20) $(count /dev/vda 128k 20)
        echo large=$(count /dev/mapper/u 1M 2) $(count /dev/vda 1M 2)
        """)
    small, raw = map(int, result.value("small").split())
    assert small == raw == 20
    large, raw = map(int, result.value("large").split())
    assert large == raw


def test_table_that_begins_elsewhere(tmp_path):
    """Sectors are counted from the target's start, reading and merging. The
    disk is shared with another target, so it is not marked read-only: writes
    are refused one by one, to changed blocks and to unchanged ones."""
    setup = make_setup(tmp_path, 256, every_third(256))
    result = setup.passes("""
        both() {
            printf '0 24 zero\\n24 %s update /dev/vda /dev/vdb %s\\n' \\
                $sectors "$1" | dmsetup create u || die "map $1"
        }
        refuses() {
            for block in 3 4 5; do
                dd if=/dev/vdb of=/dev/mapper/u bs=4k seek=$block count=1 \\
                    oflag=direct conv=notrunc 2>/run/dd &&
                    die "a write to block $block went through"
            done
        }
        both "1 no_bg_update"
        refuses
        echo shown=$(dd if=/dev/mapper/u bs=4k skip=3 iflag=direct \\
            2>/run/dd | sha256sum)
        dmsetup remove u
        both 0
        wait_event
        refuses
        echo merged=$(dd if=/dev/mapper/u bs=4k skip=3 iflag=direct \\
            2>/run/dd | sha256sum)
        """, modules=["dm_zero"])
    assert result.value("shown").split()[0] == sha(setup.new)
    assert result.value("merged").split()[0] == sha(setup.new)
    assert setup.system.read_bytes() == setup.new


def test_read_only(tmp_path):
    """The disk cannot be opened for writing; a read-only table may merge."""
    setup = make_setup(tmp_path, 64, {3, 4})
    setup.passes("""
        show || die map
        [ $(blockdev --getro /dev/mapper/u) = 1 ] || die "not read-only"
        dd if=/dev/vdb of=/dev/mapper/u bs=4k count=1 conv=notrunc \\
            2>/run/dd && die "a write went through"
        dmsetup remove u
        dmsetup create u --readonly \\
            --table "0 $sectors update /dev/vda /dev/vdb 0" || die map
        wait_event
        """)
    assert setup.system.read_bytes() == setup.new


# ---- merging ---------------------------------------------------------------

def test_merge(tmp_path):
    """While four read, the image is copied; the last status says durable."""
    setup = make_setup(tmp_path, 1024, every_third(300) | set(range(512, 1024)))
    result = setup.passes("""
        slow
        map /dev/mapper/slow 0 || die map
        for i in 1 2 3 4; do
            for j in 1 2 3; do sum /dev/mapper/u; done >> /run/sums &
        done
        dmsetup table u
        wait_event
        echo status=$(dmsetup status u | cut -d' ' -f4,5)
        echo phase=$(phase)
        wait
        sum /dev/mapper/u >> /run/sums
        echo sums=$(sort /run/sums | uniq -c)
        before=$(ios vdb 1)
        sum /dev/mapper/u > /run/last
        [ $(ios vdb 1) = $before ] || die "merged blocks come from the diff"
        dmsetup suspend u; dmsetup resume u
        echo again=$(dmsetup status u | cut -d' ' -f4,5)
        """, modules=["dm_delay"])
    assert result.value("status") == "612 612"
    assert result.value("again") == "612 612"
    assert result.value("phase") == "done"
    assert result.value("sums").split() == ["13", sha(setup.new)]
    assert setup.system.read_bytes() == setup.new


def test_merge_writes_are_large(tmp_path):
    """Blocks in a row go in one write, though from many chunks."""
    setup = make_setup(tmp_path, 1300, set(range(100, 1124)))
    result = setup.passes("""
        before=$(ios vda 5)
        map /dev/vda 0 || die map
        wait_event
        echo writes=$(($(ios vda 5) - before)) flushes=$(ios vda 16)
        """)
    writes, flushes = result.value("writes").split(" flushes=")
    assert int(writes) <= 4 * 2 + 1  # virtio takes a MiB in two
    assert int(flushes) <= 1
    assert setup.system.read_bytes() == setup.new


def test_image_that_ends_inside_a_block(tmp_path):
    """Neither the read nor the copy touches what is behind the target."""
    setup = make_setup(tmp_path, 64, {0, 62, 63}, per_chunk=2)
    result = setup.passes("""
        sectors=$((sectors - 3))
        show || die map
        echo shown=$(sum /dev/mapper/u)
        dmsetup remove u
        map /dev/vda 0 || die map
        wait_event
        echo status=$(dmsetup status u | cut -d' ' -f4,5)
        """)
    end = len(setup.new) - 3 * 512
    assert result.value("shown") == sha(setup.new[:end])
    assert result.value("status") == "3 3"
    assert setup.system.read_bytes() == setup.new[:end] + setup.old[end:]


def test_power_cuts(tmp_path):
    """Killed twice in the middle, then shown, then merged to the end."""
    setup = make_setup(tmp_path, 1024, every_third(1024))
    mixed = 0
    for at in (60, 200):
        result = setup.run(f"""
            slow
            map /dev/mapper/slow 0 || die map
            wait_done {at}
            echo CUT-HERE
            sleep 60
            """, modules=["dm_delay"], kill_at="CUT-HERE")
        assert result.killed, result.console
        disk = setup.system.read_bytes()
        assert disk not in (setup.old, setup.new)
        mixed += 1
    result = setup.passes("""
        show || die map
        echo shown=$(sum /dev/mapper/u)
        dmsetup remove u
        map /dev/vda 0 || die map
        wait_event
        echo merged=$(sum /dev/mapper/u)
        """)
    assert mixed == 2
    assert result.value("shown") == sha(setup.new)
    assert result.value("merged") == sha(setup.new)
    assert setup.system.read_bytes() == setup.new


def test_suspend_resume_remove(tmp_path):
    """A suspended merge does no I/O; one that is removed begins again."""
    setup = make_setup(tmp_path, 1024, every_third(1024))
    result = setup.passes("""
        slow
        map /dev/mapper/slow 0 || die map
        wait_done 40
        dmsetup suspend u
        before=$(ios vda 5)
        sleep 1
        [ $(ios vda 5) = $before ] || die "suspended, but it writes"
        at=$(done_blocks)
        dmsetup resume u
        wait_done $((at + 20))
        dmsetup remove u || die remove
        before=$(ios vda 5)
        sleep 1
        [ $(ios vda 5) = $before ] || die "removed, but it writes"
        map /dev/mapper/slow 0 || die map
        wait_done 60
        # A reload in the middle: the new table begins where data says.
        dmsetup load u --table \\
            "0 $sectors update /dev/vda /dev/vdb 1 no_bg_update" || die load
        dmsetup suspend u && dmsetup resume u || die reload
        echo shown=$(sum /dev/mapper/u)
        dmsetup load u --table "0 $sectors update /dev/vda /dev/vdb 0"
        dmsetup suspend u && dmsetup resume u || die reload
        wait_done 342
        # As 'bowline merge' does it at the end.
        dmsetup load u --table "0 $sectors linear /dev/vda 0"
        dmsetup suspend u && dmsetup resume u || die linear
        [ $(blockdev --getro /dev/mapper/u) = 0 ] || die "still read-only"
        echo linear=$(sum /dev/mapper/u)
        dmsetup remove u && dmsetup remove slow && rmmod dm_update ||
            die "something is still held"
        """, modules=["dm_delay"])
    assert result.value("shown") == sha(setup.new)
    assert result.value("linear") == sha(setup.new)
    assert setup.system.read_bytes() == setup.new


def test_messages(tmp_path):
    """Paused it stands, and makes way for reads until told not to."""
    setup = make_setup(tmp_path, 1024, set(range(0, 1024, 2)))
    result = setup.passes("""
        map /dev/vda "1 paused" || die map
        [ $(phase) = paused ] || die "not paused"
        reader() {
            while [ ! -e /run/stop ]; do
                dd if=/dev/mapper/u of=/dev/null bs=64k iflag=direct 2>$1
            done
        }
        # A busy host takes longer to begin one again than the merge waits.
        for i in 1 2 3 4; do reader /run/dd-$i & done
        sleep 1
        dmsetup message u 0 resume
        sleep 2
        echo yielding=$(done_blocks)
        dmsetup message u 0 pause
        sleep 1
        at=$(done_blocks)
        sleep 1
        echo paused=$(($(done_blocks) - at)) table=$(dmsetup table u)
        touch /run/stop
        dmsetup message u 0 yield off
        dmsetup message u 0 resume
        wait_done 512
        for words in "rate" "rate x" "rate -1" "yield" "yield maybe" "pause x" \
            "nonsense" "stats x"; do
            dmsetup message u 0 $words 2>/run/err && die "understood: $words"
        done
        dmsetup remove u
        show || die show
        dmsetup message u 0 pause 2>/run/err && die "there is no merge"
        dmsetup message u 0 stats
        """)
    assert int(result.value("yielding")) < 300
    assert result.value("paused").startswith("0 table=")
    assert result.value("paused").endswith("254:16 1 paused")
    assert setup.system.read_bytes() == setup.new


# ---- damage ----------------------------------------------------------------

def find_chunks(diff):
    """(src, first block of the image) of each chunk, and the end."""
    offset, size, n = struct.unpack_from("<QQQ", diff, 32)
    directory = diff[offset:offset + size]
    if diff[16:20] == b"zstd":
        directory = subprocess.run(["zstd", "-dqc"], input=directory,
                                   check=True, stdout=subprocess.PIPE).stdout
    found = {}
    for i in range(n):
        dest, _, _, src, _ = struct.unpack_from("<IHHII", directory, 16 * i)
        found.setdefault(src, dest)
    return sorted(found.items())


def damaged_blocks(setup, result, bad):
    """The blocks of the image that could not be read, from the console."""
    failed = {int(b) for b in result.value("failed").split()}
    good = result.value("good").split()
    want = [sha(setup.new[b * BLOCK:(b + 1) * BLOCK])[:8]
            for b in range(len(setup.new) // BLOCK) if b not in failed]
    assert good == want
    assert failed == bad


READ_EACH = """
read_each() {
    b=0
    while [ $b -lt $((sectors / 8)) ]; do
        if dd if=/dev/mapper/u bs=4k skip=$b count=1 iflag=direct \\
            of=/run/b 2>/run/dd; then
            good="$good $(sha256sum /run/b | cut -c1-8)"
        else
            failed="$failed $b"
        fi
        b=$((b + 1))
    done
    echo "failed=$failed"
    echo "good=$good"
}
"""


def check_bad_chunk(setup, bad, first):
    """Reads of @bad fail, no other; the merge stops before block @first."""
    result = setup.passes(READ_EACH + """
        show || die map
        read_each
        dmsetup remove u
        map /dev/vda 0 || die map
        wait_event
        echo status=$(dmsetup status u | cut -d' ' -f4,5)
        echo phase=$(dmsetup status u | cut -d' ' -f7,9)
        dmesg | grep 'device-mapper: update'
        """)
    damaged_blocks(setup, result, bad)
    done, total = map(int, result.value("status").split())
    assert done < total
    assert result.value("phase") == "failed damaged_chunk"
    assert "is damaged" in result.console
    assert "merge into 254:0 stopped after" in result.console
    disk = setup.system.read_bytes()
    assert disk[:first * BLOCK] == setup.new[:first * BLOCK]
    assert disk[first * BLOCK:] == setup.old[first * BLOCK:]


def test_flipped_bit(tmp_path):
    changed = every_third(150)
    setup = make_setup(tmp_path, 150, changed)
    diff = bytearray(setup.diff.read_bytes())
    found = find_chunks(diff)
    diff[found[1][0] + 100] ^= 0x10
    setup.diff.write_bytes(diff)
    first, end = found[1][1], found[2][1]
    check_bad_chunk(setup, {b for b in changed if first <= b < end}, first)


def test_short_chunk(tmp_path):
    """What a chunk does not give is not taken from the one before."""
    changed = every_third(150)
    sizes = []

    def pack(data):
        sizes.append(len(data))
        data = data[:-BLOCK] if len(sizes) == 2 else data
        return maker.PACK["zstd"](data)

    setup = make_setup(tmp_path, 150, changed, pack=pack)
    found = find_chunks(setup.diff.read_bytes())
    first, end = found[1][1], found[2][1]
    check_bad_chunk(setup, {b for b in changed if first <= b < end}, first)


def test_unreadable_update_device(tmp_path):
    """An I/O error fails its reads; the merge tries again, then can go on."""
    changed = every_third(150)
    setup = make_setup(tmp_path, 150, changed, compression="none")
    begin, first = find_chunks(setup.diff.read_bytes())[1]
    begin //= 512
    result = setup.passes(READ_EACH + f"""
        size=$(blockdev --getsz /dev/vdb)
        dmsetup create diff --table "0 {begin} linear /dev/vdb 0
            {begin} 8 error
            $(({begin} + 8)) $((size - {begin} - 8)) linear /dev/vdb \\
            $(({begin} + 8))" || die diff
        dmsetup create u --table \\
            "0 $sectors update /dev/vda /dev/mapper/diff 0" || die map
        wait_event
        echo phase=$(dmsetup status u | cut -d' ' -f7,9)
        sectors=$(({first} * 8 + 8)) read_each
        dmsetup load diff --table "0 $size linear /dev/vdb 0"
        dmsetup suspend diff; dmsetup resume diff
        dmsetup suspend u; dmsetup resume u
        wait_done 50
        echo sum=$(sum /dev/mapper/u)
        dmesg | grep 'device-mapper: update'
        """)
    assert result.value("phase") == "failed io_error"
    assert result.value("failed").split() == [str(first)]
    assert "is unreadable" in result.console
    assert result.value("sum") == sha(setup.new)


def make_small_chunks(folder):
    """Half of the image changes, in chunks that are a fraction of their size."""
    rng = random.Random(5)
    old, new = ([maker.text(rng, 512) * 8 for _ in range(512)]
                for _ in range(2))
    new[256:] = old[256:]
    diff = maker.build(old, new, "zstd", 16, 4096)
    setup = Setup(folder, b"".join(old), b"".join(new), diff)
    return setup, find_chunks(diff)[:-1]


def test_small_chunks_are_read_together(tmp_path):
    setup, chunks = make_small_chunks(tmp_path)
    result = setup.passes("""
        show
        before=$(ios vdb 1)
        echo sum=$(sum /dev/mapper/u)
        echo reads=$(($(ios vdb 1) - before))
        """)
    assert result.value("sum") == sha(setup.new)
    assert int(result.value("reads")) < len(chunks) / 2


def test_an_unreadable_chunk_is_no_matter_for_the_one_before(tmp_path):
    """Though both are read together."""
    setup, chunks = make_small_chunks(tmp_path)
    begin, first = -(-chunks[1][0] // 512), chunks[1][1]
    result = setup.passes(f"""
        size=$(blockdev --getsz /dev/vdb)
        dmsetup create diff --table "0 {begin} linear /dev/vdb 0
            {begin} 1 error
            $(({begin} + 1)) $((size - {begin} - 1)) linear /dev/vdb \\
            $(({begin} + 1))" || die diff
        dmsetup create u --table "0 $sectors update /dev/vda \\
            /dev/mapper/diff 1 no_bg_update" || die map
        dd if=/dev/mapper/u bs=4k count={first} iflag=direct of=/run/first
        echo first=$(sha256sum </run/first | cut -d' ' -f1)
        if dd if=/dev/mapper/u bs=4k skip={first} count=1 iflag=direct \\
            of=/run/second; then die "the second chunk was read"; fi
        """)
    assert result.value("first") == sha(setup.new[:first * BLOCK])


# ---- refusals --------------------------------------------------------------

def patched(diff, offset, data):
    return diff[:offset] + data + diff[offset + len(data):]


def hostile_diffs():
    """{name: (diff, what the kernel says)}: one of every kind of check; the
    unit test t-update-dir has them all."""
    old, new = images(64, every_third(64))
    diff = maker.build(old, new, "none", 4, 4096)
    offset, _, n = struct.unpack_from("<QQQ", diff, 32)
    last = offset + 16 * (n - 1)

    def u64(value):
        return struct.pack("<Q", value)

    return {
        "magic": (patched(diff, 0, b"x"), "Not an update diff"),
        "version": (patched(diff, 8, b"\2"), "Unknown version"),
        "name": (patched(diff, 16, b"deflate\0"), "Unknown compression"),
        "chunk": (patched(diff, 12, b"\xff\xff\xff\x7f"), "Chunk size out of"),
        "huge": (patched(diff, 48, u64(1 << 60)), "Directory size out of"),
        "many": (patched(diff, 48, u64(1000)), "more blocks than the image"),
        "far": (patched(diff, 32, u64(1 << 40)), "Directory outside of"),
        "order": (patched(diff, offset + 16, diff[offset:offset + 16]),
                  "not in block order"),
        "beyond": (patched(patched(diff, last, b"\xff\xff"), last - 16,
                           b"\xfe\xff"), "a block past the image"),
        "end": (patched(diff, last + 6, diff[last - 10:last - 4]),
                "Chunks are not in file order"),
        "length": (patched(diff, last + 6, b"\xff\xff\xff\xff\xff\xff"),
                   "Compressed chunk is too large"),
        "offset": (patched(diff, offset + 12, b"\4"), "points past a chunk"),
        "garbled": (patched(maker.build(old, new, "zstd", 4, 4096), 40,
                            u64(50)), "Directory is damaged"),
    }


def test_hostile_metadata(tmp_path):
    diffs = hostile_diffs()
    setup = make_setup(tmp_path, 64, every_third(64))
    setup.diff.write_bytes(bytes(1 << 20))
    result = setup.passes("".join(f"""
        dd if=/dev/zero of=/dev/vdb bs=1M count=1 2>/run/dd
        dd if=/{name} of=/dev/vdb bs=4k conv=fsync 2>/run/dd
        dmesg -c > /run/dmesg
        show 2>/run/err && die "{name} was taken"
        echo {name}=$(dmesg | grep update)
        """ for name in diffs), files={n: d for n, (d, _) in diffs.items()})
    for name, (_, why) in diffs.items():
        assert why in result.value(name), name
    assert setup.system.read_bytes() == setup.old


ARGUMENTS = [
    ("/dev/vda", "Expected <system dev>"),
    ("/dev/vda /dev/vdb", "Expected <system dev>"),
    ("/dev/vda /dev/vdb x", "Invalid number of options"),
    ("/dev/vda /dev/vdb 2 no_bg_update no_bg_update",
     "Unknown or repeated option"),
    ("/dev/vda /dev/vdb 1 turbo", "Unknown or repeated option"),
    ("/dev/vda /dev/vdb 2 no_bg_update paused", "Either no_bg_update or"),
    ("/dev/vda /dev/vdb 2 progress /dev/vdb", "Unknown or repeated option"),
    ("/dev/vda /dev/vdb 3 progress /dev/vdb x", "Expected progress <dev>"),
    ("/dev/vda /dev/vdb 3 progress /dev/none 0", "Cannot open the progress"),
    ("/dev/vda /dev/vdb 3 progress /dev/vda 0", "lies in the system device"),
    ("/dev/vda /dev/vdb 3 progress /dev/vdb 0", "or in the diff"),
    ("/dev/vda /dev/vdb 3 progress /dev/vdb 3", "a multiple of 4096"),
    ("/dev/vda /dev/vdb 3 progress /dev/vdb 1048576", "do not fit"),
    ("/dev/vda /dev/vdb 1", "Invalid number of options"),
    ("/dev/vda /dev/vdb 0 no_bg_update", "Too many arguments"),
    ("/dev/vda /dev/vdb 1 no_bg_update x", "Too many arguments"),
    ("/dev/none /dev/vdb 0", "Cannot open the system device"),
    ("/dev/vda /dev/none 0", "Cannot open the update device"),
    ("/dev/vda /dev/vda 0", "are the same"),
]


def test_devices_that_are_used_twice(tmp_path):
    """By a target of the same table that may write, and for the progress: a
    device that has to be opened again is not another one."""
    setup = make_setup(tmp_path, 64, every_third(64))
    size = setup.diff.stat().st_size
    behind = size + -size % 4096
    setup.diff.write_bytes(setup.diff.read_bytes().ljust(behind + 8192, b"\0"))
    result = setup.passes(f"""
        echo "0 $sectors update /dev/vda /dev/vdb 1 no_bg_update
            $sectors 8 linear /dev/vda 0" | dmsetup create u || die two
        dd if=/dev/mapper/u bs=512 count=$sectors of=/run/new
        echo shown=$(sha256sum </run/new | cut -d' ' -f1)
        dmsetup remove u
        blockdev --setro /dev/vdb
        show || die "cannot show a diff that is read-only"
        dmsetup remove u
        blockdev --setrw /dev/vdb
        map /dev/vda "3 progress /dev/vdb {behind // 512}" || die map
        wait_event
        echo merged=$(sum /dev/vda)
        dmsetup remove u && rmmod dm_update || die "something is still held"
        """)
    assert result.value("shown") == result.value("merged") == sha(setup.new)


def test_arguments(tmp_path):
    setup = make_setup(tmp_path, 64, every_third(64))
    result = setup.passes("".join(f"""
        dmesg -c > /run/dmesg
        dmsetup create u --table "0 $sectors update {words}" 2>/run/err &&
            die "taken: {words}"
        echo line{i}=$(dmesg | grep device-mapper)
        """ for i, (words, _) in enumerate(ARGUMENTS)) + """
        sectors=$((sectors + 8))
        show 2>/run/err && die "larger than the system device"
        sectors=$((sectors - 8))
        show || die map
        dmsetup message u 0 nonsense 2>/run/err && die "nonsense understood"
        dmsetup table u | sed 's/^/table=/'
        dmsetup remove u && rmmod dm_update || die "something is still held"
        """)
    for i, (words, why) in enumerate(ARGUMENTS):
        assert why in result.value(f"line{i}"), words
    assert (result.value("table") ==
            "0 512 update 254:0 254:16 1 no_bg_update")
