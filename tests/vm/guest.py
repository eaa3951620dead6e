# SPDX-License-Identifier: GPL-2.0-or-later
"""Programs of Debian packages for the machines of the kernel tests.

    archive = guest.packages("amd64", ["busybox-static", "xfsprogs"])

is an initramfs archive, made once and kept in out/cache. Of the packages
named it has all in bin, sbin and lib; of those they depend on only the shared
libraries that the programs need to start. /usr/bin, /usr/sbin and /usr/lib
are one with /bin, /sbin and /lib.
"""

import hashlib
import os
import re
import subprocess
from pathlib import Path

from cpio import Cpio

TOP = Path(__file__).resolve().parents[2]
OUT = Path(os.environ.get("OUT", TOP / "out"))
# The programs need the loader at a fixed place, and threads that end need
# the last one; neither is a needed library of a program.
ALWAYS = re.compile(r"ld-linux.*\.so\.\d+|libgcc_s\.so\.1")
UNWANTED = re.compile(r"lib/(systemd|udev|debug|modprobe\.d)/")


def command(*words, check=True):
    return subprocess.run([str(w) for w in words], check=check, text=True,
                          stdout=subprocess.PIPE).stdout


def closure(arch, names):
    """["name=version"]: the packages and all that they depend on."""
    plan = command(TOP / "scripts/apt.sh", "updates", arch, "apt-get", "-s",
                   "-q", "install", *names)
    found = re.findall(r"^Inst (\S+) \((\S+) ", plan, re.M)
    return sorted(f"{name}={version}" for name, version in found)


def place(path):
    """Where a package's path goes in the machine; None for nowhere."""
    path = path.removeprefix("usr/")
    if UNWANTED.match(path):
        return None
    return path if path.split("/")[0] in ("bin", "sbin", "lib",
                                          "lib64") else None


def contents(folder):
    """{place: path here} of an unpacked package."""
    found = {}
    for path in sorted(Path(folder).rglob("*")):
        where = place(str(path.relative_to(folder)))
        if where and (path.is_symlink() or path.is_file()):
            found[where] = path
    return found


def needed(paths):
    """The names of the libraries that these files are linked with."""
    files = [p for p in paths if not p.is_symlink() and
             p.read_bytes()[:4] == b"\x7fELF"]
    if not files:
        return set()
    text = command("readelf", "-d", *files)
    return set(re.findall(r"\(NEEDED\).*\[(.+)\]", text))


def with_libraries(chosen, others):
    """chosen, and of the others what it needs to start, to the last."""
    by_name = {}
    for where, path in others.items():
        by_name.setdefault(os.path.basename(where), []).append((where, path))
    wanted = needed(chosen.values())
    if wanted:
        wanted |= {name for name in by_name if ALWAYS.fullmatch(name)}
    done = {os.path.basename(where) for where in chosen}
    while wanted - done:
        done |= (new := wanted - done)
        files = [pair for name in new for pair in by_name.get(name, [])]
        chosen.update(files)
        wanted |= needed([path for _, path in files])
        wanted |= {os.path.basename(os.readlink(path)) for _, path in files
                   if path.is_symlink()}
    return chosen


def build(arch, names, versions):
    folders = command(TOP / "scripts/deb.sh", "updates", arch,
                      *versions).split()
    chosen, others = {}, {}
    for version, folder in zip(versions, folders):
        mine = version.split("=")[0] in names
        (chosen if mine else others).update(contents(folder))
    cpio = Cpio()
    for name in ("bin", "sbin", "lib", "usr"):
        cpio.folder(name)
        if name != "usr":
            cpio.link(f"usr/{name}", f"../{name}")
    for where, path in sorted(with_libraries(chosen, others).items()):
        if path.is_symlink():
            cpio.link(where, os.readlink(path))
        else:
            cpio.file(where, path.read_bytes())
    return cpio.bytes()


def packages(arch, names):
    versions = closure(arch, names)
    inputs = [arch, *names, *versions, Path(__file__).read_text()]
    key = hashlib.sha256("\n".join(inputs).encode()).hexdigest()[:12]
    archive = OUT / "cache" / f"guest-{arch}-{key}.cpio"
    if not archive.exists():
        part = archive.with_suffix(f".{os.getpid()}.part")
        part.write_bytes(build(arch, names, versions))
        part.rename(archive)
    return archive
