# SPDX-License-Identifier: GPL-2.0-or-later
"""The arithmetic of make bench-update, without a machine."""

import collections
import hashlib
import random
import xml.dom.minidom

import pytest

import benchupdate
import judge
import lab
import measure
import pair
import updatejobs
import updatelimits
import updatereport
from fio import MIB

# A disk is its first minor number: 16 for each. 254 << 20 is virtio's major.
PROGRESS, MERGED = (254 << 20) + 4 * 16, (254 << 20) + 5 * 16
BEFORE = f"""{MERGED} WS 2048 10
stat update1 bytes_decoded 500
stat update0 bytes_decoded 7
"""
AFTER = f"""{MERGED} WS 2048 58
{MERGED} FF 0 3
{PROGRESS} WFS 8 4
{PROGRESS} FF 0 4
stat update1 bytes_decoded 65536
stat update0 bytes_decoded 7
stat merge records 4
"""


def added():
    return measure.requests(*(measure.Histogram(text.splitlines())
                              for text in (BEFORE, AFTER)))


def test_requests_of_each_disk():
    got = added()
    assert got.disks == {(5, "write"): 48, (5, "flush"): 3, (4, "write"): 4,
                         (4, "flush"): 4}
    assert got.flushes == 7
    assert got.written == 48 * MIB + 4 * 4096


def test_disks_with_a_minor_number_each():
    before = measure.Histogram()
    after = measure.Histogram([f"{(252 << 20) + 3} R 8 7"])
    assert measure.requests(before, after, minors=1).disks == {(3, "read"): 7}


def test_a_repetition_without_fio_or_without_steps():
    mark = f"MARK 0\n{MERGED} WS 2048 1\nMARK 1\n{MERGED} WS 2048 3\n"
    reads = "new-4k-d1/raw;0;400;100;0;0\n" + mark
    merges = "OFFLINE\nTIME begin 0\nTIME pipe 2000000\n" + mark
    got = measure.repetition(reads, [("new-4k-d1", "raw")], 0)
    assert list(got) == [("new-4k-d1", "raw")]
    got = measure.repetition(merges, [], 0)
    assert got["pipe"].seconds == 2 and sum(
        got["pipe"].requests.writes.values()) == 2
    with pytest.raises(ValueError):
        measure.repetition(merges, [("new-4k-d1", "raw")], 0)


def test_large_reads_are_as_fast_as_the_disk_in_the_mean():
    in_20_ms = benchupdate.SPEED / benchupdate.CORE * MIB / 50
    large = [p for p in updatejobs.PHASES if p.size >= 128 << 10]
    assert large
    for phase in large:
        assert phase.size * phase.count >= 12 * in_20_ms, phase.name


def test_what_the_targets_counted():
    assert added().stats == {("update1", "bytes_decoded"): 65036,
                             ("merge", "records"): 4}


def model(update=1.0, merge=1.0):
    """Everything takes a second, but what update does, and its merge."""
    def sample(target, seconds):
        counts = added() if target.startswith("merge") else measure.Requests(
            collections.Counter({8: 300}), collections.Counter(), 0,
            stats={("update1", "bytes_decoded"): 24 * MIB,
                   ("update0", "bytes_decoded"): 24 * MIB})
        return measure.Sample(seconds, counts)
    repeat = {(p.name, t): sample(t, update if t == "update1" else 1.0)
              for p in updatejobs.PHASES for t in updatejobs.TARGETS}
    repeat |= {"merge1": sample("merge1", merge), "pipe": sample("", 1.0),
               "merge0": sample("merge0", merge)}
    return measure.Run([repeat] * 3, 0)


def verdicts(run):
    return {limit.text: (value, met) for limit, _, value, _, met in
            judge.verdicts(updatelimits.LIMITS, [run])}


def test_every_limit_has_a_figure():
    assert len(verdicts(model())) == len(updatelimits.LIMITS)


@pytest.mark.parametrize("text,run,value,met", [
    ("edited area, random 4 KiB, depth 16: speed, raw = 1", model(3.2),
     0.3125, True),
    ("edited area, random 4 KiB, depth 16: speed, raw = 1", model(3.5),
     1 / 3.5, False),
    ("unchanged area, 128 KiB, depth 1: speed, dm-linear = 1", model(1.25),
     0.8, False),
    ("unchanged area, 4 KiB, depth 16: requests per request", model(),
     300 / 3000, True),
    ("rewritten area, four readers in a row: times that each byte was "
     "decompressed", model(), 1, True),
    ("merge: speed, zstd -d into dd = 1", model(merge=0.8), 1.25, True),
    ("merge: writes of the system device per MiB that changes in a row",
     model(), 48 / 48, True),
    ("merge: flushes of the system device per durable record", model(), 3 / 4,
     True),
])
def test_a_limit(text, run, value, met):
    assert verdicts(run)[text] == (pytest.approx(value), met)


def test_page_and_chart():
    run = model(2.0)
    sizes = {"diff1": 8 * MIB, "diff0": 12 * MIB, "packed": 6 * MIB}
    page = updatereport.page(run, model(4.0), sizes)
    assert "| new-4k-d1 | update | 150/s | 0 % | 0.50 | 1.00 |" in page
    assert "| merge | 1000 ms | 0 % | 0 | 52 | 7 | 3 | 4 |" in page
    assert "| edited-64k-row-x4 | update | 0.25 |" in page
    assert "8.0 MiB in version 1" in page
    assert "| new-4k-d1 | 0.50 | 0.25 |" in page
    assert page.count("| missed |") == updatereport.summary(run).count(
        " missed")
    svg = xml.dom.minidom.parseString(updatereport.chart(run))
    texts = [t.firstChild.data for t in svg.getElementsByTagName("text")]
    assert texts.count("0.50") == len(updatejobs.PHASES)


def test_phases_stay_in_their_area():
    for phase in updatejobs.PHASES:
        jobs = 1 if phase.same else phase.jobs
        assert phase.size * phase.count <= phase.room * MIB // jobs


def test_edits_are_many_and_leave_most():
    data = random.Random(7).randbytes(1 << 16)
    made = pair.edited(data, random.Random(1))
    assert len(made) == len(data) and made != data
    found = sum(data[i:i + 32] in made for i in range(0, len(data), 512))
    assert found > 100


def test_hash_tree(tmp_path):
    (tmp_path / "image").write_bytes(bytes(200 * 4096))
    blocks, root = lab.verity.tree(tmp_path / "image")
    leaf = hashlib.sha256(bytes(4096)).digest()
    below = leaf * 128 + leaf * 72 + bytes(56 * 32)
    assert blocks[4096:] == below
    top = b"".join(hashlib.sha256(below[i:i + 4096]).digest()
                   for i in (0, 4096)) + bytes(126 * 32)
    assert blocks[:4096] == top
    assert root == hashlib.sha256(top).hexdigest()
