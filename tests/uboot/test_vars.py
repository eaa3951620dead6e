# SPDX-License-Identifier: GPL-2.0-or-later
"""vars.h is the one definition: the default environment and the script must
agree with it."""

import re
import subprocess
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """{name: (values, default, meaning)}"""
    path = tmp_path_factory.mktemp("vars") / "vars"
    subprocess.run(["gcc", "-Wall", "-Werror", f"-I{TOP}/uboot-env", "-o",
                    path, TOP / "tests/uboot/vars.c"], check=True)
    lines = subprocess.run([path], check=True, capture_output=True,
                           text=True).stdout.splitlines()
    return {name: rest for name, *rest in (line.split("\t") for line in lines)}


@pytest.fixture(scope="module")
def environment():
    text = subprocess.run([TOP / "scripts/env.sh"], check=True,
                          capture_output=True, text=True).stdout
    return dict(line.split("=", 1) for line in text.splitlines())


def legal(values, text):
    """Whether a text is one of the values, as vars.h writes them."""
    if values == "text":
        return text.isprintable()
    if values == "hex16":
        return bool(re.fullmatch("[0-9a-f]{16}", text))
    return any(a == text or (re.fullmatch(".-.", a) and
                             len(text) == 1 and a[0] <= text <= a[2])
               for a in values.split("|"))


def test_defaults_are_legal(table):
    for name, (values, default, _) in table.items():
        assert default == "" or legal(values, default), name


def test_the_environment_has_these_defaults(table, environment):
    wanted = {n: d for n, (_, d, _) in table.items() if d}
    found = {n: v for n, v in environment.items() if n in table}
    assert found == wanted


def test_the_script_knows_no_other_variables(table, environment):
    """Whatever it reads is in the table, its own (bl_*), or a script."""
    for name, text in environment.items():
        for read in re.findall(r"\$\{(\w+)\}", text):
            assert read in table or read.startswith("bl_"), f"{name}: {read}"
        for run in re.findall(r"\brun (\w+)", text):
            assert run in environment or run in (
                "bowline_load", "bowline_go", "bowline_turn_"), f"{name}: {run}"


def test_values_read_as_meant(table):
    assert legal(table["BOOT_ORDER"][0], "B A")
    assert legal(table["BOOT_A_LEFT"][0], "0")
    assert not legal(table["bowline_attempts"][0], "0")
    assert not legal(table["BOOT_ORDER"][0], "A  B")
