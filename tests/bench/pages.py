# SPDX-License-Identifier: GPL-2.0-or-later
"""Tables of a bench's results, and the lines for the terminal."""

from fio import MIB
from judge import verdicts
from measure import spread


def disk(delay):
    """The name of a machine's disks."""
    return f"{delay} ms delay" if delay else "as it is"


def limit_rows(limits, runs):
    for limit, delay, value, between, met in verdicts(limits, runs):
        sign = "at most" if limit.most else "at least"
        yield (limit.text, disk(delay), f"{value:.2f}",
               f"{between[0]:.2f} to {between[1]:.2f}",
               f"{sign} {limit.limit:g}", "met" if met else "missed")


def phase_rows(run, phases, names):
    """names: {target: what the page calls it}."""
    for phase in phases:
        for target in names:
            key = (phase.name, target)
            if run.has(key):
                yield phase_row(run, phase, key, names[target])


def phase_row(run, phase, key, name):
    count, seconds = phase.requests(run.delay), run.time(key)
    if phase.size < MIB:
        rate = f"{count / seconds:.0f}/s"
    else:
        rate = f"{count * phase.size / seconds / 1e6:.0f} MB/s"
    return (phase.name, name, rate,
            f"{100 * spread(run.seconds(key)):.0f} %",
            f"{run.time((phase.name, 'raw')) / seconds:.2f}",
            f"{run.reads(key) / count:.2f}", f"{run.writes(key) / count:.2f}",
            f"{run.flushes(key) / count:.2f}")


def step_row(run, key, text):
    """Of a step that is no job of fio's."""
    return (text, f"{1000 * run.time(key):.0f} ms",
            f"{100 * spread(run.seconds(key)):.0f} %",
            f"{run.reads(key):.0f}", f"{run.writes(key):.0f}",
            f"{run.flushes(key):.0f}")


def table(head, rows):
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def speeds(run, phases, colours, names):
    """For chart(): how fast the targets that have a colour are, raw = 1."""
    return [(phase.name, {
        names[target]: run.time((phase.name, "raw")) /
        run.time((phase.name, target))
        for target in names
        if names[target] in colours and run.has((phase.name, target))})
        for phase in phases if run.has((phase.name, "raw"))]


def summary(rows):
    rows = list(rows)
    lines = [f"{what:73} {disk:10} {figure:>7}  {limit:13} {verdict}"
             for what, disk, figure, _, limit, verdict in rows]
    met = sum(row[-1] == "met" for row in rows)
    return "\n".join([*lines, f"{met} of {len(rows)} limits met"])
