# SPDX-License-Identifier: GPL-2.0-or-later
"""What the machine printed, as numbers."""

import collections
import dataclasses
import re
import statistics


@dataclasses.dataclass
class Requests:
    """Device requests: {sectors: how many}, and flushes; of each disk, by its
    number from 0, those of all three kinds: {(disk, kind): how many}; and what
    the targets counted themselves: {(target, name): how many}."""

    reads: collections.Counter
    writes: collections.Counter
    flushes: int
    disks: collections.Counter = dataclasses.field(
        default_factory=collections.Counter)
    stats: collections.Counter = dataclasses.field(
        default_factory=collections.Counter)

    @property
    def written(self):
        """Bytes."""
        return 512 * sum(size * n for size, n in self.writes.items())

    @property
    def data(self):
        """Bytes read and written."""
        return self.written + 512 * sum(size * n for size, n in
                                        self.reads.items())


@dataclasses.dataclass
class Sample:
    """One job on one target in one repetition."""

    seconds: float
    requests: Requests


class Histogram:
    """The kernel's counts since the beginning: disk, {(device, flags, sectors):
    n}; delay, {flags: n}, what was asked of the delay; stats, as above."""

    def __init__(self, lines=()):
        self.disk = collections.Counter()
        self.delay = collections.Counter()
        self.stats = collections.Counter()
        for line in lines:
            words = line.split()
            if words[:1] == ["delay"]:
                self.delay[words[1]] += int(words[2])
            elif words[:1] == ["stat"]:
                self.stats[words[1], words[2]] += int(words[3])
            elif re.fullmatch(r"\d+ [A-Z]+ \d+ \d+", line.strip()):
                self.disk[int(words[0]), words[1], int(words[2])] += \
                    int(words[3])


def flushes_of(flags):
    """How many flushes a disk that cannot force single writes has to do for
    a request: one that is to come before it (an F in front), and one after a
    write that is to be forced to the medium (an F behind the W)."""
    before, letter, after = flags.partition("W")
    return before.count("F") + (after.count("F") if letter else 0)


MINORS = 1 << 20
VIRTIO_MINORS = 16  # of each of virtio's disks


def kind_of(flags, sectors):
    # The data of a request that asks for a flush is issued by itself.
    if not sectors:
        return "flush"
    if "W" in flags:
        return "write"
    if "R" in flags:
        return "read"
    raise ValueError(f"unexpected device request '{flags}'")


def requests(before, after, delay=False, minors=VIRTIO_MINORS):
    """What was added between two histograms; of disks of so many minor numbers
    each."""
    result = Requests(collections.Counter(), collections.Counter(), 0,
                      stats=after.stats - before.stats)
    for (device, flags, sectors), count in (after.disk - before.disk).items():
        kind = kind_of(flags, sectors)
        result.disks[device % MINORS // minors, kind] += count
        if kind == "flush":
            result.flushes += count
        else:
            {"write": result.writes, "read": result.reads}[kind][sectors] += \
                count
    if delay:
        result.flushes = sum(flushes_of(flags) * count for flags, count in
                             (after.delay - before.delay).items())
    return result


def fio_line(line):
    """phase/target;error;read KiB;ms;written KiB;ms -> name, seconds."""
    name, error, read, read_ms, written, written_ms = line.split(";")
    if error != "0":
        raise ValueError(f"fio job '{name}' failed with error {error}")
    ms = int(read_ms) + int(written_ms)
    if not ms or not int(read) + int(written):
        raise ValueError(f"fio job '{name}' did nothing: '{line}'")
    return name, ms / 1000


def samples(text, timed, delay, minors):
    """timed: [(key, seconds)] between the marks in text -> {key: Sample}."""
    marks = [Histogram(mark.splitlines())
             for mark in re.split(r"^MARK \d+\n", text, flags=re.M)[1:]]
    if len(marks) != len(timed) + 1:
        raise ValueError(f"{len(marks)} marks around {len(timed)} jobs")
    return {key: Sample(seconds, requests(before, after, delay, minors))
            for (key, seconds), before, after in
            zip(timed, marks, marks[1:])}


def repetition(text, order, delay, minors=VIRTIO_MINORS):
    """{(phase, target) or name of an offline step: Sample}."""
    online, _, offline = text.partition("OFFLINE\n")
    rows = [fio_line(line) for line in online.splitlines()
            if line.count(";") == 5]
    timed = [(tuple(name.split("/")), seconds) for name, seconds in rows]
    if [key for key, _ in timed] != order:
        raise ValueError(f"{len(timed)} jobs where {len(order)} were asked "
                         f"for:\n{online}")
    result = samples(online, timed, delay, minors) if order else {}
    steps = re.findall(r"^TIME (\S+) (\d+)", offline, re.M)
    timed = [(name, int(us) / 1e6) for name, us in steps]
    # The first step only makes the first mark, and has no time.
    if timed:
        result.update(samples(offline, timed[1:], delay, minors))
    return result


def repetitions(console, order, delay, minors=VIRTIO_MINORS):
    parts = re.split(r"^REPEAT \d+\n", console, flags=re.M)[1:]
    return [repetition(part, order, delay, minors) for part in parts]


def median(values):
    return statistics.median(values)


def spread(values):
    """Half of what lies between the extremes, as a part of the median."""
    return (max(values) - min(values)) / 2 / median(values)


class Run:
    """All repetitions of one machine."""

    def __init__(self, repeats, delay):
        self.repeats = repeats
        self.delay = delay

    def alone(self):
        """Each repetition as a run of its own."""
        return [Run([repeat], self.delay) for repeat in self.repeats]

    def has(self, key):
        return key in self.repeats[0]

    def seconds(self, key):
        return [repeat[key].seconds for repeat in self.repeats]

    def time(self, key):
        return median(self.seconds(key))

    def count(self, key, what):
        """The median of a number that what() takes from Requests."""
        return median([what(repeat[key].requests) for repeat in self.repeats])

    def reads(self, key):
        return self.count(key, lambda r: sum(r.reads.values()))

    def writes(self, key):
        return self.count(key, lambda r: sum(r.writes.values()))

    def flushes(self, key):
        return self.count(key, lambda r: r.flushes)

    def data(self, key):
        return self.count(key, lambda r: r.data)
