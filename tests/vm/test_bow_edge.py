# SPDX-License-Identifier: GPL-2.0-or-later
"""The bow target under raw I/O: heavy mixed writes, no space, failing disks,
reloads, refused tables. Everything is compared byte for byte on the host."""

import os
import shutil

import pytest

import vm
from test_bow import SHAPES, bowline, differences, free_ranges

MODULES = ["dm_mod", "dm_bow", "dm_flakey"]
SIZE = 16 << 20

SETUP = """
set -e
BOW=/sys/block/dm-0/bow
sectors=$(blockdev --getsz /dev/vda)
make() { dmsetup create bow --table "0 $sectors bow ${2:-/dev/vda} $1"; }
forget() { echo 3 > /proc/sys/vm/drop_caches; }
fails() { if "$@" 2>/run/err; then echo "did not fail: $*"; exit 9; fi; }
"""


@pytest.fixture(scope="session")
def scribble(tmp_path_factory):
    return vm.program(vm.TOP / "tests/vm/scribble.c",
                      tmp_path_factory.mktemp("bin"))


@pytest.fixture
def disks(tmp_path):
    paths = [tmp_path / name for name in ("data", "begun", "upper")]
    for path in paths:
        path.write_bytes(os.urandom(SIZE))
    return paths


SCRIBBLE = SETUP + """
make "1 block_size:$BLOCK_SIZE"
FREE="2 5 9 12 13"
for at in $FREE; do blkdiscard -o ${at}M -l 1M /dev/dm-0; done
dmsetup message bow 0 ranges
cp /dev/vda /dev/vdb
echo 1 > $BOW/state
scribble /dev/dm-0 $SEED $OPS 8 $FREE
dmsetup status bow | sed 's/^/status=/'
forget
dd if=/dev/dm-0 of=/dev/vdc bs=64k 2>/dev/null
sync
"""


def run_scribble(disks, tmp_path, scribble, shape, more, values="OPS=150\n",
                 **args):
    block_size, sector = shape
    values += f"BLOCK_SIZE={block_size}; SEED={block_size}\n"
    return vm.run(values + SCRIBBLE + more, disks=disks, modules=MODULES,
                  work=tmp_path, sector=sector,
                  files={"bin/scribble": scribble}, timeout=240, **args)


@pytest.mark.parametrize("shape", SHAPES)
def test_scribble_then_restore_or_keep(disks, tmp_path, scribble, shape):
    result = run_scribble(disks, tmp_path, scribble, shape,
                          "echo CUT-HERE; sleep 99\n", kill_at="CUT-HERE")
    assert result.killed, result.console
    assert " 0 wrong" in result.value("scribble"), result.console
    kept = tmp_path / "kept"
    shutil.copyfile(disks[0], kept)
    bowline("restore", disks[0])
    assert differences(disks[0], disks[1], free_ranges(result.console)) == []
    bowline("keep", kept)
    assert differences(kept, disks[2], []) == []


@pytest.mark.parametrize("shape", [SHAPES[0], SHAPES[2]])
def test_commit_while_writing(disks, tmp_path, scribble, shape):
    result = run_scribble(disks, tmp_path, scribble, shape, """
        scribble /dev/dm-0 7 300 8 $FREE > /run/out &
        sleep 1
        echo 2 > $BOW/state
        wait
        cat /run/out
        dmsetup status bow | sed 's/^/final=/'
        forget
        dd if=/dev/dm-0 of=/dev/vdc bs=64k 2>/dev/null
        dmsetup remove bow
        """, "OPS=60; export NO_DISCARD=1\n")
    assert result.status == 0, result.console
    assert result.console.count(" 0 wrong") == 2, result.console
    assert result.value("final").split()[3] == "2"
    assert bowline("inspect", disks[0]) == "no log\n"
    assert differences(disks[0], disks[2], []) == []


def three_free(blocks):
    """A shell line that frees so many 512-byte blocks, apart."""
    return "".join(f"blkdiscard -o {at << 20} -l 512 /dev/dm-0\n"
                   for at in range(3, 3 + blocks))


def test_three_free_blocks_are_enough(disks, tmp_path, scribble):
    result = vm.run(SETUP + "make ''\n" + three_free(3) + """
        echo free=$(cat $BOW/free)
        dmsetup message bow 0 ranges
        cp /dev/vda /dev/vdb
        echo 1 > $BOW/state
        echo left=$(cat $BOW/free)
        scribble /dev/dm-0 99
        echo after=$(cat $BOW/free)
        cp /dev/vda /dev/vdc
        fails scribble /dev/dm-0 77
        grep -q 'No space left' /run/err
        scribble /dev/dm-0 99
        scribble /dev/dm-0 0
        dmsetup status bow | sed 's/^/status=/'
        """, disks=disks, modules=MODULES, work=tmp_path,
                    files={"bin/scribble": scribble})
    assert result.status == 0, result.console
    assert result.value("free") == "1536"
    assert result.value("left") == "512"
    assert result.value("after") == "0"
    at_77 = slice(77 * 512, 78 * 512)
    assert disks[0].read_bytes()[at_77] == disks[1].read_bytes()[at_77]
    bowline("restore", disks[0])
    assert differences(disks[0], disks[1], free_ranges(result.console)) == []


def test_a_write_over_the_last_free_block_with_the_log_full(disks, tmp_path,
                                                            scribble):
    """The one free block is where the full log has to go; the write covers it
    and a block that needs a backup. It fails for want of space, at once."""
    result = vm.run(SETUP + """
        make ''
        blkdiscard -o $((16385 * 512)) -l $((22 * 512)) /dev/dm-0
        dmsetup message bow 0 ranges
        cp /dev/vda /dev/vdb
        echo 1 > $BOW/state
        for at in $(seq 100 2 136); do scribble /dev/dm-0 $at; done
        echo left=$(cat $BOW/free)
        fails timeout 20 scribble /dev/dm-0 16406 2
        grep -q 'No space left' /run/err
        """, disks=disks, modules=MODULES, work=tmp_path, timeout=90,
                    files={"bin/scribble": scribble})
    assert result.status == 0, result.console
    assert result.value("left") == "512"
    bowline("restore", disks[0])
    assert differences(disks[0], disks[1], free_ranges(result.console)) == []


def test_two_free_blocks_begin_one_does_not(disks, tmp_path):
    result = vm.run(SETUP + "make ''\n" + three_free(1) + """
        cp /dev/vda /dev/vdb
        fails sh -c "echo 1 > $BOW/state"
        echo state=$(cat $BOW/state) free=$(cat $BOW/free)
        forget
        cmp /dev/vda /dev/vdb
        dd if=/dev/dm-0 of=/dev/null bs=1M
        """ + three_free(2) + """
        echo 1 > $BOW/state
        echo then=$(cat $BOW/state) free=$(cat $BOW/free)
        fails sh -c "echo 1 > $BOW/state"
        fails sh -c "echo 3 > $BOW/state"
        fails sh -c "echo 0 > $BOW/state"
        echo 2 > $BOW/state
        fails sh -c "echo 3 > $BOW/state"
        forget
        """, disks=disks, modules=MODULES, work=tmp_path)
    assert result.status == 0, result.console
    assert result.value("state") == "0 free=512"
    assert result.value("then") == "1 free=0"
    assert differences(disks[0], disks[1], [(3 << 11, (3 << 11) + 1),
                                            (4 << 11, (4 << 11) + 1)]) == []


def test_a_reload_keeps_the_state(disks, tmp_path, scribble):
    result = vm.run(SETUP + """
        make ''
        blkdiscard -o 8M -l 2M /dev/dm-0
        dmsetup message bow 0 ranges
        cp /dev/vda /dev/vdb
        echo 1 > $BOW/state
        export NO_DISCARD=1
        scribble /dev/dm-0 1 60 4 8 9
        dmsetup table bow | dmsetup load bow
        fails sh -c "echo 0 $((sectors - 8)) bow /dev/vda | dmsetup load bow"
        dmsetup suspend bow
        fails sh -c "echo 2 > $BOW/state"
        dmsetup resume bow
        echo state=$(cat $BOW/state)
        scribble /dev/dm-0 2 60 4 8 9 &
        sleep 0.2
        dmsetup table bow | dmsetup load bow
        dmsetup suspend --nolockfs bow
        dmsetup resume bow
        wait
        echo again=$(cat $BOW/state) $(ls $BOW | tr '\\n' ' ')
        dmsetup remove bow
        test ! -e $BOW
        fails make ''
        cat /run/err
        dmesg | tail -3
        """, disks=disks, modules=MODULES, work=tmp_path,
                    files={"bin/scribble": scribble})
    assert result.status == 0, result.console
    assert result.value("state") == "1"
    assert result.value("again") == "1 free state"
    assert "restore or keep it first" in result.console
    bowline("restore", disks[0])
    assert differences(disks[0], disks[1], free_ranges(result.console)) == []


def test_bad_tables_are_refused(disks, tmp_path):
    tables = ["", "/dev/nothing", "/dev/vda 1", "/dev/vda 1 block_size:1000",
              "/dev/vda 1 block_size:8192", "/dev/vda 1 block_size:256",
              "/dev/vda 1 block_size:", "/dev/vda 1 size:512",
              "/dev/vda 2 block_size:512 block_size:512",
              "/dev/vda 1 low_water:", "/dev/vda 1 low_water:-1",
              "/dev/vda 1 no_space:", "/dev/vda 1 no_space:wait",
              "/dev/vda 1 block_size:512 more", "/dev/vda x"]
    script = SETUP + "".join(
        f'fails dmsetup create bow --table "0 $sectors bow {words}"\n'
        for words in tables) + """
        fails dmsetup create bow --table "0 $((sectors - 1)) bow /dev/vda \\
            1 block_size:4096"
        fails dmsetup create bow --table "8 $((sectors - 8)) bow /dev/vda"
        fails dmsetup create bow --table "0 $((sectors + 8)) bow /dev/vda"
        echo BOW | dd of=/dev/vdb conv=notrunc 2>/dev/null
        printf 'BOW\\0' | dd of=/dev/vdb conv=notrunc 2>/dev/null; sync
        fails make '' /dev/vdb
        make ''
        dmsetup table bow
        fails dmsetup message bow 0 nonsense
        dmsetup remove bow
        rmmod dm_bow
        """
    result = vm.run(script, disks=disks, modules=MODULES, work=tmp_path)
    assert result.status == 0, result.console


FLAKY = SETUP + """
lower() {   # lower good|bad: what happens to writes to the lower device
    case $1 in
    good) table="0 $sectors linear /dev/vda 0" ;;
    bad) table="0 $sectors flakey /dev/vda 0 0 99 1 error_writes" ;;
    badlog) table="0 8 flakey /dev/vda 0 0 99 1 error_writes
8 $((sectors - 8)) linear /dev/vda 8" ;;
    esac
    echo "$table" | dmsetup load lower
    dmsetup suspend --nolockfs lower
    dmsetup resume lower
}
dmsetup create lower --table "0 $sectors linear /dev/vda 0"
BOW=/sys/block/dm-1/bow
make "1 block_size:$BLOCK_SIZE" /dev/dm-0
"""


@pytest.mark.parametrize("block_size", [512, 4096])
def test_failing_disk(disks, tmp_path, scribble, block_size):
    result = vm.run(f"BLOCK_SIZE={block_size}\n" + FLAKY + """
        for at in 2 5 9 12; do blkdiscard -o ${at}M -l 1M /dev/dm-1; done
        dmsetup message bow 0 ranges
        cp /dev/vda /dev/vdb
        lower bad
        fails sh -c "echo 1 > $BOW/state"
        lower good
        echo state=$(cat $BOW/state)
        echo 1 > $BOW/state
        export NO_DISCARD=1
        scribble /dev/dm-1 1 40 8 2 5 9 12
        for round in 1 2 3 4; do
            scribble /dev/dm-1 1$round 40 8 2 5 9 12 > /run/out$round &
            sleep 0.3
            lower bad
            sleep 0.3
            lower good
            wait %1 || true; wait
            sed "s/scribble/round$round/" /run/out$round
            forget
        done
        dmsetup status bow | sed 's/^/status=/'
        scribble /dev/dm-1 21 40 8 2 5 9 12
        echo CUT-HERE; sleep 99
        """, disks=disks, modules=MODULES, work=tmp_path, timeout=240,
                    files={"bin/scribble": scribble}, kill_at="CUT-HERE")
    assert result.killed, result.console
    assert result.value("state") == "0"
    failed = 0
    for name in ("scribble", "round1", "round2", "round3", "round4"):
        assert " 0 wrong" in result.value(name), result.console
        failed += int(result.value(name).split(",")[1].split()[0])
    assert failed > 0, result.console
    bowline("restore", disks[0])
    assert differences(disks[0], disks[1], free_ranges(result.console)) == []


@pytest.mark.parametrize("block_size", [512, 4096])
def test_failing_log(disks, tmp_path, scribble, block_size):
    result = vm.run(f"BLOCK_SIZE={block_size}\n" + FLAKY + """
        for at in 2 5 9 12; do blkdiscard -o ${at}M -l 1M /dev/dm-1; done
        dmsetup message bow 0 ranges
        cp /dev/vda /dev/vdb
        echo 1 > $BOW/state
        export NO_DISCARD=1
        scribble /dev/dm-1 1 20 8 2 5 9 12 | sed s/scribble/good/
        lower badlog
        scribble /dev/dm-1 2 20 8 2 5 9 12 | sed s/scribble/bad/
        dmsetup status bow | sed 's/^/status=/'
        echo CUT-HERE; sleep 99
        """, disks=disks, modules=MODULES, work=tmp_path, timeout=240,
                    files={"bin/scribble": scribble}, kill_at="CUT-HERE")
    assert result.killed, result.console
    assert " 0 failed" in result.value("good")
    assert " 0 failed" not in result.value("bad")
    assert " 0 wrong" in result.value("bad"), result.console
    bowline("restore", disks[0])
    assert differences(disks[0], disks[1], free_ranges(result.console)) == []


def test_a_log_block_whose_first_write_fails(disks, tmp_path):
    """It is begun without a wait: the delay leaves time to make it fail. One
    writer alone, so that every block is begun so: all but four entries of the
    second are written without a delay."""
    result = vm.run("BLOCK_SIZE=4096\n" + FLAKY.partition("BOW=/sys/block/dm-1")
                    [0] + """
        logs() { dmsetup status bow | cut -d' ' -f 7; }
        at=1024
        overwrite() {   # overwrite N: so many blocks, one after the other
            dd if=/dev/urandom of=/dev/dm-2 bs=4k count=$1 oflag=direct \\
                seek=$at 2>/dev/null || echo FAILED
            at=$((at + $1))
        }
        delay() {
            echo "0 $sectors delay /dev/dm-0 0 0 /dev/dm-0 0 $1"
        }
        dmsetup create slow --table "$(delay 0)"
        BOW=/sys/block/dm-2/bow
        make "1 block_size:4096" /dev/dm-1
        blkdiscard -o 9M -l 4M /dev/dm-2
        dmsetup message bow 0 ranges
        cp /dev/vda /dev/vdb
        echo 1 > $BOW/state
        while [ $(logs) -lt 2 ]; do overwrite 1; done
        overwrite $((at - 1024 - 4))
        echo logs=$(logs)
        delay 2500 | dmsetup load slow
        dmsetup suspend --nolockfs slow
        dmsetup resume slow
        (for n in 1 2 3 4 5 6; do overwrite 1; done) &
        while [ $(logs) -lt 3 ]; do sleep 0.02; done
        lower bad
        sleep 4
        lower good
        wait
        at=$((at + 6))
        dmsetup status bow | sed 's/^/status=/'
        overwrite 3
        dmsetup status bow | sed 's/^/last=/'
        echo CUT-HERE; sleep 99
        """, disks=disks, modules=[*MODULES, "dm_delay"], work=tmp_path,
                    timeout=240, kill_at="CUT-HERE")
    assert result.killed, result.console
    assert result.value("logs") == "2"
    assert int(result.value("status").split()[7]) > 0, result.console
    assert result.value("last").split()[7] == result.value("status").split()[7]
    assert "begin a log block: error -5" in result.console
    bowline("restore", disks[0])
    assert differences(disks[0], disks[1], free_ranges(result.console)) == []


def test_what_the_first_overwrite_is_read_before_the_last_are_there(
        disks, tmp_path, scribble):
    """Eight writes, the first of which is a batch of its own; then seven of which
    the last comes only when something was read. They are one batch all the same:
    a write of copies and one of the log beside their own. The delay is as long
    as a busy machine may take to start seven programs."""
    result = vm.run(SETUP + """
        write() { scribble /dev/dm-1 $((16 * $1)) 8 & }
        count() { awk "{ print \\$$1 }" /sys/block/dm-0/stat; }
        dmsetup create slow --table "0 $sectors delay /dev/vda 0 0 /dev/vda 0 8000"
        BOW=/sys/block/dm-1/bow
        make "1 block_size:4096" /dev/dm-0
        blkdiscard -o 9M -l 1M /dev/dm-1
        dmsetup message bow 0 ranges
        cp /dev/vda /dev/vdb
        echo 1 > $BOW/state
        await_reads() {
            while [ $(($(count 1) - reads)) -lt $1 ]; do sleep 0.05; done
        }
        reads=$(count 1)
        write 1
        await_reads 1
        for i in $(seq 2 8); do write $i; done
        wait
        reads=$(count 1) writes=$(count 5)
        for i in $(seq 11 16); do write $i; done
        await_reads 3
        write 17
        wait
        echo writes=$(($(count 5) - writes))
        echo CUT-HERE; sleep 99
        """, disks=disks, modules=[*MODULES, "dm_delay"], work=tmp_path,
                    timeout=240, files={"bin/scribble": scribble},
                    kill_at="CUT-HERE")
    assert result.killed, result.console
    assert int(result.value("writes")) == 2 + 7, result.console
    bowline("restore", disks[0])
    assert differences(disks[0], disks[1], free_ranges(result.console)) == []
