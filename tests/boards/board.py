# SPDX-License-Identifier: GPL-2.0-or-later
"""A whole board under QEMU, driven over its serial console.

    board = Board(images, firmware, log)
    board.power_on()
    board.shell()                       # waits for the root shell
    status, text = board.run("bowline status")
    board.power_cut()

Every line of the console goes to the log with the seconds since the test
began. Nothing here sleeps for a fixed time: everything waits for a text on the
console, for a limited time, and says what it saw when the text does not come.
"""

import os
import re
import select
import shlex
import signal
import subprocess
import time

# QEMU's TCG on a busy machine: generous, a pass never waits this long.
BOOT_TIMEOUT = 120
COMMAND_TIMEOUT = 60
FIRST_TIMEOUT = 20

UBOOT_BANNER = r"U-Boot 20\d\d\.\d\d"
UBOOT_PROMPT = r"(?m)^=> $"
KERNEL_START = r"Linux version "
SHELL_PROMPT = r"(?m)^system-\d+# "

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
KERNEL_LINE = re.compile(r"\[ *\d+\.\d{6}\] [^\n]*\n?")


class ConsoleError(Exception):
    """The console did not say what was expected; says what it did say."""


class Board:
    def __init__(self, images, firmware, log, extra=()):
        """Images of the board, the folder with u-boot.bin, the log's path.

        The machine is the QEMU line of the board file; extra arguments are
        added to it.
        """
        self.images = images
        self.firmware = firmware
        self.extra = list(extra)
        self.qemu = None
        self.buffer = ""  # what the console said and nobody has matched yet
        self.seen = ""    # everything it said since power_on()
        self.began = time.monotonic()
        self.log = open(log, "a", encoding="utf-8", buffering=1)
        self.pending = ""  # the line of the log that is not yet complete
        self.serial = 0    # of commands

    # Power

    def power_on(self):
        assert self.qemu is None, "is on"
        argv = shlex.split(self.images.conf["QEMU"]) + self.extra
        argv = [str(self.firmware / a) if a == "u-boot.bin" else a
                for a in argv]
        self._note("power on")
        self.buffer = self.seen = ""
        self.qemu = subprocess.Popen(
            argv, cwd=self.images.folder, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0,
            start_new_session=True)
        return self

    def power_cut(self):
        """The plug is pulled: QEMU gets no chance to do anything."""
        if self.qemu:
            self._note("power cut")
            self.qemu.send_signal(signal.SIGKILL)
            self._gone()

    def poweroff(self, timeout=BOOT_TIMEOUT):
        """Switches off from the shell, in good order."""
        self.send("poweroff\n")
        self.wait_off(timeout)

    def wait_off(self, timeout=BOOT_TIMEOUT):
        """Waits until the machine switches itself off."""
        end = time.monotonic() + timeout
        while self._read(end):
            pass
        if self.qemu.poll() is None and time.monotonic() >= end:
            raise ConsoleError(f"still on after {timeout} s\n{self._tail()}")
        self._gone()

    def reboot(self, timeout=BOOT_TIMEOUT):
        """Reboots from the shell and waits for U-Boot."""
        self.send("reboot\n")
        self.expect(UBOOT_BANNER, timeout)

    def _gone(self):
        self.qemu.wait()
        self.qemu.stdin.close()
        self.qemu.stdout.close()
        self.qemu = None
        self._note("off")

    def close(self):
        self.power_cut()
        self.log.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # Console

    def send(self, text):
        self.qemu.stdin.write(text.encode())

    def expect(self, pattern, timeout=BOOT_TIMEOUT, unless=None):
        """Waits for a regular expression; returns the match.

        What came before it and the match itself are consumed. If 'unless'
        matches earlier, or nothing comes in time, or the machine goes off, it
        is an error.
        """
        end = time.monotonic() + timeout
        while True:
            found = re.search(pattern, self.buffer)
            bad = unless and re.search(unless, self.buffer)
            if bad and not (found and found.start() <= bad.start()):
                raise ConsoleError(f"waiting for '{pattern}', got "
                                   f"'{bad.group()}'\n{self._tail()}")
            if found:
                self.buffer = self.buffer[found.end():]
                return found
            if not self._read(end):
                why = ("the machine went off" if self.qemu.poll() is not None
                       else f"not within {timeout} s")
                raise ConsoleError(f"waiting for '{pattern}': {why}\n"
                                   f"{self._tail()}")

    def _read(self, end):
        """Takes in what there is, waiting at most until end; false at end."""
        left = end - time.monotonic()
        ready, _, _ = select.select([self.qemu.stdout], [], [], max(left, 0))
        data = os.read(self.qemu.stdout.fileno(), 65536) if ready else b""
        if not data:
            return False
        text = data.decode("utf-8", "replace").replace("\r", "")
        text = ESCAPES.sub("", text)
        self.buffer += text
        self.seen += text
        self._write_log(text)
        return True

    def _write_log(self, text):
        *lines, self.pending = (self.pending + text).split("\n")
        now = time.monotonic() - self.began
        for line in lines:
            self.log.write(f"{now:8.2f} {line}\n")

    def _note(self, text):
        self._write_log(f"{self.pending and chr(10)}--- {text}\n")

    def _tail(self):
        return "\n".join(self.seen.split("\n")[-30:])

    # U-Boot

    def uboot_prompt(self, timeout=BOOT_TIMEOUT):
        """Stops the boot, which must not have got past U-Boot yet."""
        # The key may wait in the UART, but not be a second late.
        self.expect(r"Loading Environment", timeout)
        self.send("\x03")
        self.expect(UBOOT_PROMPT, COMMAND_TIMEOUT)

    def uboot(self, command, timeout=COMMAND_TIMEOUT):
        """Runs a command at U-Boot's prompt: (status, output)."""
        answer = self._marked(command, timeout)
        self.expect(UBOOT_PROMPT, timeout)
        return answer

    # Linux

    def shell(self, timeout=BOOT_TIMEOUT, unless=UBOOT_BANNER):
        """Waits for the root shell of the running system.

        That a new boot begins instead is an error; call it after a reboot()
        or power_on() has reached U-Boot or later.
        """
        self.expect(SHELL_PROMPT, timeout, unless)
        # Only our own lines from here, and none of the kernel's in between;
        # until that is so, one of them may tear a marker apart.
        self.send("stty -echo; dmesg -n 1\n")
        for last in (False, False, True):
            try:
                return self.run("true", FIRST_TIMEOUT)
            except ConsoleError:
                if last:
                    raise

    def kernel(self, timeout=BOOT_TIMEOUT):
        """Waits for the next kernel to start; what U-Boot told it, a dict of
        the bowline.* words of its command line."""
        line = self.expect(r"Kernel command line: (.*)\n", timeout).group(1)
        return dict(word[8:].split("=", 1) for word in line.split()
                    if word.startswith("bowline."))

    def boot(self, timeout=BOOT_TIMEOUT):
        """From power on or reboot to the root shell, in this very boot."""
        self.expect(KERNEL_START, timeout)
        self.shell(timeout)

    def run(self, command, timeout=COMMAND_TIMEOUT):
        """Runs a shell command: (status, output without the last newline)."""
        return self._marked(command, timeout)

    def until(self, command, pattern, timeout):
        """Repeats a command until its output matches; returns the output."""
        end = time.monotonic() + timeout
        while True:
            _, text = self.run(command)
            if re.search(pattern, text):
                return text
            if time.monotonic() > end:
                raise ConsoleError(f"'{command}' did not say '{pattern}' "
                                   f"within {timeout} s, but: {text}")
            self.run("sleep 1")

    def ok(self, command, timeout=COMMAND_TIMEOUT):
        """Runs a command that must succeed; returns its output."""
        status, text = self.run(command, timeout)
        assert status == 0, f"'{command}' gave status {status}: {text}"
        return text

    def _marked(self, command, timeout):
        """The quotes keep the markers from matching their own echo."""
        self.serial += 1
        n = self.serial
        self.send(f'echo @"<"{n}; {command}; echo @">"{n} $?\n')
        self.expect(rf"@<{n}\n", timeout)
        found = self.expect(rf"@>{n} (\d+)\n", timeout)
        text = self.seen[self.seen.rindex(f"@<{n}\n"):]
        text = text[text.index("\n") + 1:text.rindex(f"@>{n} ")]
        return int(found.group(1)), KERNEL_LINE.sub("", text).rstrip("\n")
