# SPDX-License-Identifier: GPL-2.0-or-later
"""The documentation against the code: tables, keys, verbs and their help."""

import os
import pathlib
import re
import subprocess

import pytest

from tree import TOP, text, with_suffix

BLOCK = re.compile(r"<!-- table: (\w+) -->\n(.*?)<!-- end -->", re.S)
KEY_ROW = re.compile(r"^\| `([A-Z][A-Z0-9_]*)` \|", re.M)
OUT = pathlib.Path(os.environ.get("OUT", TOP / "out"))
BOWLINE = pathlib.Path(os.environ.get("BOWLINE", OUT / "host/bowline"))


def run(*command):
    return subprocess.run([str(c) for c in command], cwd=TOP, text=True,
                          capture_output=True, check=True).stdout


@pytest.fixture(scope="session")
def table(tmp_path_factory):
    """table(NAME): as tables.c prints it from the code."""
    program = tmp_path_factory.mktemp("tables") / "tables"
    run("make", "-s", "-C", "updater", f"O={OUT}/host")
    objects = [o for o in (OUT / "host/obj").glob("*.o")
               if o.stem != "main" and (
                   (TOP / "updater" / f"{o.stem}.c").exists() or
                   (TOP / "kmod" / f"{o.stem}.c").exists())]
    run("gcc", "-Iupdater", "-Ikmod", "-Iuboot-env", "-o", program,
        "tests/lint/tables.c", *objects, f"-L{OUT}/curl/lib", "-ldevmapper",
        "-lubootenv", "-lcurl", "-lmbedtls", "-lmbedx509", "-lmbedcrypto",
        "-lz", "-lzstd", "-llz4", "-lpthread")
    return lambda name: run(program, name)


# ---- tables -----------------------------------------------------------------


def blocks():
    for file in with_suffix(".md"):
        for name, body in BLOCK.findall(text(file)):
            yield pytest.param(name, body, id=f"{file}-{name}")


@pytest.mark.parametrize("name,body", blocks())
def test_table_is_that_of_the_code(table, name, body):
    assert body == table(name)


@pytest.mark.parametrize("name", ["variables", "decision"])
def test_table_is_in_the_documentation(name):
    assert name in [b.values[0] for b in blocks()]


# ---- the kernel targets ------------------------------------------------------

REFUSALS = re.compile(r"^\.\. errors: ([^\n]*)\n\n(.*?)\n\n\.\. end$",
                      re.S | re.M)
SENTENCE = re.compile(r"""(?:(?:error|why)\ =|refuse\(why,|\{\ 0,\ \d,)\s*
                          ((?:"[^"]*"\s*)+)""", re.X)


def refusals():
    for file in with_suffix(".rst"):
        for sources, body in REFUSALS.findall(text(file)):
            yield pytest.param(sources.split(), body, id=sources)


@pytest.mark.parametrize("sources,body", refusals())
def test_reasons_to_refuse_a_table_are_those_of_the_code(sources, body):
    given = {"".join(re.findall(r'"([^"]*)"', sentence))
             for source in sources
             for sentence in SENTENCE.findall(text(source))}
    assert given
    assert sorted(line[2:] for line in body.splitlines()) == sorted(given)


# What dm-bow-log.c says is said by the offline tool.
def test_every_target_lists_its_reasons():
    listed = {s for r in refusals() for s in r.values[0]}
    assert listed == {f for f in with_suffix(".c")
                      if re.match("kmod/dm-(?!bow-log)", f) and
                      SENTENCE.search(text(f))}


# ---- the board file ---------------------------------------------------------


def test_porting_names_every_key_of_the_board_file(table):
    documented = KEY_ROW.findall(text("docs/PORTING.md"))
    assert sorted(documented) == sorted(table("keys").split())


@pytest.mark.parametrize("file", with_suffix("/board.conf"))
def test_board_file_has_only_known_keys(table, file):
    given = re.findall(r"^([A-Z][A-Z0-9_]*)=", text(file), re.M)
    assert len(given) == len(set(given))
    assert not set(given) - set(table("keys").split())


# ---- verbs ------------------------------------------------------------------


def verbs():
    listed = re.findall(r'\{ "(\w+)", cmd_\w+, help_\w+ \}',
                        text("updater/main.c"))
    assert len(listed) > 10
    return listed


def test_the_program_lists_its_verbs():
    shown = re.findall(r"^  (\w+) ", run(BOWLINE, "--help"), re.M)
    assert shown == verbs()


def test_each_verb_has_its_file():
    found = {f[len("updater/cmd-"):-2] for f in with_suffix(".c")
             if f.startswith("updater/cmd-")}
    assert found == set(verbs())


def commands(file):
    """(verb, its options) of each command that a page shows."""
    shown = text(file).replace("\\\n", "")
    for verb, rest in re.findall(
            r"(?:`|^ {4}(?:[$#] )?)bowline ([a-z]+)([^`\n|#]*)", shown, re.M):
        yield verb, set(re.findall(r"(?<=\s)--?[a-z-]+", rest))


# The table of errors is about commands that are wrong, and is run.
@pytest.mark.parametrize("file", [f for f in with_suffix(".md", ".rst")
                                  if f != "docs/ERRORS.md"])
def test_commands_in_prose_are_right(file):
    for verb, options in commands(file):
        assert verb in verbs(), f"bowline {verb}"
        unknown = options - set.union(*options_of(verb), {"--help"})
        assert not unknown, f"bowline {verb} {unknown}"


# boot is called by the initramfs, never by hand.
@pytest.mark.parametrize("verb", [v for v in verbs() if v != "boot"])
def test_readme_names_the_verb(verb):
    assert re.search(f"(`|bowline ){verb}\\b", text("README.md"))


# ---- help -------------------------------------------------------------------


def help_of(verb):
    return run(BOWLINE, verb, "--help")


def options_of(verb):
    """Long names and letters, as the table of the verb's file has them."""
    rows = re.findall(r"\{ \"([a-z-]+)\", ('(\w)'|0), ",
                      text(f"updater/cmd-{verb}.c"))
    return {"--" + name for name, _, _ in rows}, \
        {"-" + letter for _, _, letter in rows if letter}


@pytest.mark.parametrize("verb", verbs())
def test_help_is_laid_out_alike(verb):
    lines = help_of(verb).splitlines()
    assert re.match(r"[a-z].*[^.]$", lines[0]), "no summary"
    assert lines[1] == ""
    assert lines[2].startswith(f"usage: bowline {verb}")
    assert len(f"  {verb:9} {lines[0]}") <= 80
    assert not [line for line in lines if len(line) > 80 or line != line.rstrip()]
    assert "Exit status: 0 " in help_of(verb)


@pytest.mark.parametrize("verb", verbs())
def test_help_tells_every_option_and_no_other(verb):
    names, letters = options_of(verb)
    described = set()
    for line in re.findall(r"^  (-\S.*)", help_of(verb), re.M):
        described |= set(re.findall(r"(?<!\S)--?[a-z-]+", line.split("  ")[0]))
    assert described == names | letters
    usage = help_of(verb).split("\n\n")[1]
    assert set(re.findall(r"--[a-z-]+", usage)) <= names


def arguments_of(verb):
    """The names given to options_parse(), here or by the offline verbs."""
    source = text(f"updater/cmd-{verb}.c")
    if "offline_verb(" in source:
        source = text("updater/offline.c")
    return re.search(r'options_parse\(.*?"([A-Z ]*)"', source, re.S)[1].split()


@pytest.mark.parametrize("verb", verbs())
def test_help_names_every_argument(verb):
    usage = help_of(verb).split("\n\n")[1]
    shown = re.sub(r"--[a-z-]+ [A-Z]+|\[[^]]*\]|-o OUT", "", usage)
    for name in arguments_of(verb):
        assert re.search(rf"\b{name}\b", shown)
