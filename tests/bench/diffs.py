#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""diffs.py [--cached] [--tool NAME] FOLDER...: sizes of diffs of image pairs.

Every folder has old.img and new.img (scripts/pairs.sh). Each tool makes a diff
of each pair, and the new image from it again, which must be right. What was
measured stays in the cache, by pair, tool and the tool's version, so a run goes
on where the last one ended; --cached measures nothing, --tool measures one of
them. Writes docs/bench-diff.md and docs/bench-diff.svg, but not for one tool.
"""

import argparse
import dataclasses
import filecmp
import hashlib
import json
import os
import pathlib
import resource
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import diffreport

TOP = pathlib.Path(__file__).resolve().parents[2]
BOWLINE = TOP / "out/host/bowline"
CACHE = TOP / "out/cache/bench-diff"
WORK = TOP / "out/bench-diff"
MINUTES = 15  # of processor time, what a tool may take for one pair


@dataclasses.dataclass
class Tool:
    """Words of commands: OLD, NEW, DIFF stand for files, SIZE for OLD's."""
    name: str
    make: str
    apply: str
    version: str
    old_first: bool = False  # all work on OLD is done before NEW is read


TOOLS = [
    Tool("zstd -19", "zstd -q -f -19 --long=31 NEW -o DIFF",
         "zstd -q -f -d --long=31 DIFF -o NEW", "zstd --version"),
    Tool("zstd --patch-from",
         "zstd -q -f -19 --long=31 --patch-from=OLD NEW -o DIFF",
         "zstd -q -f -d --long=31 --memory=2048MB --patch-from=OLD DIFF -o NEW",
         "zstd --version"),
    Tool("xdelta3 -9", "xdelta3 -e -f -9 -B SIZE -s OLD NEW DIFF",
         "xdelta3 -d -f -B SIZE -s OLD DIFF NEW",
         "dpkg-query -W xdelta3"),
    Tool("bsdiff", "bsdiff OLD NEW DIFF", "bspatch OLD NEW DIFF",
         "dpkg-query -W bsdiff", old_first=True),
    Tool("format 0", "BOWLINE diff --format 0 OLD NEW -o DIFF",
         "BOWLINE apply OLD DIFF -o NEW", ""),
    Tool("format 1", "BOWLINE diff --format 1 OLD NEW -o DIFF",
         "BOWLINE apply OLD DIFF -o NEW", ""),
    Tool("format 1, 256 KiB",
         "BOWLINE diff --format 1 --chunk-size 256K OLD NEW -o DIFF",
         "BOWLINE apply OLD DIFF -o NEW", ""),
]


def words(text, files):
    """The words of a command with the files in their places."""
    names = {**files, "BOWLINE": BOWLINE}
    if "OLD" in files:
        names["SIZE"] = files["OLD"].stat().st_size
    made = []
    for word in text.split():
        head, equals, tail = word.partition("=")
        made.append(f"{head}={names[tail]}" if equals and tail in names
                    else str(names.get(word, word)))
    return made


def sources():
    """What of the program makes and applies diffs."""
    return sorted([*TOP.glob("updater/*diff*.[ch]"),
                   *TOP.glob("updater/*apply*.[ch]"),
                   *TOP.glob("updater/v1.[ch]"),
                   *TOP.glob("kmod/dm-update-v1*.[ch]"),
                   *TOP.glob("kmod/dm-update-dir.[ch]")])


def version(tool):
    """What a result is good for; of ours it is the sources' contents."""
    if not tool.version:
        text = b"".join(file.read_bytes() for file in sources())
        return [hashlib.sha256(text).hexdigest()]
    return subprocess.run(words(tool.version, {}), check=True, text=True,
                          capture_output=True).stdout.split()[0:3]


def limit_time():
    resource.setrlimit(resource.RLIMIT_CPU, (60 * MINUTES, 60 * MINUTES + 5))


def bytes_read(pid):
    """By a process, which may have ended but was not waited for yet."""
    lines = pathlib.Path(f"/proc/{pid}/io").read_text().splitlines()
    return int(dict(line.split(": ") for line in lines)["rchar"])


def wait(pid):
    """Status of a process, what it used, and the bytes that it read."""
    ended = os.pidfd_open(pid)
    select.select([ended], [], [])
    os.close(ended)
    read = bytes_read(pid)
    _, status, used = os.wait4(pid, 0)
    return os.waitstatus_to_exitcode(status), used, read


def measured(command):
    """Wall and processor seconds and MiB of a command; of one that was too
    slow the bytes that it read until it was stopped."""
    begun = time.monotonic()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL, preexec_fn=limit_time)
    child.returncode, used, read = wait(child.pid)
    if child.returncode == -signal.SIGXCPU:
        return {"stopped-after": read}
    if child.returncode:
        raise SystemExit(f"status {child.returncode}: {' '.join(command)}")
    return {"seconds": time.monotonic() - begun,
            "processor": used.ru_utime + used.ru_stime,
            "memory": used.ru_maxrss / 1024}


def too_slow(tool, files, read):
    """Had it not come to the new image yet, the old one alone is too much, in
    every pair that has it."""
    result = {"too-slow": MINUTES}
    sizes = [files[name].stat().st_size for name in ("OLD", "NEW")]
    if tool.old_first and read < sizes[0] + sizes[1] / 2:
        result["old-alone"] = True
    return result


def partition(old, new, path):
    """The old image with room for the new one behind it, a device's partition:
    a diff of format 0 does not say how long the new image is."""
    shutil.copyfile(old, path)
    os.truncate(path, max(old.stat().st_size, new.stat().st_size))
    return path


def measure(tool, pair, folder):
    diff, back = folder / "diff", folder / "new.img"
    files = {"OLD": pair / "old.img", "NEW": pair / "new.img", "DIFF": diff}
    made = measured(words(tool.make, files))
    if "stopped-after" in made:
        return too_slow(tool, files, made["stopped-after"])
    old = files["OLD"]
    if tool.name == "format 0":
        old = partition(old, files["NEW"], folder / "partition")
    applied = measured(words(tool.apply, {**files, "OLD": old, "NEW": back}))
    if tool.name == "format 0":
        os.truncate(back, files["NEW"].stat().st_size)
    if "stopped-after" in applied or \
            not filecmp.cmp(back, files["NEW"], False):
        raise SystemExit(f"{tool.name}: {pair.name} does not come out right")
    if tool.name.startswith("format 1"):
        subprocess.run([BOWLINE, "apply", "--check", files["OLD"], diff],
                       check=True, capture_output=True)
    return {"size": diff.stat().st_size, "make": made, "apply": applied}


def place(*key):
    """The file of a result in the cache."""
    text = "\n".join(key)
    return CACHE / (hashlib.sha256(text.encode()).hexdigest()[:16] + ".json")


def places(tool, pair):
    """Where a result may be: the pair's, or that of its old image alone."""
    yield place(pair.name, tool.make, tool.apply, *version(tool))
    if tool.old_first:
        with open(pair / "old.img", "rb") as file:
            image = hashlib.file_digest(file, "sha256").hexdigest()
        yield place(image, tool.make, *version(tool))


def cached(tool, pair, measuring):
    """The result of a tool for a pair, or None."""
    for file in places(tool, pair):
        if file.exists():
            return json.loads(file.read_text())["result"]
    if not measuring:
        return None
    print(f"{pair.name}: {tool.name}", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory(dir=WORK) as folder:
        result = measure(tool, pair, pathlib.Path(folder))
    *_, last = places(tool, pair)
    file = last if "old-alone" in result else next(places(tool, pair))
    file.write_text(json.dumps({"pair": pair.name, "tool": tool.name,
                                "result": result}, indent=1))
    return result


def short(pair):
    """The pair's name without the key of the cache."""
    return pair.name.removeprefix("pair-").rpartition("-")[0]


def write_page(pairs, results):
    images = {short(pair): (pair / "new.img").stat().st_size
              for pair in pairs}
    (TOP / "docs/bench-diff.md").write_text(diffreport.page(images, results))
    (TOP / "docs/bench-diff.svg").write_text(diffreport.picture(results))


def main(arguments):
    parser = argparse.ArgumentParser()
    parser.add_argument("--cached", action="store_true")
    parser.add_argument("--tool", choices=[tool.name for tool in TOOLS])
    parser.add_argument("pairs", nargs="+", type=pathlib.Path)
    given = parser.parse_args(arguments)
    for folder in (CACHE, WORK):
        folder.mkdir(parents=True, exist_ok=True)
    results = {short(pair): {tool.name: cached(
        tool, pair, not given.cached and given.tool in (None, tool.name))
        for tool in TOOLS} for pair in given.pairs}
    if not given.tool:
        write_page(given.pairs, results)
    print(diffreport.summary(results))


if __name__ == "__main__":
    main(sys.argv[1:])
