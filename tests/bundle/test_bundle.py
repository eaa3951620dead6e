# SPDX-License-Identifier: GPL-2.0-or-later
"""bowline bundle and install from outside: a reader of the bundle written
from docs/FORMAT.md alone, stock openssl as the signer, and the memory that
install takes.
"""

import hashlib
import os
import pathlib
import pty
import re
import struct
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from host import BOWLINE, TOP, fit, noise, run  # noqa: E402
FORMAT = TOP / "docs/FORMAT.md"

IMAGE_SIZE = 8 << 20
LARGE_SIZE = 128 << 20
INSTALL_LIMIT_KIB = 8 << 10

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


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_folder(tmp_path_factory.mktemp("small"), IMAGE_SIZE, 3 << 20)


@pytest.fixture
def large(tmp_path):
    """All of the image differs: nothing may depend on how much."""
    return make_folder(tmp_path, LARGE_SIZE, LARGE_SIZE)


def make(folder, out, *options):
    return run(BOWLINE, "bundle", "--board", "test", "--version", "2",
               "--old", "old", "--new", "new", "--diff", "diff", "--boot",
               "kernel", "-o", out, *options, cwd=folder)


# ---- a reader from the document ---------------------------------------------


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc


def padded(size):
    return (size + 4095) // 4096 * 4096


def read_bundle(data):
    magic, version, m, s, zero, crc = struct.unpack_from("<8sIIIQI", data)
    assert magic == b"bowline\0" and version == 1 and zero == 0
    assert crc == crc32c(data[:28])
    manifest = data[32:32 + m]
    signature = data[32 + m:32 + m + s]
    at = padded(32 + m + s)
    assert not any(data[32 + m + s:at])
    payloads = {}
    lines = [line.split("=", 1) for line in manifest.decode().splitlines()]
    for number, (key, value) in enumerate(lines):
        if key != "payload":
            continue
        size = int(lines[number + 1][1])
        piece_size = int(lines[number + 2][1])
        payloads[value] = data[at:at + size]
        count = (size + piece_size - 1) // piece_size
        for i in range(count):
            piece = payloads[value][i * piece_size:(i + 1) * piece_size]
            assert lines[number + 3 + i] == [
                "piece", hashlib.sha256(piece).hexdigest()
            ]
        assert not any(data[at + size:at + padded(size)])
        at += padded(size)
    assert at == len(data)
    return manifest, signature, payloads, lines


def test_the_document_is_enough_to_read_a_bundle(folder):
    said = make(folder, "out", "--key", "ec.key").stdout
    manifest, signature, payloads, lines = read_bundle(
        (folder / "out").read_bytes()
    )
    assert payloads["diff"] == (folder / "diff").read_bytes()
    assert payloads["boot"] == (folder / "kernel").read_bytes()
    fields = dict(lines[:8])
    for name, image in (("source", "old"), ("target", "new")):
        data = (folder / image).read_bytes()
        assert int(fields[f"{name}-size"]) == len(data)
        assert fields[f"{name}-sha256"] == hashlib.sha256(data).hexdigest()
    assert hashlib.sha256(manifest).hexdigest()[:16] in said
    (folder / "m").write_bytes(manifest)
    (folder / "s").write_bytes(signature)
    run("openssl", "dgst", "-sha256", "-verify", folder / "keys/ec.pem",
        "-signature", folder / "s", folder / "m")


def test_the_keys_of_the_document_are_those_of_the_manifest(folder):
    table = re.search(r"### Manifest\n.*?\n\n(\|.*?)\n\n", FORMAT.read_text(),
                      re.S)[1]
    documented = re.findall(r"^\| `([a-z0-9-]+)` \|", table, re.M)
    make(folder, "m", "--manifest-only")
    used = [line.split("=")[0] for line in
            (folder / "m").read_text().splitlines()]
    assert documented == list(dict.fromkeys(used))


def test_the_offsets_of_the_document_are_those_of_the_code():
    defines = dict(re.findall(r"#define (STAGE_\w+)\s+(.*)",
                              (TOP / "updater/stage.h").read_text()))
    values = {}
    for name, text in defines.items():
        text = re.sub(r"(\d)u\b", r"\1", text)
        values[name] = eval(text, {}, values)  # a sum of shifted numbers
    text = FORMAT.read_text()
    assert f"at\nmost {values['STAGE_HEAD_MAX']} bytes long" in text
    assert f"| {values['STAGE_HEAD']} | to {values['STAGE_PAYLOAD']} " in text
    assert f"| {values['STAGE_PAYLOAD']} | to the end | the diff" in text
    assert f"the stage, at byte {values['STAGE_PAYLOAD']} |" in text


# ---- making it --------------------------------------------------------------


@pytest.mark.parametrize("kind", KEYS)
def test_openssl_can_sign_elsewhere(folder, kind):
    make(folder, "m", "--manifest-only")
    run("openssl", "dgst", "-sha256", "-sign", f"{kind}.key", "-out", "s", "m",
        cwd=folder)
    make(folder, "out", "--signature", "s")
    manifest, signature, _, _ = read_bundle((folder / "out").read_bytes())
    assert manifest == (folder / "m").read_bytes()
    assert signature == (folder / "s").read_bytes()
    device = Device(folder)
    assert device.install("out").returncode == 0


def test_the_same_inputs_give_the_same_manifest(folder):
    make(folder, "one", "--key", "rsa.key")
    make(folder, "two", "--key", "rsa.key")
    assert (folder / "one").read_bytes() == (folder / "two").read_bytes()


def test_a_failure_leaves_the_output_as_it_was(folder):
    (folder / "out").write_text("precious")
    before = sorted(os.listdir(folder))
    with pytest.raises(subprocess.CalledProcessError):
        make(folder, "out", "--key", "keys/ec.pem")
    with pytest.raises(subprocess.CalledProcessError):
        run(BOWLINE, "bundle", "--board", "test", "--version", "2", "--old",
            "old", "--new", "new", "--diff", "kernel", "--key", "ec.key",
            "-o", "out", cwd=folder)
    assert (folder / "out").read_text() == "precious"
    assert sorted(os.listdir(folder)) == before


# ---- installing it ----------------------------------------------------------


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


def test_install_takes_little_memory(large):
    make(large, "out", "--key", "ec.key")
    result = Device(large).install("out")
    assert result.returncode == 0, result.stderr
    peak = int(re.search(r"peak (\d+) KiB", result.stderr)[1])
    print(f"install: peak memory {peak} KiB for an image of "
          f"{LARGE_SIZE >> 20} MiB")
    assert peak <= INSTALL_LIMIT_KIB


def test_what_was_installed_is_there(folder):
    make(folder, "out", "--key", "ec.key")
    device = Device(folder)
    with open(folder / "out", "rb") as stdin:
        assert device.install("-", stdin=stdin).returncode == 0
    bundle = (folder / "out").read_bytes()
    manifest, signature, payloads, _ = read_bundle(bundle)
    head = padded(32 + len(manifest) + len(signature))
    with open(folder / "stage", "rb") as file:
        stage = file.read(16 << 20)
    assert stage[65536:65536 + head] == bundle[:head]
    diff = payloads["diff"]
    assert stage[2097152:2097152 + len(diff)] == diff
    kernel = payloads["boot"]
    assert (folder / "boot-b").read_bytes()[:len(kernel)] == kernel
    assert not any((folder / "boot-a").read_bytes())
    env = device.env()
    assert env == {
        "BOOT_ORDER": "B A",
        "BOOT_B_LEFT": "3",
        "bowline_phase": "trial",
        "bowline_trial": "B",
        "bowline_update": hashlib.sha256(manifest).hexdigest()[:16],
        "bootdelay": "0",
    }


def test_an_error_on_a_terminal_begins_a_line(folder):
    make(folder, "out", "--key", "ec.key")
    bundle = bytearray((folder / "out").read_bytes())
    bundle[1 << 20] ^= 1
    (folder / "flipped").write_bytes(bundle)
    Device(folder)
    ours, theirs = pty.openpty()
    result = subprocess.run(
        [BOWLINE, "install", "--board", "board.conf", "flipped"], cwd=folder,
        stderr=theirs, check=False,
    )
    os.close(theirs)
    text = b""
    try:
        while part := os.read(ours, 4096):
            text += part
    except OSError:
        pass  # Linux says so at the end
    os.close(ours)
    lines = text.decode().replace("\r\n", "\n").split("\n")
    assert result.returncode == 1
    assert "[" in text.decode(), "no bar was drawn"
    assert lines[-2].startswith("bowline: piece 1 of the diff"), lines
