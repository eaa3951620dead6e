# SPDX-License-Identifier: GPL-2.0-or-later
"""A system that fails on demand: system 2 with three files changed.

Which way it fails is not in the image but on a test drive (the first drive
after the board's own), so that one bundle serves every way to fail. In every
boot it first spoils the user's data, as a bad system may.
"""

import subprocess

# PID 1. It must work before anything but /proc, /sys, /dev, /run, / and /data
# is there.
INIT = """\
#!/bin/sh
mode=$(head -c 512 /dev/vdb | tr -d '\\0')
echo "bad system: $mode"
echo "$mode" >/run/test-mode
echo "$mode" >/data/written-in-the-trial
cp /bin/bash /data/media/0.bin
rm -r /data/media/1.bin /data/logs/1.log
: >/data/MANIFEST
sync
case $mode in
panic) echo c >/proc/sysrq-trigger ;;
exit) exit 0 ;;
hang) while :; do sleep 3600; done ;;
esac
exec /usr/bin/busybox init
"""

# One more health check.
CHECK = """\
#!/bin/sh
case $(cat /run/test-mode) in
health) exit 3 ;;
esac
"""

# For rcS: the options of `bowline health`.
OPTIONS = """\
case $(cat /run/test-mode) in
late) set -- --wait-commit --deadline 15 ;;
wait) set -- --wait-commit --deadline 600 ;;
esac
"""


def put(image, path, text, folder):
    """Writes an executable file into an ext4 image."""
    source = folder / "file"
    source.write_text(text)
    commands = f"rm {path}\nwrite {source} {path}\nsif {path} mode 0100755\n"
    run = subprocess.run(["debugfs", "-w", "-f", "-", image], input=commands,
                         check=True, text=True, capture_output=True)
    assert "write:" not in run.stderr, run.stderr


def cat(image, path):
    return subprocess.run(["debugfs", "-R", f"cat {path}", image], check=True,
                          text=True, capture_output=True).stdout


def make(good, image, folder):
    """The bad system, from the image of a good one."""
    subprocess.run(["cp", "--sparse=always", good, image], check=True)
    rcs = cat(image, "/etc/init.d/rcS")
    assert "bowline health >" in rcs, rcs
    rcs = rcs.replace("bowline health >", OPTIONS + 'bowline health "$@" >')
    put(image, "/usr/sbin/init", INIT, folder)
    put(image, "/etc/bowline/health.d/20-test", CHECK, folder)
    put(image, "/etc/init.d/rcS", rcs, folder)
    subprocess.run(["e2fsck", "-fn", image], check=True, capture_output=True)


def bundle(out, host, folder):
    """The signed update from system 1 to the bad system."""
    image, diff, result = (folder / n for n in ("bad.img", "bad.diff",
                                                "bad.bundle"))
    make(out / "system-2.img", image, folder)
    old = out / "system-1.img"
    subprocess.run([host, "diff", old, image, "-o", diff], check=True,
                   capture_output=True)
    subprocess.run([host, "bundle", "--board", "qemu-arm64", "--version", "2",
                    "--old", old, "--new", image, "--diff", diff, "--boot",
                    out / "slot-2.itb", "--key",
                    out.parent / "keys/development.key", "-o", result],
                   check=True, capture_output=True)
    return result
