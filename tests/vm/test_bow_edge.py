# SPDX-License-Identifier: GPL-2.0-or-later
"""The bow target under raw I/O: heavy mixed writes, no space, failing disks,
reloads, refused tables. Everything is compared byte for byte on the host."""

import os
import re
import subprocess

import pytest

import vm
from test_bow import bowline, differences, free_ranges

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
    program = tmp_path_factory.mktemp("bin") / "scribble"
    subprocess.run(["aarch64-linux-gnu-gcc", "-static", "-O2", "-o", program,
                    vm.TOP / "tests/vm/scribble.c"], check=True)
    return program


@pytest.fixture
def disks(tmp_path):
    paths = [tmp_path / name for name in ("data", "begun", "upper")]
    for path in paths:
        path.write_bytes(os.urandom(SIZE))
    return paths


def clean(result):
    """Neither the kernel nor the target had anything to say."""
    bad = re.findall(r".*(?:BUG|WARNING|Oops|INFO: task|lockdep).*",
                     result.console)
    assert not bad, result.console


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

SHAPES = [(512, 512), (1024, 512), (4096, 512), (4096, 4096)]


def run_scribble(disks, tmp_path, scribble, shape, more, ops=150, **args):
    block_size, sector = shape
    values = f"BLOCK_SIZE={block_size}; OPS={ops}; SEED={block_size}\n"
    return vm.run(values + SCRIBBLE + more, disks=disks, modules=MODULES,
                  work=tmp_path, sector=sector,
                  files={"bin/scribble": scribble}, timeout=240, **args)


@pytest.mark.parametrize("shape", SHAPES)
def test_scribble_and_restore(disks, tmp_path, scribble, shape):
    result = run_scribble(disks, tmp_path, scribble, shape,
                          "echo CUT-HERE; sleep 99\n", kill_at="CUT-HERE")
    assert result.killed, result.console
    clean(result)
    assert " 0 wrong" in result.value("scribble"), result.console
    before = disks[0].read_bytes()
    bowline("restore", disks[0])
    assert differences(disks[0], disks[1], free_ranges(result.console)) == []
    assert before != disks[0].read_bytes()


@pytest.mark.parametrize("shape", SHAPES)
def test_scribble_and_keep(disks, tmp_path, scribble, shape):
    result = run_scribble(disks, tmp_path, scribble, shape,
                          "echo CUT-HERE; sleep 99\n", kill_at="CUT-HERE")
    assert result.killed, result.console
    clean(result)
    bowline("keep", disks[0])
    assert differences(disks[0], disks[2], []) == []


@pytest.mark.parametrize("shape", SHAPES)
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
        """, ops=60)
    assert result.status == 0, result.console
    clean(result)
    assert result.console.count(" 0 wrong") == 2, result.console
    assert result.value("final").split()[3] == "2"
    assert bowline("inspect", disks[0]) == "no log\n"
    assert differences(disks[0], disks[2], []) == []
