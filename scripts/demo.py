#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The life of an update, and of a bad one, on a whole board under QEMU.

usage: demo.py BOARD

Tells the story as it happens; the serial console is in out/BOARD/demo/
console.log. Every claim is checked, on the console and, with the power off, in
the disk images; the first one that does not hold ends the story with status 1.
"""

import sys
import time
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TOP / "tests/boards"))

from board import Board  # noqa: E402
from image import Images, board_conf  # noqa: E402
from updates import (check_fs, make_bundle, sha256, stick, tree,  # noqa: E402
                     variant)

# What system 3 does wrong: another failure in each attempt, and damage to the
# user's files in all of them.
BREAK = r"""#!/bin/sh
attempt=$(sed 's/.*bowline.attempt=\([0-9]\).*/\1/' /proc/cmdline)
rm -r /data/logs
for file in /data/media/*; do
	echo "system 3 was here" >"$file"
done
sync
case $attempt in
1) echo c >/proc/sysrq-trigger ;;
2) kill -STOP -1; while :; do :; done ;;
esac
"""
BAD_CHECK = "#!/bin/sh\nexit 7\n"

# One digest over all files that users wrote.
DIGEST = ("(shopt -s globstar; cd /data; for f in **; do [ ! -f \"$f\" ] ||"
          " sha256sum \"$f\"; done | sha256sum | cut -c1-16)")


class Story:
    def __init__(self, board):
        self.name = board
        self.out = TOP / "out" / board
        self.folder = self.out / "demo"
        self.folder.mkdir(exist_ok=True)
        self.log = self.folder / "console.log"
        self.log.unlink(missing_ok=True)
        self.images = Images(
            self.out, board_conf(TOP / "boards" / board / "board.conf")
        ).copy(self.folder)
        self.began = time.monotonic()
        self.claims = 0

    def tell(self, text):
        print(f"[{time.monotonic() - self.began:6.1f} s] {text}", flush=True)

    def claim(self, holds, text):
        if not holds:
            self.tell(f"NOT SO: {text}")
            sys.exit(1)
        self.claims += 1
        self.tell(f"  checked: {text}")

    def power_on(self, bundle):
        self.board = Board(self.images, self.out, self.log, stick(bundle))
        self.board.power_on()

    def says(self, command, timeout=120):
        return self.board.ok(command, timeout)

    def status(self, key):
        for line in self.says("bowline status").splitlines():
            if line.split(None, 1)[0] == key:
                return line.split(None, 1)[1].strip()
        return None

    def install(self):
        text = self.says("bowline install - </dev/vdb 2>&1 | cat", 240)
        for line in text.splitlines():
            if line.startswith("bowline:"):
                self.tell(f"  {line}")

    def follow(self, log, key, value, seconds):
        """Tells a log on the device as it grows, until the status says so."""
        told, end = 0, time.monotonic() + seconds
        while True:
            there = self.status(key) == value
            lines = self.says(f"cat {log}").splitlines()
            for line in lines[told:]:
                self.tell(f"  {line}")
            told = len(lines)
            if there:
                return
            if time.monotonic() > end:
                self.claim(False, f"{key} {value} within {seconds} s")
            time.sleep(0.5)

    def system(self):
        """The system partition on the host, as long as the image."""
        path = self.images.partition("system").extract(
            self.folder / "system.part")
        return sha256(path, (self.out / "system-1.img").stat().st_size)

    def data(self):
        path = self.images.partition("data").extract(self.folder / "data.part")
        check_fs(path)
        files = tree(path)
        path.unlink()
        return files


def first_boot(s):
    s.tell("power on: slot A, system 1")
    s.board.boot()
    s.claim(s.status("slot") == "A", "slot A runs")
    s.claim("system-1" in s.says("echo $PS1"), "it is system 1")
    s.tell("a user writes")
    s.says("echo 'do not lose this' >/data/letter; sync")
    s.tell(f"  data: {s.says(DIGEST)}")


def good_update(s):
    s.tell("install system 2 from a signed bundle")
    s.install()
    s.claim(s.status("phase") == "trial", "the update is on trial")
    s.tell("reboot into the trial")
    s.board.reboot()
    s.board.expect(r"attempt: old data, new system")
    s.tell("  attempt 1, slot B: new system over the old, data under a log")
    s.board.shell()
    s.claim("system-2" in s.says("echo $PS1"), "it is system 2")
    s.says("echo 'written by system 2' >/data/news; sync")
    s.tell("  health checks, commit, merge: what 'bowline health' does")
    s.follow("/var/log/health.log", "phase", "idle", 240)
    s.claim(s.status("last").startswith("committed "), "it is committed")
    s.claim(s.status("system").startswith("linear"),
            "merged to 100 %: the root is the partition alone")
    s.tell("power off, and a look at the disk from outside")
    s.board.poweroff()


def after_good(s):
    values = s.images.environment.values()
    s.claim(values["bowline_phase"] == "idle", "environment: idle")
    s.claim(values["BOOT_ORDER"] == "B A", "environment: slot B first")
    s.claim(s.system() == sha256(s.out / "system-2.img"),
            "the system partition is system 2, bit for bit")
    files = s.data()
    s.claim("letter" in files and "news" in files,
            "e2fsck finds nothing; the user's files are there")
    return files


def bad_update(s):
    s.tell("power on: slot B, system 2")
    s.board.boot()
    before = s.says(DIGEST)
    s.tell(f"  data: {before}")
    s.tell("install system 3, which panics, hangs, fails its health check,"
           " and ruins data")
    s.install()
    s.board.reboot()
    for attempt, how in enumerate(
            ["the kernel panics", "it hangs until the watchdog resets it",
             "a health check fails"], 1):
        s.board.expect(rf"bowline\.attempt={attempt}")
        s.tell(f"  attempt {attempt}: {how}")
        s.board.expect(r"attempt: old data, new system")
        s.board.expect(r"U-Boot 20\d\d", 240)
    s.board.expect(r"the trial failed")
    s.tell("  no attempt left: U-Boot falls back to slot B")
    s.board.shell()
    s.claim("system-2" in s.says("echo $PS1"), "it is system 2 again")
    s.claim(s.says(DIGEST) == before, f"data: {before}, as before")
    s.tell(f"  bowline_last: {s.status('last')}")
    s.claim(s.status("last").startswith("rolled-back "), "rolled back")
    s.tell("power off, and a look at the disk from outside")
    s.board.poweroff()


def after_bad(s, files):
    values = s.images.environment.values()
    s.claim(values["bowline_phase"] == "idle", "environment: idle")
    s.claim(values["BOOT_ORDER"] == "B A" and values["BOOT_A_LEFT"] == "0",
            "environment: slot B first, slot A closed")
    s.claim(s.system() == sha256(s.out / "system-2.img"),
            "the system partition is system 2, bit for bit")
    s.claim(s.data() == files,
            f"e2fsck finds nothing; all {len(files)} files of data are as"
            " before the bad update")


def main():
    s = Story(sys.argv[1])
    s.tell(f"the board is {s.name}; its console is in "
           f"{s.log.relative_to(TOP)}")
    s.power_on(s.out / "update-2.bundle")
    try:
        first_boot(s)
        good_update(s)
        files = after_good(s)
        s.tell("make system 3 from system 2, so that it breaks")
        bad = variant(s.out / "system-2.img", s.folder / "system-3.img", {
            "/etc/boot.d/00-break": BREAK,
            "/etc/bowline/health.d/00-bad": BAD_CHECK})
        s.power_on(make_bundle(TOP, s.out / "system-2.img", bad,
                               s.folder / "update-3.bundle", version="3",
                               boot=s.out / "slot-2.itb"))
        bad_update(s)
        after_bad(s, files)
    finally:
        s.board.close()
    s.tell(f"the end: {s.claims} claims checked")


if __name__ == "__main__":
    main()
