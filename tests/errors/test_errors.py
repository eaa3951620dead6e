# SPDX-License-Identifier: GPL-2.0-or-later
"""Every row of docs/ERRORS.md, on a device made of files.

The table is read from the document, so the two cannot differ. A row is: what
is given (GIVEN below makes it so), a command, its status, its one line. After
the command every file is hashed again: only the files that the row itself
says are overwritten may differ.
"""

import hashlib
import itertools
import json
import os
import pathlib
import pwd
import re
import shlex
import shutil
import struct
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from host import BOWLINE, TOP, fit, noise, run  # noqa: E402

MIB = 1 << 20
UPDATE = "0123456789abcdef"
SAMPLE = TOP / "tests/data/update-v1"
PROGRESS = re.compile(r"[a-z ]+: \d+ %")

BOARD = """BOARD=test
SYSTEM=system
STAGE=stage
DATA=data
BOOT_A=boot-a
BOOT_B=boot-b
ENV_CONFIG=fw_env.config
ENV_DEFAULT=env.txt
VERSION_FILE=os-release
KEYS=keys
HEALTH=health.d
"""

# What the words of a row permit to be overwritten.
OVERWRITTEN = {
    "; the stage is overwritten": {"stage"},
    "; the stage and the other slot are overwritten": {"stage", "boot-b"},
}


# ---- the table --------------------------------------------------------------


def verbs():
    text = subprocess.run(
        [BOWLINE, "--help"], capture_output=True, text=True, check=True
    ).stdout
    return re.findall(r"^  (\w+) ", text, re.M)


def expand(command):
    """Each {a,b} of a command stands for one command each."""
    command = command.replace("{VERBS}", "{" + ",".join(verbs()) + "}")
    parts = re.split(r"\{([^}]*)\}", command)
    choices = [p.split(",") if i % 2 else [p] for i, p in enumerate(parts)]
    return ["".join(c) for c in itertools.product(*choices)]


def table():
    for line in (TOP / "docs/ERRORS.md").read_text().splitlines():
        cells = [c.strip() for c in line.split("|")[1:-1]]
        if not line.startswith("| ") or cells[0] == "row":
            continue
        assert len(cells) == 5, f"not five cells: {line}"
        name, given, command, status, message = cells
        for one in expand(command.strip("`")):
            case = f"{name}-{one.split()[1]}" if "{" in command else name
            yield pytest.param(
                given, one, int(status), message.strip("`"), id=case
            )


# ---- the device -------------------------------------------------------------


def set_env(folder, **values):
    defaults = {"BOOT_ORDER": "A B", "BOOT_A_LEFT": "3", "BOOT_B_LEFT": "3"}
    text = "".join(f"{k}={v}\n" for k, v in (defaults | values).items())
    (folder / "env.txt").write_text(text)
    run("mkenvimage", "-r", "-s", "0x4000", "-o", folder / "one",
        folder / "env.txt")
    (folder / "env").write_bytes((folder / "one").read_bytes() * 2)


def bundle(folder, out, *options, key="key", board="test"):
    run(BOWLINE, "bundle", "--board", board, "--version", "2",
        "--min-version", "1", "--old", "old.img", "--new", "new.img",
        "--diff", "update.diff", "--boot", "kernel", "--key", key, "-o", out,
        *options, cwd=folder)


def make_keys(folder):
    for name in ("key", "foreign-key"):
        run("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout",
            "-out", folder / name)
    run("openssl", "pkey", "-in", folder / "key", "-pubout", "-out",
        folder / "key.pub")
    (folder / "keys").mkdir()
    shutil.copy(folder / "key.pub", folder / "keys/key.pem")


@pytest.fixture(scope="session")
def pristine(tmp_path_factory):
    """A device at rest with system 1, and a good bundle of system 2."""
    folder = tmp_path_factory.mktemp("device")
    old = noise(256 << 10, 1)
    (folder / "old.img").write_bytes(old)
    (folder / "new.img").write_bytes(noise(8192, 2) + old[8192:])
    (folder / "kernel").write_bytes(fit(9000))
    run(BOWLINE, "diff", "old.img", "new.img", "-o", "update.diff", "--format",
        "0", cwd=folder)
    make_keys(folder)
    bundle(folder, "good")
    (folder / "system").write_bytes(old)
    (folder / "boot-a").write_bytes(noise(16384, 4))
    (folder / "boot-b").write_bytes(noise(16384, 5))
    (folder / "data").write_bytes(noise(65536, 6))
    (folder / "stage").write_bytes(bytes(3 * MIB))
    (folder / "os-release").write_text("IMAGE_VERSION=1\n")
    (folder / "board.conf").write_text(BOARD)
    (folder / "fw_env.config").write_text(
        f"{folder}/env 0x0 0x4000\n{folder}/env 0x4000 0x4000\n"
    )
    (folder / "health.d").mkdir()
    set_env(folder)
    return folder


@pytest.fixture
def device(pristine, tmp_path):
    folder = tmp_path / "device"
    shutil.copytree(pristine, folder)
    config = (folder / "fw_env.config").read_text()
    (folder / "fw_env.config").write_text(
        config.replace(str(pristine), str(folder))
    )
    # Another user must be able to come this far, and no further.
    for parent in (folder, *folder.parents):
        if parent.owner() == pwd.getpwuid(os.getuid()).pw_name:
            parent.chmod(parent.stat().st_mode | 0o055)
        if parent.name.startswith("pytest-of"):
            break
    return folder


# ---- what is given ----------------------------------------------------------

GIVEN = {}
ALTERED = {}  # options for running the command


def given(text, **options):
    def register(function):
        GIVEN[text] = function
        ALTERED[text] = options
        return function

    return register


def add_line(device, line):
    with open(device / "board.conf", "a", encoding="ascii") as board:
        board.write(line + "\n")


def flip(device, at, source="good"):
    data = bytearray((device / source).read_bytes())
    data[at] ^= 4
    (device / "flipped").write_bytes(data)


def head_size(device):
    """Header, manifest, signature of the good bundle, in bytes."""
    data = (device / "good").read_bytes()
    manifest, signature = struct.unpack_from("<II", data, 12)
    used = 32 + manifest + signature
    return manifest, (used + 4095) // 4096 * 4096


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc


def stage_record(device, phase):
    """docs/FORMAT.md, "The record on the stage"."""
    head = struct.pack("<IHBcQ16sQQI64s", 0x47545342, 1, phase, b"A", 1,
                       UPDATE.encode(), 4096, 4096, 0, b"")
    head = head.ljust(4092, b"\0")
    record = head + struct.pack("<I", crc32c(head))
    with open(device / "stage", "r+b") as stage:
        stage.write(record)


@given("")
def nothing(device):
    pass


@given("another user than root", user="nobody")
def not_root(device):
    pass


@given("a board file with `COLOUR=red`")
def colour(device):
    add_line(device, "COLOUR=red")


@given("a board file with `STAGE=` twice")
def twice(device):
    add_line(device, "STAGE=stage")


@given("a board file without `SYSTEM=`")
def no_system_key(device):
    text = BOARD.replace("SYSTEM=system\n", "")
    (device / "board.conf").write_text(text)


@given("a board file with `HEALTH_DEADLINE=soon`")
def soon(device):
    add_line(device, "HEALTH_DEADLINE=soon")


@given("a board file with `BOW_LOW_WATER=-1`")
def negative(device):
    add_line(device, "BOW_LOW_WATER=-1")


@given("a board file with `BOW_DAMAGED=ignore`")
def ignore(device):
    add_line(device, "BOW_DAMAGED=ignore")


@given("no `fw_env.config`")
def no_env_config(device):
    (device / "fw_env.config").unlink()


@given("no stage")
def no_stage(device):
    (device / "stage").unlink()


@given("no system partition")
def no_system(device):
    (device / "system").unlink()


@given("a stage of 100 bytes")
def short_stage(device):
    os.truncate(device / "stage", 100)


@given("a stage too small for the diff")
def full_stage(device):
    os.truncate(device / "stage", 2 * MIB + 4096)


def play(device, phase):
    set_env(device, bowline_phase=phase, bowline_trial="B",
            bowline_update=UPDATE)


@given("an update on trial that does not run")
def on_trial(device):
    play(device, "trial")


@given("an update on trial, another user than root", user="nobody")
def on_trial_not_root(device):
    play(device, "trial")


@given("an update being rolled back")
def rolling_back(device):
    play(device, "rollback")


@given("an update that is committed")
def committed(device):
    play(device, "commit")


@given("a stage whose update may be half merged")
def half_merged(device):
    stage_record(device, 2)


@given("an update being merged, and no kernel target")
def merging(device):
    play(device, "commit")
    stage_record(device, 2)


@given("both copies of the environment lost, and an update on the stage")
def lost(device):
    stage_record(device, 1)
    (device / "env").write_bytes(noise(0x8000, 7))


@given("an empty file")
def empty(device):
    (device / "empty").touch()


@given("two images of 24 MiB that have nothing in common")
def noises(device):
    for seed in (1, 2):
        (device / f"noise-{seed}").write_bytes(noise(24 * MIB, seed))


@given("a bundle with a flipped bit in its header")
def flip_header(device):
    flip(device, 12)


@given("a bundle with a flipped bit in its manifest")
def flip_manifest(device):
    flip(device, 32 + 60)


@given("a bundle with a flipped bit in its signature")
def flip_signature(device):
    flip(device, 32 + head_size(device)[0] + 40)


@given("a bundle with a flipped bit in the first piece of its diff")
def flip_diff(device):
    flip(device, head_size(device)[1] + 5000)


@given("a bundle with a flipped bit in its kernel")
@given("a bundle with a flipped bit in its kernel; the stage and the other "
       "slot are overwritten")
def flip_kernel(device):
    flip(device, (device / "good").stat().st_size - 12288 + 5)


@given("a bundle signed by somebody else")
def foreign(device):
    bundle(device, "foreign", key="foreign-key")


@given("a bundle for another board")
def other_board(device):
    bundle(device, "other", board="toaster")


@given("a bundle for other hardware")
def other_hardware(device):
    bundle(device, "other", "--hardware", "rev-7")


@given("a stage with room for the diff but not for its merge")
def full_stage_for_merge(device):
    size = (device / "update.diff").stat().st_size
    os.truncate(device / "stage", 2 * MIB + (size + 4095) // 4096 * 4096)


@given("no key in the folder of keys")
def no_keys(device):
    (device / "keys/key.pem").unlink()


def expire(device, day):
    key = (device / "key.pub").read_text()
    (device / "keys/key.pem").write_text(f"Not-After: {day}\n{key}")


@given("a trusted key that has expired")
def expired_key(device):
    expire(device, "2020-02-29")


@given("a trusted key with a Not-After that is no date")
def expiry_no_date(device):
    expire(device, "2021-02-29")


@given("no folder of keys")
def no_key_folder(device):
    shutil.rmtree(device / "keys")


@given("a folder with a damaged key only")
def damaged_key(device):
    (device / "keys/key.pem").write_text("-----BEGIN PUBLIC KEY-----\n")


@given("a bundle without its last byte")
def short_bundle(device):
    (device / "short").write_bytes((device / "good").read_bytes()[:-1])


@given("a bundle and one byte more")
def long_bundle(device):
    (device / "long").write_bytes((device / "good").read_bytes() + b"\n")


@given("100 bytes of a bundle on standard input", stdin=lambda b: b[:100])
@given("a bundle without its last byte on standard input; the stage and the "
       "other slot are overwritten", stdin=lambda b: b[:-1])
@given("a bundle and one byte more on standard input; the stage and the "
       "other slot are overwritten", stdin=lambda b: b + b"\n")
def on_stdin(device):
    pass


@given("a running system of version 3")
def newer(device):
    (device / "os-release").write_text("IMAGE_VERSION=3\n")


@given("a running system of version 0.9")
def older(device):
    (device / "os-release").write_text("IMAGE_VERSION=0.9\n")


@given("a version file without a version")
def no_version(device):
    (device / "os-release").write_text("ID=debian\n")


@given("a system with one other byte")
def other_system(device):
    data = bytearray((device / "system").read_bytes())
    data[77777] ^= 1
    (device / "system").write_bytes(data)


@given("a system partition without its last 4096 bytes")
def small_system(device):
    os.truncate(device / "system", (256 << 10) - 4096)


@given("a boot partition of 4096 bytes")
def small_slot(device):
    os.truncate(device / "boot-b", 4096)


@given("a FIT image without its last byte")
def short_kernel(device):
    (device / "short").write_bytes((device / "kernel").read_bytes()[:-1])


@given("an encrypted key")
def locked(device):
    run("openssl", "ec", "-in", device / "key", "-aes128", "-passout",
        "pass:secret", "-out", device / "locked")


@given("an RSA key of 1024 bits")
def weak(device):
    run("openssl", "genrsa", "-out", device / "weak", "1024")


@given("a file of 1000 bytes that begins like a log")
def small_data(device):
    log = struct.pack("<IHHIIIQ", 0x00574F42, 0x0100, 28, 4096, 1, 0, 64)
    (device / "small").write_bytes(log.ljust(1000, b"\0"))


@given("a data partition with a log that does not add up")
def damaged_log(device):
    # Count 5000 does not fit into a block of 4096 bytes.
    log = struct.pack("<IHHIIIQ", 0x00574F42, 0x0100, 28, 4096, 5000, 0, 64)
    with open(device / "data", "r+b") as data:
        data.write(log)


def format_1(device, name="v1.diff", source="random.diff"):
    """The sample: its images as v1.old and v1.new, its diff with its last byte
    used."""
    shutil.copy(SAMPLE / "old.img", device / "v1.old")
    shutil.copy(SAMPLE / "new.img", device / "v1.new")
    shutil.copy(SAMPLE / source, device / name)
    return struct.unpack_from("<Q", (device / name).read_bytes(), 152)[0]


@given("a diff of format 9")
def later_format(device):
    data = bytearray((device / "update.diff").read_bytes())
    data[8] = 9
    (device / "later").write_bytes(data)


@given("a diff of format 0 without its last 4096 bytes")
def short_diff(device):
    data = (device / "update.diff").read_bytes()
    (device / "short").write_bytes(data[:-4096])


@given("a diff of format 1")
def diff_1(device):
    format_1(device)


@given("a diff of format 1, an empty file")
def diff_1_and_empty(device):
    format_1(device)
    empty(device)


@given("a diff of format 1 with a flipped bit in its superblock")
def flip_super(device):
    format_1(device)
    flip(device, 60, "v1.diff")


@given("a diff of format 1 with a flipped bit in its directory")
def flip_directory(device):
    flip(device, format_1(device) + 20, "v1.diff")


@given("a diff of format 1 with a flipped bit in a chunk")
def flip_chunk(device):
    flip(device, format_1(device) - 30, "v1.diff")


@given("a diff of format 1 without its last 4096 bytes")
def short_diff_1(device):
    format_1(device)
    (device / "short").write_bytes((device / "v1.diff").read_bytes()[:-4096])


@given("a diff of format 1 that lacks a save")
def unsaved_diff(device):
    format_1(device, "unsaved", "unsaved.diff")


# ---- the tests --------------------------------------------------------------


def hashes(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(
            path.read_bytes() if path.is_file() else b"folder"
        ).hexdigest()
        for path in folder.rglob("*")
    }


def pattern(message):
    return ".*".join(re.escape(part) for part in message.split("..."))


def program(device, user, environment):
    """The start of a command line, as this user or another. The tree may lie
    in a home that nobody else can enter; a test's folder does not."""
    if not user:
        return [BOWLINE]
    copy = shutil.copy(BOWLINE, device.parent / "bowline")
    settings = [f"{name}={value}" for name, value in environment.items()]
    become = [] if os.geteuid() == 0 else ["sudo", "-n"]
    return [*become, "setpriv", f"--reuid={user}", "--clear-groups", "env",
            *settings, copy]


def execute(device, command, options):
    change = options.get("stdin")
    source = (device / "good").read_bytes()
    environment = {"PATH": "/usr/bin:/bin", "BOWLINE_BOARD": "board.conf"}
    start = program(device, options.get("user"), environment)
    return subprocess.run(
        [*start, *shlex.split(command)[1:]],
        cwd=device,
        env=environment,
        input=change(source) if change else b"",
        capture_output=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("what, command, status, message", table())
def test_row(device, what, command, status, message):
    GIVEN[what](device)
    allowed = set()
    for words, files in OVERWRITTEN.items():
        if what.endswith(words):
            allowed = files
    before = hashes(device)
    result = execute(device, command, ALTERED[what])
    after = hashes(device)
    lines = [
        line
        for line in result.stderr.decode().splitlines()
        if not PROGRESS.fullmatch(line)
    ]
    assert len(lines) == 1, f"not one line: {lines}"
    assert re.fullmatch("bowline: " + pattern(message), lines[0])
    assert result.returncode == status
    changed = {k for k in before | after if before.get(k) != after.get(k)}
    assert changed <= allowed


def test_the_device_works(device):
    """Without bad input the same device takes the bundle."""
    result = execute(device, "bowline install good", {})
    assert result.returncode == 0, result.stderr.decode()


def test_status_tells_the_policies(device):
    for line in ("BOW_NO_SPACE=release", "BOW_DAMAGED=stop",
                 "BOW_LOW_WATER=3"):
        add_line(device, line)
    result = execute(device, "bowline status --json", {})
    said = json.loads(result.stdout)
    assert (said["no_space"], said["damaged"], said["room_low"]) == \
        ("release", "stop", 3 * MIB)
    assert (said["room"], said["room_free"], said["room_used"]) == ("", 0, 0)
    text = execute(device, "bowline status", {}).stdout.decode()
    assert re.search(r"(?m)^no_space +release$", text)


def test_every_given_has_a_row():
    rows = {p.values[0] for p in table()}
    assert set(GIVEN) == rows
