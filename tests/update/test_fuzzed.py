# SPDX-License-Identifier: GPL-2.0-or-later
"""The fuzzer's corpus and mutants of it, in a real kernel: diffs of version 1
whose checksums are right, and nothing else need be. Those that 'bowline apply'
takes, and whose order it proves, are shown and merged to the same image; the
others are refused or fail, or show what is not looked at here, and the kernel
has nothing to complain about."""

import subprocess

import pytest

import counts
import vm
from test_update import sha
from updatelab import Experiment, Lab

RUNS = 300
SHOW_AND_MERGE = """
if ! map "4 paused progress /dev/vdc 0" 2>/run/err; then
    echo shown=refused
    exit 0
fi
echo shown=$(dd if=/dev/mapper/u bs=64k iflag=direct 2>/run/err | sha256sum |
    cut -d' ' -f1)
i=0
while [ $i -lt $sectors ]; do
    dd if=/dev/mapper/u of=/run/b bs=512 skip=$i count=8 iflag=direct \\
        2>/run/err || true
    i=$((i + 8))
done
dmsetup message u 0 resume
until_true sh -c "dmsetup status u | grep -q -E ' (done|failed) '"
echo phase=$(field 4)
dmsetup remove u
echo merged=$(sum /dev/vda)
"""


def whole(data):
    return data + bytes(-len(data) % 512)


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory):
    """{name: (old, diff, new image, whether it is one)}"""
    folder = tmp_path_factory.mktemp("fuzzed")
    fuzz, out = vm.TOP / "tests/fuzz", vm.OUT / "fuzz"
    subprocess.run(["make", "-s", "-C", fuzz, f"O={out}", "NAMES=fuzz-update1"],
                   check=True)
    (folder / "corpus").mkdir()
    (folder / "kept").mkdir()
    subprocess.run([out / "fuzz-update1", "-seed=5", f"-runs={RUNS}",
                    "-max_len=40000", folder / "corpus",
                    fuzz / "corpus/update1"], check=True, capture_output=True,
                   env={"KEEP": str(folder / "kept"), "PATH": "/bin"})
    found = {}
    for diff in sorted((folder / "kept").glob("*.diff")):
        right = diff.with_suffix(".new").exists()
        new = diff.with_suffix(".new" if right else ".bad").read_bytes()
        if new:
            found[f"f{diff.stem}"] = (diff.with_suffix(".old").read_bytes(),
                                      diff.read_bytes(), new, right)
    return found


def test_diffs_of_any_contents(fuzzed, tmp_path):
    lab = Lab(tmp_path, {
        name: Experiment(old, diff, SHOW_AND_MERGE, len(whole(new)) // 512)
        for name, (old, diff, new, _) in fuzzed.items()}, limit=40)
    right = [name for name, (*_, right) in fuzzed.items() if right]
    assert len(right) > 10 and len(fuzzed) - len(right) > 10
    for name in fuzzed:
        lab.part(name)
    for name in right:
        part, want = lab.part(name), sha(whole(fuzzed[name][2]))
        assert part.value("shown") == want, name
        assert part.value("phase") == "done", name
        assert part.value("merged") == want, name
    counts.add("pairs", len(right))
