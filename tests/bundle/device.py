# SPDX-License-Identifier: GPL-2.0-or-later
"""A device made of files, images and keys for its updates, and bundles."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from host import BOWLINE, fit, noise, run  # noqa: E402

KEYS = {
    "ec": ["genpkey", "-algorithm", "EC", "-pkeyopt",
           "ec_paramgen_curve:P-256"],
    "rsa": ["genpkey", "-algorithm", "RSA", "-pkeyopt",
            "rsa_keygen_bits:2048"],
}


def make_folder(path, size, changed):
    """Two images, their diff, a kernel, two pairs of keys."""
    old = noise(1 << 20, 1) + bytes(size - (1 << 20))
    (path / "old").write_bytes(old)
    (path / "new").write_bytes(noise(changed, 2) + old[changed:])
    (path / "kernel").write_bytes(fit((2 << 20) + 77))
    run(BOWLINE, "diff", "old", "new", "-o", "diff", "--level", "1", cwd=path)
    (path / "keys").mkdir()
    for name, command in KEYS.items():
        run("openssl", *command, "-out", path / f"{name}.key")
        run("openssl", "pkey", "-in", path / f"{name}.key", "-pubout", "-out",
            path / f"keys/{name}.pem")
    return path


def make(folder, out, *options):
    return run(BOWLINE, "bundle", "--board", "test", "--version", "2",
               "--old", "old", "--new", "new", "--diff", "diff", "--boot",
               "kernel", "-o", out, *options, cwd=folder)


class Device:
    """A device made of files beside the bundle."""

    def __init__(self, folder):
        self.folder = folder
        self.sparse("stage", 160 << 20)
        self.sparse("boot-a", 4 << 20)
        self.sparse("boot-b", 4 << 20)
        (folder / "os-release").write_text("IMAGE_VERSION=1\n")
        (folder / "env.txt").write_text("BOOT_ORDER=A B\nbootdelay=0\n")
        run("mkenvimage", "-r", "-s", "0x4000", "-o", "one", "env.txt",
            cwd=folder)
        (folder / "env").write_bytes((folder / "one").read_bytes() * 2)
        (folder / "fw_env.config").write_text(
            "env 0x0 0x4000\nenv 0x4000 0x4000\n"
        )
        (folder / "board.conf").write_text(
            "BOARD=test\nSYSTEM=old\nSTAGE=stage\nDATA=data\nBOOT_A=boot-a\n"
            "BOOT_B=boot-b\nENV_CONFIG=fw_env.config\nENV_DEFAULT=env.txt\n"
            "VERSION_FILE=os-release\nKEYS=keys\n"
        )

    def sparse(self, name, size):
        with open(self.folder / name, "wb") as file:
            file.truncate(size)

    def install(self, path, **kwargs):
        return run("/usr/bin/time", "-f", "peak %M KiB", BOWLINE, "install",
                   "--board", "board.conf", path, cwd=self.folder, check=False,
                   **kwargs)

    def env(self):
        text = run("fw_printenv", "-c", "fw_env.config",
                   cwd=self.folder).stdout
        return dict(line.split("=", 1) for line in text.splitlines())
