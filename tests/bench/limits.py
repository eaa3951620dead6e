# SPDX-License-Identifier: GPL-2.0-or-later
"""What the numbers of the bow target are held against."""

from jobs import BY_NAME
from judge import Limit


def per_request(what, phase, target="bow"):
    return lambda run: (getattr(run, what)((phase, target)) /
                        BY_NAME[phase].requests(run.delay))


def speed(phase, target, other):
    """How many times as fast target is as other."""
    return lambda run: run.time((phase, other)) / run.time((phase, target))


def depth_gain(run):
    """Requests a second at depth 32, over those at depth 1."""
    few, many = BY_NAME["first-4k-d1"], BY_NAME["first-4k-d32"]
    return (many.requests(run.delay) / run.time((many.name, "bow"))) / (
        few.requests(run.delay) / run.time((few.name, "bow")))


def requests_per_256k(run):
    key = ("first-1m-d16", "bow")
    return (run.reads(key) + run.writes(key)) / (run.data(key) / (256 << 10))


def data_per_byte(run):
    phase = BY_NAME["first-1m-d16"]
    return run.data((phase.name, "bow")) / (phase.requests(run.delay) *
                                            phase.size)


def against_copy(verb, copy):
    return lambda run: run.time(copy) / run.time(verb)


def all_requests(phase):
    return lambda run: (per_request("reads", phase)(run) +
                        per_request("writes", phase)(run))


FIRST = "random 4 KiB first overwrites, depth "
LIMITS = [
    Limit(FIRST + "32: reads per write", 1, per_request(
        "reads", "first-4k-d32"), most=True),
    Limit(FIRST + "32: writes per write", 2.2, per_request(
        "writes", "first-4k-d32"), most=True),
    Limit(FIRST + "32: flushes per write", 0.1, per_request(
        "flushes", "first-4k-d32"), most=True),
    Limit(FIRST + "32: speed, dm-snapshot (4 KiB) = 1", 1.2, speed(
        "first-4k-d32", "bow", "snap4"), when=(0,)),
    Limit(FIRST + "32: speed, dm-snapshot (4 KiB) = 1", 2, speed(
        "first-4k-d32", "bow", "snap4"), when=(2,)),
    Limit(FIRST + "32: speed, depth 1 = 1", 8, depth_gain, when=(2,)),
    Limit(FIRST + "1: writes per write", 3, per_request(
        "writes", "first-4k-d1"), most=True),
    Limit(FIRST + "1: flushes per write", 2, per_request(
        "flushes", "first-4k-d1"), most=True),
    Limit("sequential 1 MiB first overwrites, depth 16: requests per 256 KiB "
          "moved", 1.1, requests_per_256k, most=True),
    Limit("sequential 1 MiB first overwrites, depth 16: bytes moved per byte",
          3.1, data_per_byte, most=True),
    Limit("sequential 1 MiB first overwrites, depth 16: speed, raw = 1", 0.35,
          speed("first-1m-d16", "bow", "raw")),
]
for _name in ("rewrite", "read"):
    for _depth in (1, 32):
        _phase = f"{_name}-4k-d{_depth}"
        LIMITS += [
            Limit(f"4 KiB {_name}s, depth {_depth}: requests per request", 1,
                  all_requests(_phase), most=True),
            Limit(f"4 KiB {_name}s, depth {_depth}: speed, dm-linear = 1",
                  0.9, speed(_phase, "bow", "linear")),
        ]
for _name in ("restore", "keep"):
    LIMITS += [
        Limit(f"{_name}: speed, a plain copy of the same extents = 1", 0.5,
              against_copy(_name, "copy")),
        Limit(f"{_name}: flushes", 8,
              lambda run, name=_name: run.flushes(name), most=True),
    ]
LIMITS += [
    Limit("keep, block 0 of one sector: flushes", 8,
          lambda run: run.flushes("keep512"), most=True),
]
