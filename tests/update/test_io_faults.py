# SPDX-License-Identifier: GPL-2.0-or-later
"""Devices that fail under a merge of version 1: what a read gives is right or
an error, never old or stale bytes; the merge says that it failed, and ends well
when the device is whole again."""

import subprocess

import pytest

from host import BOWLINE, noise
from test_update import sha
from test_update_v1 import Pair
from updatelab import Experiment, Lab

SEEDS = (31, 32)
BLOCKS = 400

BREAK = """
size() { blockdev --getsz $1; }
broken() { echo "0 $(size $1) flakey $1 0 0 99 $2"; }
whole() { echo "0 $(size $1) linear $1 0"; }
sick() { swap $1 "$(broken $2 "$3")"; }
well() { swap $1 "$(whole $2)"; }
# Some blocks at a time: right, or an error.
look() {
    errors=0
    i=0
    while [ $i -lt $sectors ]; do
        n=$((sectors - i))
        [ $n -le 64 ] || n=64
        if dd if=/dev/mapper/u of=/run/b bs=512 skip=$i count=$n iflag=direct \\
            2>/run/dd; then
            dd if=/extra/$PART bs=512 skip=$i count=$n 2>/run/dd |
                cmp -s - /run/b || echo "wrong at $i"
        else
            errors=$((errors + 1))
        fi
        i=$((i + n))
    done
}
again() {
    dmsetup suspend u
    dmsetup resume u
    wait_phase done
    echo shown=$(sum /dev/mapper/u) reason=$(field 6)
    dmsetup remove u
    echo merged=$(sum /dev/vda)
}
well lower /dev/vda
S=/dev/mapper/lower
well upper /dev/vdb
D=/dev/mapper/upper
well aside /dev/vdc
P=/dev/mapper/aside
"""

# From the first write on: nothing of the old image may be lost.
FIRST = BREAK + """
sick aside /dev/vdc "1 error_writes"
map "3 progress $P 0"
wait_phase failed
echo first=$(field 6) done=$(field 1) old=$(sum /dev/vda)
look
echo errors=$errors
well aside /dev/vdc
again
"""

# Before anything of the diff but its directory was read.
DIFF = BREAK + """
map "4 paused progress $P 0"
sick upper /dev/vdb
dmsetup message u 0 resume
wait_phase failed
echo first=$(field 6)
look
echo errors=$errors
well upper /dev/vdb
again
"""

# In the middle of the merge.
MIDDLE = BREAK + """
map "4 paused progress $P 0"
dmsetup message u 0 yield off
dmsetup message u 0 rate 200000
dmsetup message u 0 resume
wait_done 20
sick %(name)s %(disk)s "%(how)s"
dmsetup message u 0 rate 0
wait_phase failed
echo first=$(field 6)
look
echo errors=$errors
well %(name)s %(disk)s
again
"""

WRITES = "1 error_writes"
SCENES = {
    "records-first": FIRST,
    "records-writes": MIDDLE % {"name": "aside", "disk": "/dev/vdc",
                                "how": WRITES},
    "records-all": MIDDLE % {"name": "aside", "disk": "/dev/vdc", "how": ""},
    "system-writes": MIDDLE % {"name": "lower", "disk": "/dev/vda",
                               "how": WRITES},
    "system-all": MIDDLE % {"name": "lower", "disk": "/dev/vda", "how": ""},
    "diff-all": DIFF,
}
# What fails reads too, of at least some blocks.
READS_FAIL = ("system-all", "diff-all")


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("faults")
    pairs = {seed: Pair(folder, seed, BLOCKS) for seed in SEEDS}
    parts, extra = {}, {}
    for name, script in SCENES.items():
        for seed, pair in pairs.items():
            part = f"{name}-{seed}"
            parts[part] = Experiment(pair.on_disk(pair.old), pair.diff, script,
                                     pair.sectors)
            extra[f"extra/{part}"] = pair.new
    lab = Lab(folder, parts, modules=["dm_mod", "dm_flakey"], extra=extra,
              limit=300)
    return lab, pairs


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", SCENES)
def test_a_device_that_fails(scenes, name, seed):
    lab, pairs = scenes
    part, want = lab.part(f"{name}-{seed}"), sha(pairs[seed].new)
    assert "wrong at" not in part.text
    assert part.value("first").split()[0] == "io_error"
    assert part.value("shown").split() == [want, "reason=-"]
    assert part.value("merged") == want
    if name in READS_FAIL:
        assert part.number("errors") > 0
    elif name != "records-all":
        assert part.number("errors") == 0


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_overwritten_before_the_first_record(scenes, seed):
    lab, pairs = scenes
    words = lab.part(f"records-first-{seed}").value("first").split()
    old = pairs[seed].old[:len(pairs[seed].new)]
    old += bytes(len(pairs[seed].new) - len(old))
    assert words[1:] == ["done=0", f"old={sha(old)}"]


def test_the_pairs_use_the_save_area(scenes):
    """Else a broken one would go unnoticed."""
    lab, pairs = scenes
    assert any(lab.part(f"records-all-{seed}").number("errors")
               for seed in pairs)


def edited(data):
    return b"".join(data[i:i + 490] + b"an edit" for i in
                    range(0, len(data), 500))[:len(data)]


def test_what_lies_between_old_bytes_may_be_unreadable(tmp_path):
    """A chunk leans on two places, and what is between them, and read with
    them, is on a bad part of the disk: for a read, and for the merge."""
    old = noise(65536, 7) + bytes(65536)
    new = old[:65536] + edited(old[:12288]) + edited(old[20480:32768])
    new += bytes(len(old) - len(new))
    for name, data in (("old", old), ("new", new)):
        (tmp_path / name).write_bytes(data)
    subprocess.run([BOWLINE, "diff", "--format", "1", tmp_path / "old",
                    tmp_path / "new", "-o", tmp_path / "diff"], check=True,
                   capture_output=True)
    lab = Lab(tmp_path, {"gap": Experiment(
        old, (tmp_path / "diff").read_bytes(), """
        swap lower "0 28 linear /dev/vda 0
28 8 error
36 $((sectors - 36)) linear /dev/vda 36"
        S=/dev/mapper/lower
        show
        dd if=/dev/mapper/u bs=4k skip=16 iflag=direct 2>/run/dd > /run/got
        echo got=$(sha256sum < /run/got | cut -d' ' -f1)
        fails dd if=/dev/mapper/u of=/run/b bs=4k skip=3 count=2 iflag=direct
        dmsetup remove u
        map "3 progress /dev/vdc 0"
        wait_phase done
        echo merged=$(dd if=/dev/vda bs=4k skip=16 iflag=direct 2>/run/dd |
            sha256sum | cut -d' ' -f1) errors=$(field 5)
        """)}, modules=["dm_mod"])
    part = lab.part("gap")
    assert part.value("got") == sha(new[65536:])
    assert part.value("merged").split() == [sha(new[65536:]), "errors=0"]
