# SPDX-License-Identifier: GPL-2.0-or-later
"""What numbers are held against."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Limit:
    """One line of the table: figure <= limit (most) or >= limit."""

    text: str
    limit: float
    figure: object  # Run -> number
    most: bool = False
    when: tuple = (0, 2)  # delays

    def met(self, value):
        # A new log block costs some writes more, once in 168 overwrites: within
        # a hundredth of the limit counts as met.
        if self.most:
            return value <= self.limit * 1.01
        return value >= self.limit * 0.99


def verdicts(limits, runs):
    """[(Limit, delay, figure, its least and greatest in one repetition, met)]
    of every limit in every run."""
    found = []
    for limit in limits:
        for run in runs:
            if run.delay not in limit.when:
                continue
            try:
                value = limit.figure(run)
            except KeyError:  # the quick bench leaves phases out
                continue
            each = [limit.figure(one) for one in run.alone()]
            found.append((limit, run.delay, value, (min(each), max(each)),
                          limit.met(value)))
    return found
