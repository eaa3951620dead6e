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

from device import KEYS, Device, make, make_folder  # noqa: E402
from host import BOWLINE, TOP, run  # noqa: E402

FORMAT = TOP / "docs/FORMAT.md"

IMAGE_SIZE = 8 << 20
LARGE_SIZE = 128 << 20
INSTALL_LIMIT_KIB = 8 << 10

@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_folder(tmp_path_factory.mktemp("small"), IMAGE_SIZE, 3 << 20)


@pytest.fixture
def large(tmp_path):
    """All of the image differs: nothing may depend on how much."""
    return make_folder(tmp_path, LARGE_SIZE, LARGE_SIZE)


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


def check_pieces(data, lines):
    """Lines from "piece-size" on are those of data."""
    key, value = lines[0]
    piece_size = int(value)
    assert key == "piece-size"
    pieces = [data[at:at + piece_size]
              for at in range(0, len(data), piece_size)]
    assert lines[1:1 + len(pieces)] == [
        ["piece", hashlib.sha256(piece).hexdigest()] for piece in pieces
    ]


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
        first = number + 2 + (value == "diff")  # which has its "room"
        payloads[value] = data[at:at + size]
        check_pieces(payloads[value], lines[first:])
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
    end = [key for key, _ in lines].index("payload")
    fields = dict(lines[:end])
    check_pieces((folder / "old").read_bytes(),
                 lines[[key for key, _ in lines].index("piece-size"):])
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
    used = [key for key, before in zip(used, [None, *used]) if key != before]
    second = used.index("payload", used.index("payload") + 1)
    assert documented == used[:second]


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
    assert f"| {values['STAGE_PAYLOAD']} | as in the bundle | the diff" in text
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


@pytest.fixture
def token(folder, tmp_path):
    """The environment of a SoftHSM token that has both keys."""
    (tmp_path / "tokens").mkdir()
    (tmp_path / "pin").write_text("1234")
    (tmp_path / "conf").write_text(
        f"directories.tokendir = {tmp_path}/tokens\n")
    env = {**os.environ, "SOFTHSM2_CONF": str(tmp_path / "conf"),
           "PKCS11_MODULE_PATH": "/usr/lib/softhsm/libsofthsm2.so"}
    run("softhsm2-util", "--init-token", "--free", "--label", "test", "--pin",
        "1234", "--so-pin", "1234", env=env)
    for i, kind in enumerate(KEYS):
        run("softhsm2-util", "--import", folder / f"{kind}.key", "--token",
            "test", "--label", kind, "--id", f"0{i + 1}", "--pin", "1234",
            env=env)
    return env, f"?pin-source={tmp_path}/pin"


@pytest.mark.parametrize("kind", KEYS)
def test_a_token_signs(folder, token, kind, tmp_path):
    env, pin = token
    run(BOWLINE, "bundle", "--board", "test", "--version", "2", "--boot",
        "kernel", "--key", f"pkcs11:object={kind}{pin}", "-o", "out",
        cwd=folder, env=env)
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys/key.pem").write_bytes(
        (folder / f"keys/{kind}.pem").read_bytes())
    said = run(BOWLINE, "info", "--keys", tmp_path / "keys", "out",
               cwd=folder).stdout
    assert re.search(r"(?m)^signature +by a trusted key$", said)


def test_a_token_signs_elsewhere_as_the_help_says(folder, token):
    env, pin = token
    text = run(BOWLINE, "bundle", "--help").stdout
    command = re.search(r"(?m)^  (openssl dgst .*pkcs11.*\\\n.*)$", text)[1]
    make(folder, "manifest", "--manifest-only")
    run("sh", "-c", command.replace("object=NAME", f"object=ec{pin}"),
        cwd=folder, env=env)
    make(folder, "out", "--signature", "signature")
    run(BOWLINE, "info", "--keys", "keys", "out", cwd=folder)


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
