# SPDX-License-Identifier: GPL-2.0-or-later
"""The bench's own arithmetic, without a machine."""

import xml.dom.minidom

import pytest

import chart
import jobs
import judge
import lab
import limits
import measure
import report

# Phase, target, and what the disk and the delay had counted by then.
CONSOLE = """REPEAT 1
a/raw;0;0;0;1600;137
a/bow;0;0;0;1600;400
b/raw;0;4096;250;0;0
MARK 0
MARK 1
254 WS 8 400
MARK 2
254 WS 8 800
254 R 8 400
254 FF 0 6
266 W 16 5
delay WS 400
delay FWFS 3
delay WFS 4
MARK 3
254 WS 8 800
254 R 8 400
254 R 1024 4
254 FF 0 6
266 W 16 5
delay WS 400
delay FWFS 3
delay WFS 4
0 100 bow 1 0 0 0 0
OFFLINE
TIME begin 0
TIME keep 2500
MARK 0
254 WS 8 800
MARK 1
254 WS 8 801
254 FF 0 3
"""
ORDER = [("a", "raw"), ("a", "bow"), ("b", "raw")]


def read(console=CONSOLE, delay=0):
    return measure.Run(measure.repetitions(console, ORDER, delay), delay)


def test_requests_are_those_between_two_marks():
    run = read()
    assert run.time(("a", "bow")) == 0.4
    assert run.writes(("a", "raw")) == 400
    assert (run.reads(("a", "bow")), run.writes(("a", "bow")),
            run.flushes(("a", "bow"))) == (400, 405, 6)
    assert run.data(("a", "bow")) == 400 * 4096 * 2 + 5 * 8192
    assert run.repeats[0]["b", "raw"].requests.reads == {1024: 4}


def test_with_the_delay_flushes_are_what_it_was_asked():
    assert read(delay=2).flushes(("a", "bow")) == 3 * 2 + 4


@pytest.mark.parametrize("flags,flushes", [
    ("R", 0), ("WS", 0), ("WFS", 1), ("FWS", 1), ("FWFS", 2), ("FF", 2),
    ("FWSM", 1), ("F", 1)])
def test_flushes_of_a_request(flags, flushes):
    assert measure.flushes_of(flags) == flushes


def test_offline_steps():
    run = read()
    assert run.time("keep") == 0.0025
    assert (run.writes("keep"), run.flushes("keep")) == (1, 3)


@pytest.mark.parametrize("old,new", [
    ("a/bow;0;", "a/bow;5;"),  # fio says: an error
    ("a/bow;0;0;0;1600;400", "a/bow;0;0;0;0;0"),
    ("a/bow;0;0;0;1600;400\n", ""),
    ("MARK 3\n", ""),
    ("254 R 8 400", "254 D 8 400"),
])
def test_what_does_not_add_up_is_refused(old, new):
    assert old in CONSOLE
    with pytest.raises(ValueError):
        read(CONSOLE.replace(old, new))


def test_medians_and_spread():
    assert measure.median([5, 1, 2]) == 2
    assert measure.spread([5, 1, 2]) == 1.0
    runs = CONSOLE + CONSOLE.replace(";137", ";200") + \
        CONSOLE.replace(";137", ";900")
    assert read(runs).time(("a", "raw")) == 0.2


def test_phases_that_write_first_do_not_overlap():
    spans = sorted((p.start, p.start + p.room * p.jobs) for p in jobs.PHASES
                   if p.name.startswith("first"))
    assert all(one[1] <= two[0] for one, two in zip(spans, spans[1:]))
    assert spans[0][0] > 0
    room = jobs.DISK // 2 // jobs.MIB - 1
    for p in jobs.PHASES:
        assert p.start + p.room * p.jobs <= room
        assert p.size * max(p.count, p.slow) <= p.room * jobs.MIB


def test_job_file_has_a_mark_around_every_job():
    text, order = jobs.plan(0, jobs.PHASES)
    assert text.count("[mark-") == len(order) + 1
    assert ("first-4k-d32", "bow512") in order
    assert ("read-4k-d1", "bow512") not in order
    slow, order = jobs.plan(2, jobs.PHASES)
    assert not [target for _, target in order if target == "bow512"]
    assert "filename=/dev/mapper/slow-raw\n" in slow
    assert "number_ios=60\n" in slow and "number_ios=60\n" not in text


def model(delay, **seconds):
    """A run in which everything takes a second, if not said otherwise."""
    def sample(name):
        counts = measure.Requests(measure.collections.Counter(),
                                  measure.collections.Counter({2048: 96}), 8)
        return measure.Sample(seconds.get(name, 1.0), counts)
    repeat = {(p.name, t): sample(t) for p in jobs.PHASES
              for t in jobs.TARGETS}
    repeat |= {name: sample(name) for name in
               ("copy", "restore", "keep", "keep-copy", "keep512",
                "keep512-copy")}
    return measure.Run([repeat] * 3, delay)


def verdict(run, text):
    return [met for limit, *_, met in judge.verdicts(limits.LIMITS, [run])
            if limit.text == text]


@pytest.mark.parametrize("bow,met", [(2.8, True), (3.0, False)])
def test_a_limit_is_met_or_missed(bow, met):
    text = "sequential 1 MiB first overwrites, depth 16: speed, raw = 1"
    assert verdict(model(0, bow=bow), text) == [met]


@pytest.mark.parametrize("seconds,met", [(2.0, True), (2.1, False)])
@pytest.mark.parametrize("name", ["restore", "keep"])
def test_restore_and_keep_are_held_against_all_extents(name, seconds, met):
    text = f"{name}: speed, a plain copy of the same extents = 1"
    run = model(0, **{name: seconds, f"{name}-copy": 9.0})
    assert verdict(run, text) == [met]


def test_between_which_figures_the_repetitions_lie():
    both = measure.Run([model(0, bow=2.0).repeats[0], model(0, bow=4.0).repeats[0]], 0)
    found = [between for limit, _, _, between, _ in judge.verdicts(limits.LIMITS, [both])
             if limit.text.endswith("raw = 1")]
    assert found == [(0.25, 0.5)]


def test_limits_of_both_runs():
    text = limits.FIRST + "32: speed, dm-snapshot (4 KiB) = 1"
    assert verdict(model(0, bow=0.8), text) == [True]
    assert verdict(model(2, bow=0.8), text) == [False]
    # 96 MiB written in requests of 1 MiB: a quarter of one per 256 KiB
    assert limits.requests_per_256k(model(0)) == 0.25
    assert limits.depth_gain(model(0)) == 5
    assert verdict(model(0), "restore: flushes") == [True]


def test_limits_of_what_did_not_run_are_left_out():
    run = model(0)
    for target in jobs.TARGETS:
        del run.repeats[0]["read-4k-d1", target]
    texts = [limit.text for limit, *_ in judge.verdicts(limits.LIMITS, [run])]
    assert not [text for text in texts if "reads, depth 1:" in text]
    assert [text for text in texts if "reads, depth 32:" in text]
    assert "| read-4k-d1 |" not in report.page([run])
    report.chart([run])


def test_a_figure_within_a_hundredth_meets_its_limit():
    most = judge.Limit("", 3, None, most=True)
    assert most.met(3.02) and not most.met(3.04)
    least = judge.Limit("", 1.2, None)
    assert least.met(1.19) and not least.met(1.18)


def test_page_and_chart():
    runs = [model(0), model(2, bow=4.0)]
    page = report.page(runs)
    assert "| first-4k-d1 | bow | 400/s | 0 % | 1.00 |" in page
    assert "| first-4k-d1 | bow | 25/s | 0 % | 0.25 |" in page
    assert "| first-1m-d16 | raw | 101 MB/s |" in page
    assert "| restore: flushes | as it is | 8.00 | 8.00 to 8.00 | at most 8 " in page
    assert "delay | 0.25 | 0.25 to 0.25 | at least 0.35 | missed |" in page
    assert page.count("| missed |") == report.summary(runs).count(" missed")
    svg = xml.dom.minidom.parseString(report.chart(runs))
    texts = [t.firstChild.data for t in svg.getElementsByTagName("text")]
    assert texts.count("0.25") >= len(jobs.PHASES)
    bars = [r for r in svg.getElementsByTagName("rect")
            if r.getAttribute("height") == str(chart.BAR)]
    assert len(bars) == 2 * 4 * len(jobs.PHASES)
    assert max(float(r.getAttribute("width")) for r in bars) == chart.WIDTH


def test_a_long_bar_ends_at_the_edge():
    drawn = "".join(chart.bar(0, 0, 3.5, "red", 1))
    assert f'width="{float(chart.WIDTH)}"' in drawn and "&gt; 3.50" in drawn


def test_a_clock_that_counts_instructions_is_emulated():
    words = lab.vm.MACHINES["bench-exact"].qemu("kvm")
    assert words[words.index("-accel") + 1] == "tcg"
    assert words[words.index("-icount") + 1] == "shift=0"
    assert "-icount" not in lab.vm.MACHINES["bench"].qemu("kvm")
    words = lab.vm.MACHINES["bench-alone"].qemu("kvm")
    assert words[words.index("-icount") + 1] == "shift=0,sleep=off"


@pytest.mark.parametrize("name, sums", [("bench", False), ("bench-exact", True),
                                        ("bench-alone", True)])
def test_an_emulator_makes_no_sums_by_the_hosts_clock(name, sums):
    words = lab.vm.MACHINES[name].qemu("tcg")
    without = words[words.index("-cpu") + 1].split(",")[1:]
    assert {"-sse4.2", "-pclmulqdq"}.isdisjoint(without) == sums
