# SPDX-License-Identifier: GPL-2.0-or-later
"""What the bow target does when its room for backups runs out: events, the
two policies, discards that give room back."""

import vm
from test_bow import bowline, differences, free_ranges
from test_bow_edge import SETUP, disks  # noqa: F401 (a fixture)

MODULES = ["dm_mod", "dm_bow"]

# 64 blocks of 4 KiB are free, two of which state 1 takes.
BEGIN = SETUP + """
room() { dmsetup status bow | cut -d' ' -f9; }
waits() { dmsetup wait bow $1; echo "$2=$(room)" >> /run/events; }
overwrite() {   # overwrite FROM COUNT: blocks of 4 KiB
    dd if=/dev/zero of=/dev/dm-0 bs=4k seek=$1 count=$2 oflag=direct
}
begin() {
    make "$1"
    blkdiscard -o 8M -l 256k /dev/dm-0
    dmsetup message bow 0 ranges
    dmsetup table bow
    cp /dev/vda /dev/vdb
    echo 1 > $BOW/state
}
"""


def run(script, disks, tmp_path):
    result = vm.run(BEGIN + script, disks=disks, modules=MODULES,
                    work=tmp_path)
    assert result.status == 0, result.console
    return result


def test_low_water_is_an_event_once(disks, tmp_path):
    """40 of 62 blocks used: low. Back above by a discard, and low again."""
    result = run("""
        begin "2 low_water:100000 block_size:4096"
        waits 0 first &
        overwrite 100 30
        sleep 1
        test ! -e /run/events
        overwrite 200 10
        wait
        echo $(cat /run/events)
        events() { dmsetup info bow | sed -n 's/^Event number: *//p'; }
        echo one=$(events)
        overwrite 300 5
        overwrite 100 30
        echo still=$(events) $(room)
        blkdiscard -o 400k -l 80k /dev/dm-0
        echo more=$(events) $(room)
        overwrite 400 25
        sleep 0.5
        echo two=$(events) $(room)
        """, disks, tmp_path)
    assert "first=low" in result.console
    assert result.value("one") == "1"
    assert result.value("still") == "1 low"
    assert result.value("more") == "1 ok"
    assert result.value("two") == "2 low"
    bowline("restore", disks[0])
    assert differences(disks[0], disks[1], free_ranges(result.console)) == []


def test_fail_is_the_default_and_says_full(disks, tmp_path):
    result = run("""
        begin "1 block_size:4096"
        fails overwrite 100 80
        grep -q 'No space left' /run/err
        echo full=$(room) $(cat $BOW/free) $(cat $BOW/state)
        overwrite 100 30
        blkdiscard -o 400k -l 40k /dev/dm-0
        echo then=$(room)
        overwrite 600 4
        """, disks, tmp_path)
    assert result.value("full") == "full 0 1"
    assert result.value("then") == "ok"
    bowline("restore", disks[0])
    assert differences(disks[0], disks[1], free_ranges(result.console)) == []


def test_release_gives_the_way_back_up_once(disks, tmp_path):
    """All 80 writes succeed, the log is gone, and so it stays."""
    result = run("""
        begin "2 no_space:release block_size:4096"
        dd if=/dev/zero of=/dev/dm-0 bs=512 count=1 oflag=direct
        waits 0 event &
        overwrite 100 80
        wait
        echo $(cat /run/events)
        echo state=$(cat $BOW/state) $(cat $BOW/free)
        dmesg | grep 'the way back is given up'
        fails sh -c "echo 2 > $BOW/state"
        overwrite 800 80
        echo number=$(dmsetup info bow | sed -n 's/^Event number: *//p')
        forget
        dd if=/dev/dm-0 of=/dev/vdc bs=64k
        dmsetup remove bow
        """, disks, tmp_path)
    assert "event=released" in result.console
    assert result.value("state") == "2 0"
    assert result.value("number") == "1"
    assert bowline("inspect", disks[0]) == "no log\n"
    assert differences(disks[0], disks[2], []) == []
    assert disks[0].read_bytes()[:512] == bytes(512)


def test_a_reload_changes_the_policy(disks, tmp_path):
    result = run("""
        begin "1 block_size:4096"
        overwrite 100 20
        dmsetup load bow --table \\
            "0 $sectors bow /dev/vda 3 no_space:release block_size:4096 low_water:9"
        dmsetup resume bow
        dmsetup table bow | sed 's/^/table=/'
        overwrite 300 60
        echo state=$(cat $BOW/state) $(room)
        """, disks, tmp_path)
    assert result.value("table").endswith(
        "3 block_size:4096 low_water:9 no_space:release")
    assert result.value("state") == "2 released"


def test_a_large_write_over_free_blocks_logs_once(disks, tmp_path):
    """The last block in use before the pool, what state 1 put there, and 56
    free ones, in one write: what has to make way is not put where the write
    goes itself."""
    result = run("""
        begin "1 block_size:4096"
        dd if=/dev/zero of=/dev/dm-0 bs=236k count=1 seek=$((2047 * 4096)) \\
            oflag=direct,seek_bytes
        dmsetup status bow | sed 's/^/status=/'
        """, disks, tmp_path)
    # of 64 the write takes 58; it pushes block 0's copies and 2047's to others
    assert result.value("status").split()[3:7] == \
        ["1", str(3 * 4096), str(3 * 4096), "1"]
    found = bowline("inspect", disks[0])
    assert "3 entries" in found, found
