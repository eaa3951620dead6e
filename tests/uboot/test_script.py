# SPDX-License-Identifier: GPL-2.0-or-later
"""The shipped boot script under U-Boot's sandbox, against the model slots.c.

The script text is uboot-env/bowline.env as a device gets it (scripts/env.sh);
only the commands that touch hardware are replaced by stubs that print. Every
reachable combination of variables runs once; each is a block of environment
text, imported before `run bowline_boot`, many to a process.

Two things are left out because the script does not read them there, which the
test of the unread variables shows on a sample: bowline_attempts and a failing
store outside phase trial with a slot on trial.
"""

import itertools
import os
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
SANDBOX = TOP / "out/sandbox/u-boot"
BLOCK = 1024  # bytes a case takes in the sandbox's memory
MEMORY = 0x1000000
BATCH = 4000  # cases a process
PROCESSES = os.cpu_count() or 1

MISSING = None
# What no reader may take for a value: other words, near misses, and texts that
# a shell might trip over.
NONSENSE = {
    "BOOT_ORDER": ["a b", "AB", "A  B", " A", "A B ", "C", "B A B", "A,B"],
    "LEFT": ["10", "-1", "0x2", "x", "03", " 1", "1 ", "three"],
    "bowline_phase": ["Trial", "trial ", "commit x", "none", "trialtrial"],
    "bowline_trial": ["a", "AB", "A B", "none", "C", "idle"],
    "bowline_attempts": ["0", "10", "0x3", "three", " 2", "-1"],
}
HOSTILE = ["'", '"', "\\", "';true;'", "$(x)", "${bl_slot}", "-n", "!", "(",
           "a;b", "a && b", "#", "=", "|", "' '", "x" * 100]

# A kernel that cannot be loaded and one found damaged when it is started must
# lead to the same.
LOADS, NOT_LOADED, NOT_STARTED = "ok", "load", "go"

STUBS = """\
bowline_load=echo "@try ${bl_args}"; run t_load_${bl_slot}
bowline_go=run t_go_${bl_slot}
bowline_store=echo @store; printenv BOOT_ORDER; printenv BOOT_A_LEFT; \
printenv BOOT_B_LEFT; printenv bowline_phase; printenv bowline_trial; \
printenv bowline_attempts; env grep -n bl_; echo @stored; run t_store
bowline_dead=echo @dead
t_all=while test ${t_more} = 1; do \
env import -t ${t_at} ${t_size}; setexpr t_at ${t_at} + ${t_size}; \
echo @case; run bowline_boot; done
t_yes=echo @booted
t_no=false
t_more=1
"""

NAMES = ["BOOT_ORDER", "BOOT_A_LEFT", "BOOT_B_LEFT", "bowline_phase",
         "bowline_trial", "bowline_attempts"]


class Case:
    """Six values (None = missing), how A and B load, whether a store works."""

    def __init__(self, values, loads=(LOADS, LOADS), store=True):
        self.values = dict(zip(NAMES, values))
        self.loads = loads
        self.store = store

    def block(self, more):
        # An empty text deletes; a backslash would quote the next character.
        lines = [f"{n}={(v or '').replace(chr(92), 2 * chr(92))}"
                 for n, v in self.values.items()]
        for slot, how in zip("AB", self.loads):
            lines.append(f"t_load_{slot}={'false' if how == NOT_LOADED else 'true'}")
            lines.append(f"t_go_{slot}=run t_{'yes' if how == LOADS else 'no'}")
        lines.append(f"t_store={'true' if self.store else 'false'}")
        lines.append(f"t_more={int(more)}")
        text = "".join(f"{line}\n" for line in lines).encode()
        assert len(text) < BLOCK
        return text.ljust(BLOCK, b"\0")

    def line(self):
        fields = ["%" if v is MISSING else v for v in self.values.values()]
        fields += [str(int(how == LOADS)) for how in self.loads]
        return "\t".join([*fields, str(int(self.store))]) + "\n"

    def __str__(self):
        given = " ".join(f"{n}={v!r}" for n, v in self.values.items())
        return f"{given} loads={self.loads} store={self.store}"


def script():
    text = subprocess.run([TOP / "scripts/env.sh"], check=True,
                          capture_output=True, text=True).stdout
    return text + STUBS


def sandbox(cases, path):
    """The sandbox's output for each of the cases, as a list of texts."""
    text = script().encode() + f"t_size={BLOCK:x}\n".encode()
    start = MEMORY + 0x10000
    text += f"t_at={start:x}\n".encode()
    blocks = [c.block(i + 1 < len(cases)) for i, c in enumerate(cases)]
    path.write_bytes(text.ljust(0x10000, b"\0") + b"".join(blocks))
    commands = (f"load hostfs - {MEMORY:x} {path}; "
                f"env import -t {MEMORY:x} 10000; run t_all; poweroff")
    run = subprocess.run([SANDBOX, "-c", commands], stdin=subprocess.DEVNULL,
                         capture_output=True, timeout=300)
    out = run.stdout.decode(errors="replace").replace("\r", "")
    answers = out.split("@case\n")[1:]
    assert len(answers) == len(cases), out[-2000:]
    return answers


def stored(case, text):
    """One store as a step; every variable but one LEFT must be as it was."""
    now = dict(re.findall(r"^(\w+)=(.*)$", text, re.M))
    assert not re.search(r"^bl_", text, re.M), f"stray variables: {text}"
    changed = [n for n in NAMES if now.get(n) != case.values[n]]
    assert len(changed) == 1 and changed[0] in NAMES[1:3], f"{case}: {text}"
    name = changed[0]
    done = "ok" if case.store else "failed"
    return f"store {name[5]} {now[name]} {done}"


def steps(case, answer):
    """What the script did until the kernel ran, in the model's words."""
    answer, booted, _ = answer.partition("@booted")
    found = []
    for part in re.split(r"^@", answer, flags=re.M)[1:]:
        word, _, rest = part.partition("\n")
        if word == "store":
            found.append(stored(case, rest))
        elif word.startswith("try "):
            found.append(f"try failed {word[4:]}")
    if booted:
        found[-1] = found[-1].replace("try failed", "try ok")
    else:
        assert "@dead" in answer, f"{case}: neither booted nor dead: {answer}"
    return "; ".join(found)


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    """slots.c as a program."""
    path = tmp_path_factory.mktemp("model") / "model"
    subprocess.run(["gcc", "-std=gnu11", "-Wall", "-Werror",
                    f"-I{TOP}/updater", "-o", path,
                    TOP / "tests/uboot/model.c", TOP / "updater/slots.c"],
                   check=True)
    return path


def compare(model, cases, tmp_path):
    """Runs all cases through both; returns the number of different answers."""
    said = subprocess.run([model], input="".join(c.line() for c in cases),
                          check=True, capture_output=True, text=True).stdout
    said = said.split("\n")[:-1]
    batches = [cases[i:i + BATCH] for i in range(0, len(cases), BATCH)]
    paths = [tmp_path / f"batch-{i}" for i in range(len(batches))]
    with ThreadPoolExecutor(PROCESSES) as pool:
        did = itertools.chain(*pool.map(sandbox, batches, paths))
    wrong = []
    for case, expected, answer in zip(cases, said, did):
        got = steps(case, answer)
        if got != expected:
            wrong.append(f"{case}\n  script: {got}\n  model:  {expected}")
    assert not wrong, f"{len(wrong)} differ, the first:\n" + "\n".join(wrong[:5])
    return len(set(said))


class Nonsense:
    """A value's place in a combination; a different one each time."""

    def __init__(self, name):
        self.texts = itertools.cycle(NONSENSE[name] + HOSTILE)


def values(names):
    """Every combination of the variables named, in the order of NAMES."""
    axes = {
        "BOOT_ORDER": ["A B", "B A", "A", "B", MISSING],
        "BOOT_A_LEFT": ["0", "1", "2", "3", "9", MISSING],
        "BOOT_B_LEFT": ["0", "1", "2", "3", "9", MISSING],
        "bowline_phase": ["idle", "trial", "commit", "rollback", MISSING],
        "bowline_trial": ["A", "B", MISSING],
        "bowline_attempts": ["1", "3", "9", MISSING],
    }
    odd = {n: Nonsense("LEFT" if n.endswith("LEFT") else n) for n in axes}
    lists = [[*axes[n], odd[n]] if n in names else ["3"] for n in NAMES]
    for combination in itertools.product(*lists):
        yield tuple(next(v.texts) if isinstance(v, Nonsense) else v
                    for v in combination)


def counted(v):
    return v[3] == "trial" and v[4] in ("A", "B")


KERNELS = list(itertools.product([LOADS, NOT_LOADED, NOT_STARTED], repeat=2))


def kernels():
    """The four combinations, with both ways to fail taking turns."""
    for ways in itertools.cycle(itertools.permutations([NOT_LOADED, NOT_STARTED])):
        yield [(LOADS, LOADS), (ways[0], LOADS), (LOADS, ways[1]), ways]


def test_every_combination_in_a_trial(model, tmp_path, capsys):
    ways = kernels()
    cases = [Case(v, loads, store) for v in values(NAMES) if counted(v)
             for loads in next(ways) for store in (True, False)]
    kinds = compare(model, cases, tmp_path)
    with capsys.disabled():
        print(f"\n{len(cases)} combinations in a trial, {kinds} outcomes")


def test_every_combination_outside_a_trial(model, tmp_path, capsys):
    ways = kernels()
    cases = [Case(v, loads) for v in values(NAMES[:5]) if not counted(v)
             for loads in next(ways)]
    kinds = compare(model, cases, tmp_path)
    with capsys.disabled():
        print(f"\n{len(cases)} combinations outside, {kinds} outcomes")


def test_unread_variables_change_nothing(model, tmp_path):
    """bowline_attempts and the store do not matter outside a trial."""
    cases = [Case(v, loads, store)
             for i, v in enumerate(values(NAMES)) if not counted(v)
             if i % 61 == 0
             for loads in KERNELS[:2] for store in (True, False)]
    compare(model, cases, tmp_path)


def test_hostile_values(model, tmp_path):
    """Texts a shell might trip over, alone in each variable and in all."""
    good = ("B A", "3", "2", "trial", "B", "3")
    cases = [Case(good[:i] + (text,) + good[i + 1:])
             for text in HOSTILE for i in range(len(NAMES))]
    cases += [Case((text,) * len(NAMES)) for text in HOSTILE]
    compare(model, cases, tmp_path)
