# SPDX-License-Identifier: GPL-2.0-or-later
"""Kernel tests: a script, run as root in a small Linux under QEMU.

    result = run(script, disks=[path, ...], modules=["dm_bow"])
    assert result.status == 0, result.console

There are three machines, MACHINES below; which one is run's argument, or the
environment's VM_MACHINE, or arm64:

    arm64   the board's own kernel
    amd64   Debian's kernel for x86_64
    debug   a kernel for x86_64 that looks for faults in itself: memory, locks

'scripts/kmod.sh qemu-arm64', or amd64, or debug, makes the kernel and our
modules. The initramfs has busybox, dmsetup, packages asked for, and the
script. Disks are raw files, /dev/vda, /dev/vdb and so on. Every wait has a
time limit.

A power cut: give kill_at a text. QEMU is killed with SIGKILL as soon as a
line of the console contains it; what the guest's writes had reached the disk
files by then stays there.
"""

import functools
import os
import re
import selectors
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import guest
from cpio import Cpio
from guest import OUT, TOP, command

INIT = """#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/sbin:/bin HOME=/
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs run /run
mount -t debugfs debug /sys/kernel/debug
leaks=/sys/kernel/debug/kmemleak
[ -e $leaks ] || echo 4 > /proc/sys/kernel/printk
for ko in /modules/*.ko; do
    [ ! -e $ko ] || insmod $ko || echo "vm: cannot load $ko"
done
sh /test.sh
echo "VM-STATUS $?"
[ ! -e $leaks ] || sh /leaks.sh
poweroff -f
"""

# What is lost when all devices and our modules are gone. Young memory is not
# reported, and only what two scans find the same.
LEAKS = """
cd /
umount -a -d -t ext4,vfat,xfs,f2fs
for round in 1 2 3 4; do dmsetup remove_all; done
leaks=/sys/kernel/debug/kmemleak
look() {
    sleep 6
    echo scan > $leaks
    echo scan > $leaks
    cat $leaks
    echo clear > $leaks
}
look
for module in $(cut -d' ' -f1 /proc/modules); do
    rmmod $module || echo "vm: cannot unload $module"
done
look
"""

# What no run may have on its console, whatever the test looks at.
FAULTS = re.compile(r".*(?:\bBUG: |WARNING: |KASAN: |UBSAN: |Oops: |"
                    r"INFO: task |INFO: trying to register|possible \w+ lock|"
                    r"inconsistent lock state|suspicious RCU|unlock balance|"
                    r"held lock freed|lock held when|sleeping function|"
                    r"kernel BUG at|general protection|ODEBUG: |"
                    r"unreferenced object|vm: cannot).*")


class Machine:
    """What the machines differ in: out, the folder with kernel/ and kmod/;
    arch, Debian's name for it; console, its device; slow, how many times as
    much time everything may take; words, for the kernel's command line; exact:
    one emulated processor, whose clock counts its instructions, each as a
    nanosecond, and goes on with the host's only while it waits; alone: not even
    then, but leaps to what the machine itself waits for; sums: whether the
    processor has instructions for CRCs."""

    def __init__(self, name, out, arch, console, slow=1, words="quiet",
                 exact=False, alone=False, sums=True):
        self.name = name
        self.out = OUT / out
        self.arch = arch
        self.console = console
        self.slow = slow
        self.words = words
        self.exact = exact
        self.alone = alone
        self.sums = sums

    def need(self, path):
        found = self.out / path
        if not found.exists():
            raise FileNotFoundError(
                f"{found} is missing: run 'scripts/kmod.sh {self.out.name}'")
        return found

    def qemu(self, accelerator):
        if self.exact:
            accelerator = "tcg"
        time = ["-smp", "2"]
        if self.exact:
            time = ["-smp", "1", "-icount",
                    "shift=0" + (",sleep=off" if self.alone else "")]
        if self.arch == "arm64":
            return ["qemu-system-aarch64", "-M", "virt", "-cpu", "cortex-a57",
                    "-accel", "tcg", *time]
        # An emulator copies byte by byte with the strings that are "fast".
        cpu = "host" if accelerator == "kvm" else "max,-erms,-fsrm"
        if not self.sums:
            cpu += ",-sse4.2,-pclmulqdq"
        return ["qemu-system-x86_64", "-M", "q35", "-cpu", cpu, "-accel",
                accelerator, *time]

    def compiler(self):
        native = command("dpkg", "--print-architecture").strip()
        if native == self.arch:
            return "gcc"
        gnu = {"arm64": "aarch64", "amd64": "x86_64"}[self.arch]
        return f"{gnu}-linux-gnu-gcc"


# On a busy host an emulated timer may come too late for the kernel's check.
MACHINES = {m.name: m for m in (
    Machine("arm64", "qemu-arm64", "arm64", "ttyAMA0"),
    Machine("amd64", "vm/amd64", "amd64", "ttyS0",
            words="quiet no_timer_check"),
    Machine("debug", "vm/debug", "amd64", "ttyS0", slow=4,
            words="loglevel=5 no_timer_check"))}


def find_machine(name=None):
    name = name or os.environ.get("VM_MACHINE") or "arm64"
    if name not in MACHINES:
        raise ValueError(f"machine '{name}': expected one of "
                         + ", ".join(MACHINES))
    return MACHINES[name]


def program(source, into, name=None):
    """A static program from one C file, for the machine."""
    made = Path(into) / Path(source).stem
    command(find_machine(name).compiler(), "-static", "-O2", "-o", made, source)
    return made


class Result:
    """What a run left: console (text), status (of the script, None when the
    machine was killed or died), killed (kill_at was seen)."""

    def __init__(self, console, killed):
        found = re.search(r"^VM-STATUS (\d+)\s*$", console, re.M)
        self.console = console
        self.killed = killed
        self.status = int(found.group(1)) if found else None

    def faults(self):
        """The lines in which the kernel complains about itself."""
        return FAULTS.findall(self.console)

    def value(self, name):
        """The rest of the line 'name=...' that the script printed."""
        found = re.search(rf"^{re.escape(name)}=(.*?)\s*$", self.console,
                          re.M)
        assert found, f"no line {name}=... on the console:\n{self.console}"
        return found.group(1)


def module_files(kind, names):
    """The modules and all they need, in the order to load them, and before
    ours what they are better with, where the kernel has it."""
    release = kind.need("kernel/release").read_text().strip()
    files = []

    def add(path):
        if path not in files:
            files.append(path)

    def stock(name, check=True):
        lines = command("/sbin/modprobe", "-d", kind.out / "kernel/root", "-S",
                        release, "--show-depends", name,
                        check=check).splitlines()
        for line in lines:
            if line.startswith("insmod "):
                add(Path(line.split()[1]))

    for name in ["virtio_pci", "virtio_blk", "crc32c_generic", *names]:
        if name in ("dm_bow", "dm_update"):
            ours = kind.need("kmod/" + name.replace("_", "-") + ".ko")
            depends = command("/sbin/modinfo", "-F", "depends", ours)
            for needed in filter(None, depends.strip().split(",")):
                stock(needed)
            wanted = command("/sbin/modinfo", "-F", "softdep", ours)
            for name in wanted.replace("pre:", "").split():
                if kind.sums:
                    stock(name, check=False)
            add(ours)
        else:
            stock(name)
    return files


@functools.lru_cache(maxsize=None)
def base_archive(arch, packages):
    return guest.packages(arch, ["busybox-static", "dmsetup", *packages])


def write_initramfs(path, kind, script, modules, files, packages):
    shutil.copyfile(base_archive(kind.arch, tuple(packages)), path)
    cpio = Cpio()
    for name in ("proc", "sys", "dev", "run", "tmp", "mnt"):
        cpio.folder(name)
    cpio.file("init", INIT.encode())
    cpio.file("test.sh", script.encode())
    cpio.file("leaks.sh", LEAKS.encode())
    for i, module in enumerate(module_files(kind, modules)):
        cpio.file(f"modules/{i:02}-{module.name}", module.read_bytes())
    for name, data in files.items():
        if isinstance(data, (str, Path)):
            data = Path(data).read_bytes()
        cpio.file(name.lstrip("/"), data)
    with open(path, "ab") as archive:
        archive.write(cpio.bytes())


def qemu_words(kind, accelerator, ramdisk, disks, memory, sector, drive):
    words = kind.qemu(accelerator)
    words += ["-m", str(memory), "-display", "none",
              "-nodefaults", "-no-reboot", "-serial", "stdio", "-kernel",
              str(kind.need("kernel/Image")), "-initrd", str(ramdisk),
              "-append", f"console={kind.console} {kind.words} panic=-1"]
    for i, path in enumerate(disks):
        words += ["-drive", f"if=none,id=d{i},file={path},format=raw,"
                  "cache=unsafe,discard=ignore" + drive,
                  "-device", f"virtio-blk-pci,drive=d{i},"
                  f"logical_block_size={sector},physical_block_size={sector}"]
    return words


@functools.lru_cache(maxsize=None)
def accelerator():
    """kvm if this machine has it and it has just booted a guest, else tcg;
    the environment's VM_ACCEL decides otherwise. A /dev/kvm that is there
    may still hang its guests."""
    if os.environ.get("VM_ACCEL"):
        return os.environ["VM_ACCEL"]
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "tcg"
    try:
        with tempfile.TemporaryDirectory() as work:
            tried = boot(MACHINES["amd64"], "kvm", work, 10, "exit 42")
    except TimeoutError:
        return "tcg"
    return "kvm" if tried.status == 42 else "tcg"


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


def boot(kind, accel, work, timeout, script, disks=(), modules=(), files=None,
         kill_at=None, memory=256, sector=512, packages=(), drive=""):
    ramdisk = Path(work) / f"vm-{os.getpid()}.cpio"
    write_initramfs(ramdisk, kind, script, modules, files or {}, packages)
    process = subprocess.Popen(qemu_words(kind, accel, ramdisk, disks, memory,
                                          sector, drive),
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


def run(script, disks=(), modules=(), files=None, kill_at=None, timeout=120,
        memory=256, sector=512, work="/tmp", machine=None, packages=(),
        drive=""):
    """Boots, runs script with busybox sh, powers off; a Result. A kernel that
    complains about itself on the way is an AssertionError.

    modules: kernel modules to load before, dependencies found; ours by name.
    files: {path in the machine: bytes, or the path of a file here}.
    kill_at: see above. sector: logical block size of the disks, 512 or 4096.
    work: a folder for the initramfs, such as pytest's tmp_path.
    machine: see above. packages: Debian packages whose programs the script
    calls; their own bin, sbin and lib, and the libraries they need.
    drive: more options of every disk, for QEMU: ",throttling.bps-read=...".
    """
    kind = find_machine(machine)
    accel = accelerator() if kind.arch == "amd64" else "tcg"
    result = boot(kind, accel, work, timeout * kind.slow, script, disks,
                  modules, files, kill_at, memory, sector, packages, drive)
    assert not result.faults(), result.console
    return result


if __name__ == "__main__":
    print(accelerator())
