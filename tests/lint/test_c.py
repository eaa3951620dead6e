# SPDX-License-Identifier: GPL-2.0-or-later
"""C: every file compiles without a warning, and includes what it may."""

import functools
import re
import subprocess

import pytest

from tree import OUT, TOP, matches, text, with_suffix

WARNINGS = [
    "-Wall", "-Wextra", "-Wshadow", "-Wmissing-prototypes",
    "-Wstrict-prototypes", "-Wno-unused-parameter", "-Werror",
]
COMPILE = [
    "gcc", "-std=gnu11", "-O1", "-fsyntax-only", "-DHOST_VERBS",
    '-DTEST_DATA=""', *WARNINGS, "-Itests/unit", "-Itests/cut", "-Iupdater",
    "-Ikmod", "-Iuboot-env", f"-I{OUT}/curl/include",
]
# For another C library than the host's: the device build compiles it.
OTHER_LIBC = ["scripts/sysroot/glibc-shim.c", "scripts/sysroot/mbedtls-config.h"]

# Built against a kernel, as all of kmod/ is.
MODULES = ["tests/vm/faulty.c"]

# Files without a device, a library, or a system below them: what they, and
# their own headers, may include. kmod/plat.h is all of the platform.
PURE = {
    "kmod/dm-bow-log": {"plat.h", "bowline-format.h"},
    "kmod/dm-bow-ranges": {"plat.h", "bowline-format.h"},
    "kmod/dm-update-dir": {"plat.h", "bowline-format.h"},
    "kmod/dm-update-v1": {"plat.h", "bowline-format.h",
                          "dm-update-v1-number.h"},
    "updater/manifest": {"../kmod/plat.h"},
    "updater/slots": {"<stdbool.h>", "<stdint.h>", "<string.h>"},
    "updater/state": {"<stdbool.h>", "<stddef.h>"},
}

# One file, or few, for each library.
LIBRARIES = {
    r"<curl/": {"updater/http.c"},
    r"<libdevmapper": {"updater/dm.c"},
    r"<mbedtls/": {"updater/verify.c"},
    r"<libuboot": {"updater/env-ubootenv.c"},
    r"<zstd": {"updater/diff-codec.c", "updater/diff-pack.c", "updater/diff-v1.c",
               "updater/cmd-diff.c", "updater/v1.c"},
}


@functools.cache
def includes(file):
    """As written: "own.h" without its quotes, <system.h> with its brackets."""
    found = re.findall(r'^\s*#\s*include\s+(<[^>]+>|"[^"]+")', text(file), re.M)
    return [name.strip('"') for name in found]


def host_files(suffix):
    """Those that do not need the headers of a kernel."""
    for file in with_suffix(suffix):
        if file not in OTHER_LIBC + MODULES and not (
                file.startswith("kmod/") and uses_kernel(file)):
            yield file


def uses_kernel(file):
    """The two shared headers serve both sides; scripts/kmod.sh check compiles
    the rest, headers alone too."""
    if file in ("kmod/plat.h", "kmod/bowline-format.h"):
        return False
    return any(
        name.startswith("<linux/") or
        (name.endswith(".h") and name[0] != "<" and uses_kernel("kmod/" + name))
        for name in includes(file)
    )


def compile_only(*arguments, **kwargs):
    return subprocess.run([*COMPILE, *arguments], cwd=TOP, text=True,
                          capture_output=True, **kwargs)


@pytest.mark.parametrize("file", host_files(".c"))
def test_c_file_compiles_without_a_warning(file):
    done = compile_only(file)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("file", host_files(".h"))
def test_header_compiles_alone(file):
    done = compile_only("-Wno-unused-function", "-x", "c", "-",
                        input=f'#include "{file}"\n#include "{file}"\n')
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("stem", PURE)
def test_pure_file_includes_next_to_nothing(stem):
    own = stem.rpartition("/")[2] + ".h"
    assert own in includes(stem + ".c")
    for file in (stem + ".c", stem + ".h"):
        extra = set(includes(file)) - PURE[stem] - {own}
        assert not extra, f"{file} is pure and must not include {extra}"


@pytest.mark.parametrize("library", LIBRARIES)
def test_library_is_used_by_one_file(library):
    users = {f for f in with_suffix(".c", ".h")
             if f.startswith(("updater/", "kmod/"))
             and any(re.match(library, name) for name in includes(f))}
    assert users == LIBRARIES[library]


def test_kernel_versions_are_compared_in_one_header():
    wanted = [f for f in with_suffix(".c", ".h", "Kbuild", "Makefile")
              if f != "kmod/compat.h"]
    assert not matches(re.compile("LINUX_VERSION_CODE|KERNEL_VERSION"), wanted)
