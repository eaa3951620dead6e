# SPDX-License-Identifier: GPL-2.0-or-later
"""How fast an installation from a server is, against the plain tools that do as
much: curl | sha256sum, then dd of the same file to the medium.
"""

import pathlib
import statistics
import subprocess
import sys
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from device import KEYS, Device  # noqa: E402
from host import BOWLINE, fit, run  # noqa: E402
from server import Nginx, count  # noqa: E402

SIZE = 192 << 20
ROUNDS = 5
LIMIT = 0.8


@pytest.fixture
def device(tmp_path):
    """Nothing but a payload: neither a base nor a merge is measured."""
    (tmp_path / "kernel").write_bytes(fit(SIZE))
    (tmp_path / "keys").mkdir()
    run("openssl", *KEYS["ec"], "-out", "key", cwd=tmp_path)
    run("openssl", "pkey", "-in", "key", "-pubout", "-out", "keys/ec.pem",
        cwd=tmp_path)
    run(BOWLINE, "bundle", "--board", "test", "--version", "2", "--boot",
        "kernel", "--key", "key", "-o", "good", cwd=tmp_path)
    return Device(tmp_path)


def seconds(*command, cwd):
    began = time.monotonic()
    subprocess.run(command, cwd=cwd, check=True, capture_output=True)
    return time.monotonic() - began


def plain(device, url):
    return seconds("sh", "-c", f"curl -sSf {url} | sha256sum",
                   cwd=device.folder) + \
        seconds("dd", "if=good", "of=boot-b", "bs=1M", "conv=notrunc,fsync",
                cwd=device.folder)


def install(device, url):
    """Onto a device on which nothing of it is yet."""
    device.sparse("boot-b", SIZE + (1 << 20))
    (device.folder / "env").write_bytes(
        (device.folder / "one").read_bytes() * 2)
    return seconds(BOWLINE, "install", "--board", "board.conf", url,
                   cwd=device.folder)


def test_speed_against_curl_and_dd(device, tmp_path_factory):
    server = Nginx(tmp_path_factory.mktemp("nginx"), device.folder)
    url = server.url("good")
    ratios = []
    try:
        for _ in range(ROUNDS):
            device.sparse("boot-b", SIZE + (1 << 20))
            theirs = plain(device, url)
            ours = install(device, url)
            ratios.append(theirs / ours)
            print(f"curl | sha256sum, dd: {theirs:.2f} s; install: "
                  f"{ours:.2f} s; ratio {theirs / ours:.2f}")
    finally:
        server.close()
    ratio = statistics.median(ratios)
    print(f"speed of install: {ratio:.2f} of curl | sha256sum and dd")
    count("speed", f"{ratio:.2f}")
    assert ratio >= LIMIT
