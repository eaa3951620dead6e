# SPDX-License-Identifier: GPL-2.0-or-later
"""The debug machine notices faults: each kind once, in a module that has it."""

import shutil
import subprocess

import pytest

import vm


@pytest.fixture(scope="module")
def faulty(tmp_path_factory):
    work = tmp_path_factory.mktemp("faulty")
    shutil.copy(vm.TOP / "tests/vm/faulty.c", work)
    (work / "Kbuild").write_text("obj-m := faulty.o\n")
    build = vm.find_machine("debug").need("kernel/build")
    subprocess.run(["make", "-s", "-C", build, f"M={work}", "ARCH=x86_64",
                    "modules"], check=True)
    return work / "faulty.ko"


def load(faulty, tmp_path, fault):
    return vm.run(f"insmod /faulty.ko fault={fault}\n", machine="debug",
                  files={"faulty.ko": faulty}, work=tmp_path)


def test_no_fault(faulty, tmp_path):
    assert load(faulty, tmp_path, "none").status == 0


@pytest.mark.parametrize("fault,line", [
    ("leak", "unreferenced object"),
    ("sleep", "BUG: scheduling while atomic|BUG: sleeping function"),
    ("freed", "KASAN: slab-use-after-free|KASAN: use-after-free"),
    ("order", "possible circular locking dependency")])
def test_fault(faulty, tmp_path, fault, line):
    with pytest.raises(AssertionError, match=line):
        load(faulty, tmp_path, fault)
