# SPDX-License-Identifier: GPL-2.0-or-later
"""Installing is downloading: from a real server, over links that are cut,
truncated, stalled, and damaged, in one go and in several.
"""

import pathlib
import re
import socket
import struct
import subprocess
import sys
import threading
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from device import KEYS, Device, make, make_folder  # noqa: E402
from host import BOWLINE, run  # noqa: E402
from server import Fault, Link, Nginx, count, free_port  # noqa: E402

IMAGE = 8 << 20
CHANGED = 6 << 20


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = make_folder(tmp_path_factory.mktemp("bundle"), IMAGE, CHANGED)
    make(path, "good", "--key", "ec.key")
    run("openssl", *KEYS["ec"], "-out", path / "foreign.key")
    return path


@pytest.fixture(scope="module")
def nginx(tmp_path_factory, folder):
    server = Nginx(tmp_path_factory.mktemp("nginx"), folder)
    yield server
    server.close()


@pytest.fixture
def device(folder):
    return Device(folder)


@pytest.fixture
def link(nginx):
    """link(fault...): a link to the server."""
    made = []

    def make_link(*faults, **kwargs):
        made.append(Link(nginx.port, faults, **kwargs))
        return made[-1]
    yield make_link
    for each in made:
        each.close()


def install(device, *arguments):
    return run(BOWLINE, "install", "--board", "board.conf", *arguments,
               cwd=device.folder, check=False)


def head_of(folder):
    """Bytes of header, manifest and signature, with their zeros."""
    manifest, signature = struct.unpack_from(
        "<II", (folder / "good").read_bytes(), 12)
    return (32 + manifest + signature + 4095) // 4096 * 4096


def installed(device):
    """The trial is next, and what lies on the stage is what was served."""
    bundle = (device.folder / "good").read_bytes()
    head = head_of(device.folder)
    diff = (device.folder / "diff").read_bytes()
    with open(device.folder / "stage", "rb") as stage:
        stage.seek(65536)
        on_stage = stage.read(head)
        stage.seek(2 << 20)
        return (device.env().get("bowline_phase") == "trial"
                and on_stage == bundle[:head]
                and stage.read(len(diff)) == diff)


def survives(device, *arguments):
    result = install(device, *arguments)
    assert result.returncode == 0, result.stderr
    assert installed(device)
    return result


def survived(n=1):
    count("link faults", n)


@pytest.mark.parametrize("path", ["good", "moved/good", "unranged/good"])
def test_a_server_is_as_good_as_a_file(device, nginx, path):
    survives(device, nginx.url(path))


def test_info_reads_from_a_server(device, nginx):
    said = run(BOWLINE, "info", "--keys", "keys", nginx.url("good"),
               cwd=device.folder).stdout
    assert re.search(r"(?m)^signature +by a trusted key$", said)


@pytest.mark.parametrize("kind", ["cut", "truncate"])
@pytest.mark.parametrize("after", [0, 100, 5000, 1 << 20, 3_333_333])
def test_a_link_that_fails_once(device, link, kind, after):
    line = link(Fault(kind, after))
    survives(device, line.url("good"))
    assert line.met == 1 and line.connections == 2
    survived()


@pytest.mark.parametrize("path", ["good", "unranged/good"])
def test_a_link_that_dies_again_and_again(device, link, path):
    """With ranges each byte comes once, but for what was on its way."""
    if path == "good":
        line = link(*[Fault("cut", 300_000)] * 12)
    else:
        line = link(*[Fault("cut", n * 900_000) for n in range(1, 8)])
    survives(device, line.url(path))
    assert line.met >= 7
    starts = [int(r[6:].split("-")[0]) for r in line.asked if r]
    assert starts == sorted(starts) and starts[0] > 4096
    survived(line.met)


def test_a_link_that_stalls(device, link):
    line = link(Fault("stall", 2_000_000), Fault("stall", 10_000))
    survives(device, "--timeout", "1", line.url("good"))
    assert line.met == 2
    survived(2)


@pytest.mark.parametrize("after", [1 << 20, 4 << 20])
def test_a_link_that_damages(device, link, after):
    """The piece is asked for again; nothing of it was written."""
    line = link(Fault("damage", after))
    said = survives(device, line.url("good")).stdout
    assert "asking for it again" in said
    assert line.met == 1
    survived()


def test_a_link_that_always_damages(device, link):
    line = link(Fault("damage", 100_000), forever=True)
    result = install(device, line.url("good"))
    assert result.returncode == 1
    assert not device.env().get("bowline_phase")


@pytest.mark.parametrize("at, why", [
    (5, "it does not begin like one"), (25, "the checksum of its header is wro"),
    (500, "the signature is by no trusted key")])
def test_a_damaged_head_is_asked_for_again(device, link, at, why):
    """At byte @at of the bundle, behind the headers of the answer."""
    head = len(answer_head(link()))
    line = link(Fault("damage", head + at), Fault("damage", head + at))
    said = survives(device, line.url("good")).stdout
    assert len(re.findall(f"is wrong, {why}.*: asking for it again", said)) == 2
    assert line.met == 2
    survived(2)


def answer_head(line):
    with socket.create_connection(("127.0.0.1", line.port)) as client:
        client.sendall(b"GET /good HTTP/1.1\r\nHost: x\r\n\r\n")
        return client.recv(4096).partition(b"\r\n\r\n")[0] + b"\r\n\r\n"


def test_a_bundle_of_somebody_else_is_refused_in_the_end(device, folder, nginx):
    """With the one reason, and after few tries."""
    make(folder, "foreign", "--key", "foreign.key")
    result = install(device, nginx.url("foreign"))
    assert result.returncode == 1
    assert result.stdout.count("asking for it again") == 3
    errors = [line for line in result.stderr.splitlines()
              if line.startswith("bowline: ")]
    assert len(errors) == 1 and "by none of the 2 trusted keys" in errors[0]


@pytest.mark.parametrize("n", [1, 3])
def test_an_odd_answer_is_asked_for_again(device, link, n):
    line = link(*[Fault("odd", 0)] * n)
    said = survives(device, line.url("good")).stdout
    assert said.count("it answers with something else; trying again") == n
    assert line.met == n and line.connections == n + 1
    survived(n)


def test_odd_answers_come_to_an_end(device, link):
    line = link(Fault("odd", 0), forever=True)
    result = install(device, "--retries", "2", line.url("good"))
    assert result.returncode == 1
    assert "tried 3 times: it answers with something else" in result.stderr
    assert line.connections == 3


def test_a_link_that_never_works_is_given_up(device, link):
    line = link(Fault("cut", 0), forever=True)
    result = install(device, "--retries", "3", line.url("good"))
    assert result.returncode == 1
    assert "at byte 0, tried 4 times: " in result.stderr
    assert line.connections == 4


def test_a_server_that_comes_later(device, folder, tmp_path):
    server = Nginx(tmp_path, folder)
    line = Link(free_port())

    def come():
        time.sleep(1)
        line.to = server.port
    try:
        threading.Thread(target=come).start()
        survives(device, line.url("good"))
    finally:
        line.close()
        server.close()
    survived()


@pytest.mark.parametrize("path, message", [
    ("missing", "cannot read '...missing' at byte 0: .*404"),
    ("busy/good", "cannot read '...busy/good' at byte 0, tried 2 times: .*503"),
])
def test_a_server_that_refuses(device, nginx, path, message):
    result = install(device, "--retries", "1", nginx.url(path))
    assert result.returncode == 1
    assert re.search(message.replace("...", "[^']*"), result.stderr)


def test_a_file_that_changes_meanwhile(device, folder, link):
    data = (folder / "good").read_bytes()
    (folder / "changing").write_bytes(data)

    def change():
        (folder / "changing").write_bytes(data + bytes(4096))
    line = link(Fault("cut", 500_000, change))
    result = install(device, line.url("changing"))
    assert result.returncode == 1
    assert "it has changed" in result.stderr
    assert not device.env().get("bowline_phase")


def test_a_file_of_another_length_is_refused_at_once(device, folder, nginx):
    (folder / "long").write_bytes((folder / "good").read_bytes() + b"x")
    result = install(device, nginx.url("long"))
    assert result.returncode == 1
    assert "is not a whole bundle: it has" in result.stderr
    assert not any((folder / "stage").read_bytes()[:8192])


def on_stage(device, pieces):
    """Has the last byte of so many pieces of the diff arrived there?"""
    with open(device.folder / "stage", "rb") as stage:
        stage.seek((2 << 20) + (pieces << 20) - 16)
        return any(stage.read(16))


def killed(device, url, pieces):
    """An installation that a power cut ends when so much is on the stage."""
    program = subprocess.Popen(
        [BOWLINE, "install", "--board", "board.conf", "--rate", "2M", url],
        cwd=device.folder, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL)
    while not on_stage(device, pieces):
        assert program.poll() is None
        time.sleep(0.02)
    program.kill()
    program.wait()


@pytest.mark.parametrize("pieces", [1, 3, 5])
def test_a_reboot_in_the_middle(device, folder, nginx, link, pieces):
    """What is on the stage is not asked for again."""
    killed(device, nginx.url("good"), pieces)
    line = link()
    said = survives(device, line.url("good")).stdout
    there = re.search(r"(\d+) of \d+ pieces of the diff are there", said)
    assert int(there[1]) >= pieces
    diff = (folder / "diff").stat().st_size
    at = head_of(folder) + min(int(there[1]) << 20, (diff + 4095) & ~4095)
    assert line.asked == [None, f"bytes={at}-"]
    count("resumes", 1)


def test_many_reboots_come_to_an_end(device, nginx):
    for pieces in range(1, 6):
        killed(device, nginx.url("good"), pieces)
        count("resumes", 1)
    survives(device, nginx.url("good"))


def test_a_damaged_piece_on_the_stage_is_replaced(device, nginx):
    survives(device, nginx.url("good"))
    with open(device.folder / "stage", "r+b") as stage:
        stage.seek((2 << 20) + (1 << 20) + 5)
        stage.write(b"damage")
    run(BOWLINE, "rollback", "--board", "board.conf", cwd=device.folder,
        check=False)
    fresh = (device.folder / "one").read_bytes() * 2
    (device.folder / "env").write_bytes(fresh)
    said = survives(device, nginx.url("good")).stdout
    assert "1 of " in said and "pieces of the diff are there" in said


def test_the_rate_is_kept_to(device, folder, nginx):
    size = (folder / "good").stat().st_size
    began = time.monotonic()
    survives(device, "--rate", "3M", nginx.url("good"))
    took = time.monotonic() - began
    assert took > size / (3 << 20) - 0.5


def test_https_needs_a_certificate_that_is_trusted(device, nginx):
    url = f"https://localhost:{nginx.tls}/good"
    survives(device, "--ca", nginx.folder / "server.pem", url)
    result = install(Device(device.folder), url)
    assert result.returncode == 1
    assert "cannot read 'https://" in result.stderr
    assert not device.env().get("bowline_phase")


def test_little_memory_whatever_the_link_does(device, link):
    line = link(*[Fault("cut", 700_000)] * 5)
    result = device.install(line.url("good"))
    assert result.returncode == 0, result.stderr
    peak = int(re.search(r"peak (\d+) KiB", result.stderr)[1])
    print(f"install from a server: peak memory {peak} KiB")
    count("KiB of memory", peak)
    assert peak <= 8 << 10
