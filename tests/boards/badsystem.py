# SPDX-License-Identifier: GPL-2.0-or-later
"""A system that fails on demand: system 2 with three files changed.

Which way it fails is not in the image but on a test drive (the first drive
after the board's own), so that one bundle serves every way to fail. In every
boot it first spoils the user's data, as a bad system may.
"""

import subprocess

from updates import make_bundle, variant

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


def cat(image, path):
    return subprocess.run(["debugfs", "-R", f"cat {path}", image], check=True,
                          text=True, capture_output=True).stdout


def make(good, image):
    """The bad system, from the image of a good one."""
    rcs = cat(good, "/etc/init.d/rcS")
    assert "bowline health >" in rcs, rcs
    rcs = rcs.replace("bowline health >", OPTIONS + 'bowline health "$@" >')
    return variant(good, image, {"/usr/sbin/init": INIT,
                                 "/etc/bowline/health.d/20-test": CHECK,
                                 "/etc/init.d/rcS": rcs})


def bundle(top, out, folder):
    """The signed update from system 1 to the bad system."""
    bad = make(out / "system-2.img", folder / "bad.img")
    return make_bundle(top, out / "system-1.img", bad, folder / "bad.bundle",
                       version="2", boot=out / "slot-2.itb")
