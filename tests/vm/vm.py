# SPDX-License-Identifier: GPL-2.0-or-later
"""Kernel tests: a script, run as root in a small Linux under QEMU.

    result = run(script, disks=[path, ...], modules=["dm_bow"])
    assert result.status == 0, result.console

The machine is QEMU's arm64 virt by TCG, with Debian's kernel from
out/BOARD/kernel (scripts/kernel.sh), our modules from out/BOARD/kmod
(scripts/kmod.sh), and an initramfs of busybox, dmsetup and the script. Disks
are raw files, /dev/vda, /dev/vdb and so on. Every wait has a time limit.

A power cut: give kill_at a text. QEMU is killed with SIGKILL as soon as a
line of the console contains it; what the guest's writes had reached the disk
files by then stays there.
"""

import functools
import os
import re
import selectors
import signal
import stat
import subprocess
import time
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
OUT = Path(os.environ.get("OUT", TOP / "out"))
BOARD = OUT / "qemu-arm64"
KERNEL = BOARD / "kernel"

# Debian's packages with what a script may call, and the libraries they need.
PACKAGES = ["busybox-static", "dmsetup", "libdevmapper1.02.1", "libc6",
            "libselinux1", "libudev1", "libpcre2-8-0"]
WANTED = re.compile(r"(usr/)?(s?bin/(busybox|dmsetup)|lib/(aarch64-linux-gnu/)?"
                    r"(ld-linux-\S*|lib(c|m|selinux|udev|pcre2-8|devmapper)"
                    r"\.so\.[0-9.]+))")

INIT = """#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin:/sbin:/usr/sbin HOME=/
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs run /run
mkdir -p /mnt
echo 4 > /proc/sys/kernel/printk
for ko in /modules/*.ko; do
    insmod $ko || echo "vm: cannot load $ko"
done
sh /test.sh
echo "VM-STATUS $?"
poweroff -f
"""


class Result:
    """What a run left: console (text), status (of the script, None when the
    machine was killed or died), killed (kill_at was seen)."""

    def __init__(self, console, killed):
        found = re.search(r"^VM-STATUS (\d+)\s*$", console, re.M)
        self.console = console
        self.killed = killed
        self.status = int(found.group(1)) if found else None

    def value(self, name):
        """The rest of the line 'name=...' that the script printed."""
        found = re.search(rf"^{re.escape(name)}=(.*?)\s*$", self.console,
                          re.M)
        assert found, f"no line {name}=... on the console:\n{self.console}"
        return found.group(1)


def need(path, how):
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing: run '{how}'")
    return path


def command(*words):
    return subprocess.run(words, check=True, text=True,
                          stdout=subprocess.PIPE).stdout


class Cpio:
    """An initramfs in the kernel's 'newc' format."""

    def __init__(self):
        self.parts = []
        self.names = set()
        for name in ("bin", "proc", "sys", "dev", "run", "tmp"):
            self.folder(name)

    def folder(self, name):
        if name and name not in self.names:
            self.folder(os.path.dirname(name))
            self._add(name, stat.S_IFDIR | 0o755, b"")

    def file(self, name, data, mode=0o755):
        self.folder(os.path.dirname(name))
        self._add(name, stat.S_IFREG | mode, data)

    def link(self, name, to):
        self.folder(os.path.dirname(name))
        self._add(name, stat.S_IFLNK | 0o777, to.encode())

    def _add(self, name, mode, data):
        self.names.add(name)
        fields = [len(self.parts) + 1, mode, 0, 0, 1, 0, len(data), 0, 0, 0,
                  0, len(name) + 1, 0]
        head = b"070701" + b"".join(b"%08X" % f for f in fields)
        head += name.encode() + b"\0"
        self.parts.append(head + b"\0" * (-len(head) % 4) + data +
                          b"\0" * (-len(data) % 4))

    def bytes(self):
        self._add("TRAILER!!!", 0, b"")
        return b"".join(self.parts)


def module_files(names):
    """The modules and all they need, in the order to load them."""
    release = need(KERNEL / "release",
                   "scripts/kernel.sh qemu-arm64").read_text().strip()
    files = []

    def add(path):
        if path not in files:
            files.append(path)

    def stock(name):
        lines = command("/sbin/modprobe", "-d", str(KERNEL / "root"), "-S",
                        release, "--show-depends", name).splitlines()
        for line in lines:
            if line.startswith("insmod "):
                add(Path(line.split()[1]))

    for name in ["virtio_pci", "virtio_blk", "crc32c_generic", *names]:
        ours = BOARD / "kmod" / (name.replace("_", "-") + ".ko")
        if name in ("dm_bow", "dm_update"):
            need(ours, "scripts/kmod.sh qemu-arm64")
            depends = command("/sbin/modinfo", "-F", "depends", str(ours))
            for needed in filter(None, depends.strip().split(",")):
                stock(needed)
            add(ours)
        else:
            stock(name)
    return files


@functools.lru_cache(maxsize=None)
def package_folders():
    return command(str(TOP / "scripts/deb.sh"), "updates", "arm64",
                   *PACKAGES).split()


def add_packages(cpio):
    for folder in map(Path, package_folders()):
        for path in sorted(folder.rglob("*")):
            if not WANTED.fullmatch(str(path.relative_to(folder))):
                continue
            name = path.name
            where = "bin" if name in ("busybox", "dmsetup") else "lib"
            if path.is_file():
                cpio.file(f"{where}/{name}", path.resolve().read_bytes())


def initramfs(script, modules, files):
    cpio = Cpio()
    add_packages(cpio)
    cpio.file("init", INIT.encode())
    cpio.file("test.sh", script.encode())
    for i, path in enumerate(module_files(modules)):
        cpio.file(f"modules/{i:02}-{path.name}", path.read_bytes())
    for name, data in files.items():
        if isinstance(data, (str, Path)):
            data = Path(data).read_bytes()
        cpio.file(name.lstrip("/"), data)
    return cpio.bytes()


def qemu_words(ramdisk, disks, memory, sector):
    words = ["qemu-system-aarch64", "-M", "virt", "-cpu", "cortex-a57",
             "-accel", "tcg", "-smp", "2", "-m", str(memory), "-nographic",
             "-nodefaults", "-no-reboot", "-serial", "stdio", "-kernel",
             str(need(KERNEL / "Image", "scripts/kernel.sh qemu-arm64")),
             "-initrd", str(ramdisk), "-append",
             "console=ttyAMA0 quiet panic=-1"]
    for i, path in enumerate(disks):
        words += ["-drive", f"if=none,id=d{i},file={path},format=raw,"
                  "cache=writeback,discard=ignore",
                  "-device", f"virtio-blk-pci,drive=d{i},"
                  f"logical_block_size={sector},physical_block_size={sector}"]
    return words


def watch(process, kill_at, timeout):
    """The console until the machine ends; (text, killed)."""
    selector = selectors.DefaultSelector()
    selector.register(process.stdout, selectors.EVENT_READ)
    deadline = time.monotonic() + timeout
    text = b""
    while time.monotonic() < deadline:
        if not selector.select(timeout=1):
            continue
        data = os.read(process.stdout.fileno(), 65536)
        if not data:
            return text, False
        text += data
        if kill_at and kill_at.encode() in text:
            process.send_signal(signal.SIGKILL)
            return text, True
    process.send_signal(signal.SIGKILL)
    raise TimeoutError(f"the machine was not done after {timeout} s:\n" +
                       text.decode(errors="replace"))


def run(script, disks=(), modules=(), files=None, kill_at=None, timeout=120,
        memory=256, sector=512, work=None):
    """Boots, runs script with busybox sh, powers off; a Result.

    modules: kernel modules to load before, dependencies found; ours by name.
    files: {path in the machine: bytes, or the path of a file here}.
    kill_at: see above. sector: logical block size of the disks, 512 or 4096.
    work: a folder for the initramfs, such as pytest's tmp_path.
    """
    ramdisk = Path(work or "/tmp") / f"vm-{os.getpid()}.cpio"
    ramdisk.write_bytes(initramfs(script, modules, files or {}))
    process = subprocess.Popen(qemu_words(ramdisk, disks, memory, sector),
                               stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT)
    try:
        text, killed = watch(process, kill_at, timeout)
    finally:
        process.kill()
        process.wait()
        ramdisk.unlink()
    return Result(text.decode(errors="replace").replace("\r", ""), killed)
