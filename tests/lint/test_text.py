# SPDX-License-Identifier: GPL-2.0-or-later
"""Every file of the tree as text: licence, length of functions, names that
point at nothing, words that were left behind."""

import ast
import os
import re

import pytest

from tree import TOP, files, matches, text, with_suffix

MOST_LINES = 100

# Not source: prose, data, settings, lists.
NO_SOURCE = re.compile(
    r"(^|/)\.[\w-]+$|(^|/)COPYING$|\.(md|conf|list|specs)$|^initramfs/contents$"
    r"|^scripts/system/etc/(inittab|inputrc|profile)$"
    r"|^tests/data/(?!.*\.(py|sh)$)|^tests/fuzz/corpus/"
)
SPDX = re.compile(r"SPDX-License-Identifier: (\S+)")
PATHS = r"\b(?:boards|docs|initramfs|kmod|scripts|tests|uboot-env|updater)/"
NAMED_FILE = re.compile(
    r"(?<![\w/.-])(" + PATHS +
    r"[\w./-]*\.(?:c|h|md|rst|py|sh|conf|config|env))\b"
)
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")


def shell_scripts():
    return [f for f in files()
            if f.endswith(".sh") or re.match(r"#!.*\bsh\b", text(f))]


def prose():
    return with_suffix(".md", ".rst")


# ---- licences ---------------------------------------------------------------


def licence(file):
    found = SPDX.search("\n".join(text(file).splitlines()[:5]))
    return found and found[1]


def test_every_source_file_names_its_licence():
    wrong = []
    for file in files():
        kernel = file.startswith("kmod/")
        wanted = "GPL-2.0-only" if kernel else "GPL-2.0-or-later"
        if text(file) and not NO_SOURCE.search(file) \
                and licence(file) != wanted:
            wrong.append(f"{file}: {licence(file)}, expected {wanted}")
    assert not wrong


# ---- functions fit ----------------------------------------------------------


def c_functions(file):
    """(line, length) from the line of the name to the closing brace. The style
    puts both braces of a function, and no other line, into column one."""
    start = opened = None
    for number, line in enumerate(text(file).splitlines(), 1):
        if line == "{":
            opened = start
        elif line.startswith("}") and opened:
            yield opened, number - opened + 1
            opened = None
        elif re.match(r"\w.*\(", line) and not line.endswith(";"):
            start = number


def sh_functions(file):
    start = None
    for number, line in enumerate(text(file).splitlines(), 1):
        if re.match(r"\w+\(\) *[{(]", line):
            start = number
        elif line in ("}", ")") and start:
            yield start, number - start + 1
            start = None


def python_functions(file):
    for node in ast.walk(ast.parse(text(file))):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node.lineno, node.end_lineno - node.lineno + 1


def too_long(wanted, functions):
    return [f"{file}:{line}: a function of {length} lines"
            for file in wanted for line, length in functions(file)
            if length > MOST_LINES]


def test_no_c_function_is_longer_than_a_hundred_lines():
    sources = with_suffix(".c", ".h")
    assert sum(1 for f in sources for _ in c_functions(f)) > 500
    assert not too_long(sources, c_functions)


def test_no_script_function_is_longer_than_a_hundred_lines():
    assert not too_long(shell_scripts(), sh_functions)
    assert not too_long(with_suffix(".py"), python_functions)


# ---- nothing left behind ----------------------------------------------------


def test_no_notes_to_ourselves():
    notes = re.compile(r"\b(TO" r"DO|FIX" r"ME|X" r"XX)\b")
    assert not matches(notes, files())


def test_no_paths_of_somebodys_machine():
    paths = re.compile(r"(?<![\w.}-])/(work|home|root|Users|mnt/data)/")
    assert not matches(paths, files())


# ---- names that point at nothing --------------------------------------------


def test_files_that_are_named_exist():
    missing = [
        f"{file}: {name}"
        for file in files()
        for name in NAMED_FILE.findall(text(file))
        if not (TOP / name).exists()
    ]
    assert not missing


@pytest.mark.parametrize("file", prose())
def test_links_lead_somewhere(file):
    folder = (TOP / file).parent
    assert not [name for name in LINK.findall(text(file))
                if not (folder / name).exists()]


def targets():
    return set(re.findall(r"^([a-z][\w-]*):", text("Makefile"), re.M))


@pytest.mark.parametrize("file", prose())
def test_make_targets_in_prose_exist(file):
    named = re.findall(r"`make ([a-z][\w-]*)", text(file))
    assert not set(named) - targets()


def test_scripts_of_the_makefile_exist_and_run():
    for script in re.findall(r"@(scripts/\S+\.sh)", text("Makefile")):
        assert os.access(TOP / script, os.X_OK), f"{script} cannot be run"


def test_scripts_can_be_run():
    sourced = "# shellcheck shell=sh"
    assert not [f for f in files() if text(f).startswith("#!")
                and sourced not in text(f) and not os.access(TOP / f, os.X_OK)]
