# SPDX-License-Identifier: GPL-2.0-or-later
"""The arithmetic of make bench-diff, without its images."""

import resource
import xml.dom.minidom

import pytest

import diffreport
import diffs


def result(size, seconds=1.0, processor=2.0):
    used = {"seconds": seconds, "processor": processor, "memory": 100.0}
    return {"size": size, "make": used, "apply": used}


RESULTS = {
    "one": {"zstd -19": result(5000000), "zstd --patch-from": result(1000, 4),
            "xdelta3 -9": result(900), "bsdiff": {"too-slow": 15, "old-alone": True},
            "format 0": result(7000), "format 1": result(450, 2, 6),
            "format 1, 256 KiB": None},
    "two": {"zstd -19": None, "zstd --patch-from": result(1000, 4),
            "xdelta3 -9": result(2000), "bsdiff": result(500),
            "format 0": None, "format 1": result(1000, 8),
            "format 1, 256 KiB": result(990)},
    "not-measured": dict.fromkeys((tool.name for tool in diffs.TOOLS)),
}


def test_ratios_are_to_the_smallest_general_tool():
    assert diffreport.ratio(RESULTS["one"], "format 1") == 0.5
    assert diffreport.ratio(RESULTS["two"], "format 1") == 2
    assert diffreport.ratio(RESULTS["two"], "zstd -19") is None
    untried = {**RESULTS["one"], "bsdiff": None}
    assert diffreport.ratio(untried, "format 1") is None
    assert diffreport.ratio(RESULTS["not-measured"], "format 1") is None


def test_limits_judge_what_was_measured():
    largest, mean, wall, processor = diffreport.verdicts(RESULTS)
    assert largest[0].endswith(": two") and largest[1:] == (2, 1.02)
    assert mean[0].endswith("of 2 pairs") and mean[1] == pytest.approx(1)
    assert wall[0].endswith(": two") and wall[1:] == (2, 1)
    assert processor[0].endswith(": one") and processor[1:] == (3, 1)
    assert diffreport.summary(RESULTS).endswith("0 of 4 limits met")


def test_a_page_has_a_row_for_every_pair():
    images = dict.fromkeys(RESULTS, 300000000)
    page = diffreport.page(images, RESULTS)
    assert page.count("| one |") == page.count("| not-measured |") == 3
    assert "| over 15 min, old image alone |" in page and "| 5.000 |" in page
    assert "0.50 |" in page and "missed" in page


def test_a_picture_is_whole():
    xml.dom.minidom.parseString(diffreport.picture(RESULTS))


def test_names_stand_for_files(tmp_path):
    old = tmp_path / "old.img"
    old.write_bytes(bytes(77))
    files = {"OLD": old, "NEW": tmp_path / "n", "DIFF": tmp_path / "d"}
    assert diffs.words("x -B SIZE --from=OLD --level=19 NEW -o DIFF", files) \
        == ["x", "-B", "77", f"--from={old}", "--level=19",
            str(tmp_path / "n"), "-o", str(tmp_path / "d")]


def test_a_command_is_measured_and_stopped(monkeypatch):
    assert diffs.measured(["true"])["seconds"] < 10
    with pytest.raises(SystemExit):
        diffs.measured(["false"])
    monkeypatch.setattr(diffs, "limit_time", lambda: resource.setrlimit(
        resource.RLIMIT_CPU, (1, 6)))
    stopped = diffs.measured(["sh", "-c", "while :; do :; done"])
    assert 0 < stopped["stopped-after"] < 1 << 20


@pytest.mark.parametrize("reads, tried", [("$1", 1), ("$1 $2", 2)])
def test_an_old_image_that_is_too_much_is_tried_once(tmp_path, monkeypatch,
                                                     reads, tried):
    """Only if the tool was stopped before it came to the new image."""
    pairs = [tmp_path / f"pair-{name}-0123" for name in ("one", "two")]
    for i, pair in enumerate(pairs):
        pair.mkdir()
        (pair / "old.img").write_bytes(bytes(3 << 20))
        (pair / "new.img").write_bytes(bytes([i]) * (1 << 20))
    (tmp_path / "slow").write_text(f"cat {reads} >/dev/null\n"
                                   "while :; do :; done\n")
    tool = diffs.Tool("slow", f"sh {tmp_path}/slow OLD NEW", "", "uname",
                      old_first=True)
    for name in ("CACHE", "WORK"):
        monkeypatch.setattr(diffs, name, tmp_path)
    monkeypatch.setattr(diffs, "limit_time", lambda: resource.setrlimit(
        resource.RLIMIT_CPU, (1, 6)))
    results = [diffs.cached(tool, pair, True) for pair in pairs]
    assert len(list(tmp_path.glob("*.json"))) == tried
    assert all(r["too-slow"] == 15 and ("old-alone" in r) == (tried == 1)
               for r in results)


def test_the_name_of_a_pair_has_no_key(tmp_path):
    pair = tmp_path / "pair-kernel-in-place-0123456789ab"
    assert diffs.short(pair) == "kernel-in-place"


def test_our_results_are_those_of_the_sources(tmp_path, monkeypatch):
    ours = next(tool for tool in diffs.TOOLS if tool.name == "format 1")
    assert len(diffs.sources()) > 20
    (tmp_path / "updater").mkdir()
    monkeypatch.setattr(diffs, "TOP", tmp_path)
    (tmp_path / "updater/diff-pack.c").write_text("one")
    one = diffs.version(ours)
    (tmp_path / "updater/main.c").write_text("another")
    assert diffs.version(ours) == one
    (tmp_path / "updater/diff-pack.c").write_text("two")
    assert diffs.version(ours) != one


@pytest.mark.parametrize("name", ["format 0", "format 1"])
def test_the_new_image_may_be_longer(tmp_path, name):
    (tmp_path / "old.img").write_bytes(b"old" * 4096)
    (tmp_path / "new.img").write_bytes(b"new" * 6000)
    tool = next(tool for tool in diffs.TOOLS if tool.name == name)
    (tmp_path / "work").mkdir()
    assert diffs.measure(tool, tmp_path, tmp_path / "work")["size"] > 0
