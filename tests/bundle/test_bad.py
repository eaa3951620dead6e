# SPDX-License-Identifier: GPL-2.0-or-later
"""A table of bad bundles: cut off at every structure, a flipped bit in every
field, signed by the wrong key, for something else, too large. Each is refused
with its reason, and the device is as it was: the next boot is that of before.
"""

import datetime
import hashlib
import pathlib
import re
import shutil
import struct
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from device import Device  # noqa: E402
from host import BOWLINE, fit, noise, run  # noqa: E402
from server import count  # noqa: E402
from test_bundle import crc32c  # noqa: E402

IMAGE = 1 << 20
PIECE = 1 << 20
REASON = {
    "short": "is not a whole bundle: it ends at byte|is not a whole bundle: it "
             "has",
    "header": "is not a bundle: (it does not begin like one|the checksum of its"
              " header is wrong|its version is unknown|its header has unknown "
              "fields|a manifest of .* are out of range|its head is not "
              "followed by zeros)",
    "signature": "the signature is by none of the 1 trusted keys in 'keys'",
    "piece": "piece [0-9]+ of the (diff|boot image) in '.*' is not (what its "
             "manifest says|followed by zeros)",
}


def padded(data):
    return data + bytes(-len(data) % 4096)


class Bundle:
    """The parts of a bundle, to be changed and put together again."""

    def __init__(self, folder):
        self.folder = folder
        data = (folder / "good").read_bytes()
        m, s = struct.unpack_from("<II", data, 12)
        self.manifest = data[32:32 + m].decode()
        self.signature = data[32 + m:32 + m + s]
        self.head_size = len(padded(bytes(32 + m + s)))
        self.diff = (folder / "diff").read_bytes()
        self.boot = (folder / "kernel").read_bytes()

    def sign(self, key="key"):
        (self.folder / "m").write_text(self.manifest)
        run("openssl", "dgst", "-sha256", "-sign", key, "-out", "s", "m",
            cwd=self.folder)
        self.signature = (self.folder / "s").read_bytes()
        return self

    def set(self, key, value, number=1):
        """Another value in the number-th line of a key; signed again."""
        lines = self.manifest.splitlines()
        found = [i for i, line in enumerate(lines)
                 if line.startswith(key + "=")]
        lines[found[number - 1]] = f"{key}={value}"
        self.manifest = "\n".join(lines) + "\n"
        return self

    def put_diff(self, diff):
        """Another diff of one piece, which the manifest knows."""
        self.diff = diff
        at = self.manifest.count("piece=", 0,
                                 self.manifest.index("payload=diff"))
        self.set("piece", hashlib.sha256(diff).hexdigest(), at + 1)
        return self.set("size", len(diff))

    def header(self, version=1, zero=0, magic=b"bowline\0"):
        head = struct.pack("<8sIIIQ", magic, version, len(self.manifest),
                           len(self.signature), zero)
        return head + struct.pack("<I", crc32c(head))

    def bytes(self, **header):
        head = self.header(**header) + self.manifest.encode() + self.signature
        return padded(head) + padded(self.diff) + padded(self.boot)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("bad")
    old = noise(IMAGE, 1)
    (path / "old").write_bytes(old)
    (path / "new").write_bytes(noise(300_000, 2) + old[:-300_000])
    (path / "kernel").write_bytes(fit(9000))
    run(BOWLINE, "diff", "old", "new", "-o", "diff", "--level", "1",
        "--format", "1", cwd=path)
    for key in ("key", "foreign"):
        run("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout",
            "-out", path / key)
        run("openssl", "pkey", "-in", path / key, "-pubout", "-out",
            path / f"{key}.pub")
    (path / "keys").mkdir()
    shutil.copy(path / "key.pub", path / "keys/key.pem")
    run(BOWLINE, "bundle", "--board", "test", "--version", "2", "--old",
        "old", "--new", "new", "--diff", "diff", "--boot", "kernel", "--key",
        "key", "-o", "good", cwd=path)
    return path


@pytest.fixture
def device(folder):
    return SmallDevice(folder)


class SmallDevice(Device):
    def __init__(self, folder):
        super().__init__(folder)
        self.sparse("stage", 4 << 20)
        self.sparse("boot-a", 16384)
        self.sparse("boot-b", 16384)

    def offer(self, data, from_pipe=False):
        if from_pipe:
            return subprocess.run(
                [BOWLINE, "install", "--board", "board.conf", "-"], input=data,
                cwd=self.folder, capture_output=True, check=False)
        (self.folder / "bad").write_bytes(data)
        return subprocess.run(
            [BOWLINE, "install", "--board", "board.conf", "bad"],
            cwd=self.folder, capture_output=True, check=False)

    def kept(self):
        """What the next boot depends on."""
        with open(self.folder / "stage", "rb") as stage:
            records = stage.read(8192)
        assert {records[6], records[4096 + 6]} <= {0}, "an update is staged"
        return [(self.folder / name).read_bytes()
                for name in ("env", "old", "boot-a")]

    def refuses(self, data, reason, **kwargs):
        before = self.kept()
        result = self.offer(data, **kwargs)
        errors = [line for line in result.stderr.decode().splitlines()
                  if line.startswith("bowline: ")]
        ok = result.returncode == 1 and len(errors) == 1 \
            and re.search(reason, errors[0]) and self.kept() == before
        count("bad bundles" if ok else "wrong", 1)
        assert ok, (result.returncode, errors, reason)


def test_the_good_one_is_good(device, folder):
    assert Bundle(folder).bytes() == (folder / "good").read_bytes()
    assert device.offer(Bundle(folder).sign().bytes()).returncode == 0


def test_the_good_one_is_good_when_cut_short_before(device, folder):
    data = (folder / "good").read_bytes()
    device.refuses(data[:-5000], REASON["short"], from_pipe=True)
    assert device.offer(data).returncode == 0


@pytest.mark.parametrize("from_pipe", [False, True])
def test_cut_off_at_every_structure(device, folder, from_pipe):
    bundle = Bundle(folder)
    data = bundle.bytes()
    manifest = bundle.manifest.encode()
    ends = {0, 8, 12, 16, 20, 28, 32}
    at = 32
    for line in manifest.splitlines(keepends=True):
        ends |= {at, at + len(line) // 2}
        at += len(line)
    ends |= {at, at + 1, at + len(bundle.signature), bundle.head_size - 1,
             bundle.head_size}
    at = bundle.head_size
    for payload in (bundle.diff, bundle.boot):
        ends |= {at, at + 1, at + PIECE // 2, at + len(payload) - 1,
                 at + len(payload), at + len(padded(payload)) - 1}
        at += len(padded(payload))
    for end in sorted(end for end in ends if end < len(data)):
        device.refuses(data[:end], REASON["short"], from_pipe=from_pipe)


def test_a_flipped_bit_in_every_field(device, folder):
    bundle = Bundle(folder)
    data = bundle.bytes()
    m = len(bundle.manifest)
    at = 32
    for field in range(0, 32):
        device.refuses(flip(data, field), REASON["header"])
    for line in bundle.manifest.splitlines(keepends=True):
        for byte in {0, line.index("=") + 1, len(line) - 1}:
            device.refuses(flip(data, at + byte), REASON["signature"])
        at += len(line)
    for byte in range(len(bundle.signature)):
        device.refuses(flip(data, 32 + m + byte), REASON["signature"])
    for byte in (32 + m + len(bundle.signature), bundle.head_size - 1):
        device.refuses(flip(data, byte), REASON["header"])
    for byte in range(bundle.head_size, len(data), 977):
        device.refuses(flip(data, byte), REASON["piece"])
    device.refuses(flip(data, len(data) - 1), REASON["piece"])


def flip(data, at):
    return data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1:]


H0 = "0" * 64
OTHER_HEADERS = [
    ({"magic": b"bowlinx\0"}, "it does not begin like one"),
    ({"version": 2}, "its version is unknown"),
    ({"zero": 1}, "its header has unknown fields"),
]
# Signed by a trusted key, and not for this device all the same.
OTHER_MANIFESTS = [
    ("bowline-manifest", "2", "unknown manifest format '2'"),
    ("board", "toaster", "the bundle is for board 'toaster', this is 'test'"),
    ("board", "a/b", "not a board name: 'a/b'"),
    ("hardware", "rev-b,rev-c", "for hardware 'rev-b,rev-c', this is 'rev-a'"),
    ("hardware", "", "not a list of names: ''"),
    ("version", "0.9", "the bundle holds version 0.9, older than the running 1"),
    ("version", "2..0", "not a version: '2..0'"),
    ("min-version", "1.0.1", "at least version 1.0.1 is needed"),
    ("source-size", "01", "not a number '01'"),
    ("source-size", str(1 << 61), "too large"),
    ("source-sha256", H0, "cannot be used: It is for another old image"),
    ("target-sha256", H0, "cannot be used: It is for another new image"),
    ("target-size", str(IMAGE + 4096), "'old' is too small for the new system"),
    ("target-size", "0", "a diff and a target-size go together"),
    ("target-size", "4096", "cannot be used: It is for another new image"),
    ("payload", "tar", "unknown, repeated or misplaced payload 'tar'"),
    ("payload", "boot", "found 'room="),
    ("size", "0", "too small: '0'"),
    ("size", str(1 << 40), "fewer pieces than the size needs"),
    ("room", str(4 << 20), "'stage' is too small for the diff and its merge"),
    ("room", "8191", "too small: '8191'"),
    ("room", "1048576", "the merge of the diff in '.*' takes [0-9]+ bytes"),
    ("piece", H0, "is not the one the update was made from: 1048576 of 1048576 "
                  "bytes are in pieces that differ: 0 to 1048575"),
    ("piece", "0" * 63, "not 64 hex digits"),
    ("piece-size", "4095", "too small: '4095'"),
]


@pytest.mark.parametrize("header, reason", OTHER_HEADERS)
def test_another_header(device, folder, header, reason):
    device.refuses(Bundle(folder).bytes(**header), reason)


@pytest.mark.parametrize("key, value, reason", OTHER_MANIFESTS)
def test_another_manifest(device, folder, key, value, reason):
    with open(folder / "board.conf", "a", encoding="ascii") as board:
        board.write("HARDWARE_FILE=revision\n")
    (folder / "revision").write_text("rev-a\n")
    device.refuses(Bundle(folder).set(key, value).sign().bytes(), reason)


def test_a_downgrade_may_be_permitted(device, folder):
    (folder / "bad").write_bytes(
        Bundle(folder).set("version", "0.9").set("min-version", "0").sign()
        .bytes())
    run(BOWLINE, "install", "--board", "board.conf", "--allow-downgrade",
        "bad", cwd=folder)


def test_lines_that_do_not_belong(device, folder):
    lines = Bundle(folder).manifest.splitlines()
    for i in range(len(lines)):
        for changed in (lines[:i] + lines[i + 1:],
                        lines[:i] + ["colour=red"] + lines[i:]):
            bundle = Bundle(folder)
            bundle.manifest = "\n".join(changed) + "\n"
            device.refuses(bundle.sign().bytes(),
                           "the manifest in 'bad' is wrong, line [0-9]+: ")


def test_diffs_that_are_none(device, folder):
    good = Bundle(folder).diff
    for diff, reason in [
        (noise(len(good), 9), "Not an update diff"),
        (good[:8] + b"\2" + good[9:], "Unknown version"),
        (flip(good, 100), "Superblock has a wrong checksum"),
    ]:
        device.refuses(Bundle(folder).put_diff(diff).sign().bytes(), reason)


# ---- keys -------------------------------------------------------------------


def test_a_key_that_nobody_trusts(device, folder):
    device.refuses(Bundle(folder).sign("foreign").bytes(), REASON["signature"])


def test_a_signature_of_another_manifest(device, folder):
    bundle = Bundle(folder).set("version", "3").sign()
    bundle.set("version", "4")
    device.refuses(bundle.bytes(), REASON["signature"])


def test_one_of_several_keys_and_a_retired_one(device, folder):
    """The new system's folder of keys is what counts once it runs."""
    data = Bundle(folder).sign("foreign").bytes()
    shutil.copy(folder / "foreign.pub", folder / "keys/next.pem")
    assert device.offer(data).returncode == 0
    SmallDevice(folder)
    assert device.offer(Bundle(folder).sign().bytes()).returncode == 0
    SmallDevice(folder)
    (folder / "keys/key.pem").rename(folder / "retired")
    device.refuses(Bundle(folder).sign().bytes(), REASON["signature"])
    assert device.offer(data).returncode == 0
    (folder / "retired").rename(folder / "keys/key.pem")
    (folder / "keys/next.pem").unlink()


def test_an_expired_key(device, folder):
    """It is passed over, and stands in nobody's way; until then it is trusted."""
    data, key = Bundle(folder).sign().bytes(), folder / "keys/key.pem"
    public = key.read_text()
    today = datetime.datetime.now(datetime.timezone.utc).date()
    try:
        for day in ("1999-12-31", "2020-02-29",
                    today - datetime.timedelta(days=1)):
            key.write_text(f"the first key\nNot-After: {day}\n{public}")
            device.refuses(data, "by the key 'key.pem' in 'keys', which is not "
                                 "trusted any more: its Not-After is past")
        for day in ("soon", "2021-02-29", "20-01-01", "2999-1", "2999-12-31Z",
                    ""):
            key.write_text(f"Not-After: {day}\n{public}")
            device.refuses(data, "'key.pem' there is not a usable public key")
        (folder / "keys/next.pem").write_text(public)
        key.write_text(f"Not-After: 2020-02-29\n{public}")
        assert device.offer(data).returncode == 0
        (folder / "keys/next.pem").unlink()
        SmallDevice(folder)
        key.write_text(f"Not-After: {today + datetime.timedelta(days=1)}\n"
                       + public)
        assert device.offer(data).returncode == 0
    finally:
        key.write_text(public)
        (folder / "keys/next.pem").unlink(missing_ok=True)


# ---- room -------------------------------------------------------------------


@pytest.mark.parametrize("name, size, reason", [
    ("stage", 100, "the stage 'stage' is too small"),
    ("stage", 2 << 20, "the stage 'stage' is too small"),
    ("stage", (2 << 20) + 4096, "too small for the diff and its merge"),
    ("boot-b", 8192, "'boot-b' is too small for the kernel of the update"),
])
def test_too_large(device, folder, name, size, reason):
    device.sparse(name, size)
    data = Bundle(folder).bytes()
    if size > 8192:
        device.refuses(data, reason)
    else:
        result = device.offer(data)
        assert result.returncode == 1
        assert re.search(reason, result.stderr.decode())
        count("bad bundles", 1)
