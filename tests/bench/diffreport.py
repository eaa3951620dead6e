# SPDX-License-Identifier: GPL-2.0-or-later
"""The results of diffs.py as a page, as a picture and on the terminal."""

import math

import chart

GENERAL = ["zstd --patch-from", "xdelta3 -9", "bsdiff"]
OURS = "format 1"
PLAIN = "zstd --patch-from"
MOST, MEAN = 1.02, 0.80
COLOURS = {"zstd --patch-from": "#999", "xdelta3 -9": "#37b",
           "bsdiff": "#9cd", "format 1": "#d33", "format 1, 256 KiB": "#e99"}

HEAD = """# Sizes of update diffs

`make bench-diff` wrote this page: diffs between system images made of Debian's
packages (`scripts/pairs.sh`), by the general tools and in the two formats of
`bowline diff`. Every diff was applied again and gave the new image, every one of
format 1 passed `bowline apply --check`.

- `security`: a small server without and with the suite's updates, as many as the
  suite has. `kernel`: busybox and the modules of two kernels. `application`: the
  small server, its nginx updated and set up.
- `rebuilt`: both images made from nothing, so that one file that grows moves all
  files behind it. `in-place`: the old image, updated. `squashfs`: with zstd.
- `zstd -19` is the whole new image, compressed with `--long=31`; `zstd
  --patch-from` has level 19 and `--long=31`; the source window of xdelta3 is the
  image. A tool that takes more than 15 minutes of processor time for a pair is
  left out. bsdiff sorts the whole old image before it opens the new one; an old
  image that takes too long by itself was tried in one of the pairs that have it.
- The chunks of format 1 are 64 KiB, and 256 KiB where it says so; what its merge
  writes is bounded as usual (`--merge-writes`). The general
  tools need the whole old image to decode; a chunk stands alone.
- A dash is what was not measured yet, and no pair is judged before all general
  tools were tried on it. Times and memory depend on the machine and, wall times
  most, on what else it did; the sizes do not. `zstd --patch-from` has one
  thread, `bowline diff` one for each processor.

![Sizes, the smallest general tool = 1](bench-diff.svg)
"""


def size(result):
    return result.get("size") if result else None


def smallest(tools):
    """Of the general tools, or None while one of them was not tried."""
    tried = [tools.get(name) for name in GENERAL]
    if not all(tried):
        return None
    return min(filter(None, map(size, tried)), default=None)


def ratio(tools, name):
    if not size(tools.get(name)) or not smallest(tools):
        return None
    return size(tools[name]) / smallest(tools)


def mean(values):
    return math.exp(sum(math.log(v) for v in values) / len(values))


def times(tools, which):
    """Our time, "seconds" or "processor", to that of zstd --patch-from."""
    ours, theirs = tools.get(OURS), tools.get(PLAIN)
    if not size(ours) or not size(theirs):
        return None
    return ours["make"][which] / theirs["make"][which]


def verdicts(results):
    """Rows: what, figure, limit, met; only of what was measured."""
    sizes = {p: ratio(t, OURS) for p, t in results.items() if ratio(t, OURS)}
    if sizes:
        worst = max(sizes, key=sizes.get)
        yield (f"largest against the smallest general tool: {worst}",
               sizes[worst], MOST)
        yield (f"geometric mean of {len(sizes)} pairs",
               mean(list(sizes.values())), MEAN)
    for which, what in (("seconds", "wall"), ("processor", "processor")):
        took = {p: times(t, which) for p, t in results.items()
                if times(t, which)}
        if took:
            worst = max(took, key=took.get)
            yield (f"most {what} time against zstd --patch-from: {worst}",
                   took[worst], 1)


def number(value, form):
    return form.format(value) if value is not None else "-"


def megabytes(result):
    if result and "too-slow" in result:
        alone = ", old image alone" if result.get("old-alone") else ""
        return f"over {result['too-slow']} min{alone}"
    return number(size(result) and size(result) / 1e6, "{:.3f}")


def table(head, rows):
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def size_rows(images, results):
    for pair, tools in results.items():
        yield [pair, f"{images[pair] / 1e6:.1f}",
               *(megabytes(result) for result in tools.values()),
               number(ratio(tools, OURS), "{:.2f}")]


def cost(result, which):
    """Wall time, processor time and memory in one cell."""
    if not size(result):
        return "-"
    used = result[which]
    return (f"{used['seconds']:.1f} / {used['processor']:.1f} s, "
            f"{used['memory']:.0f} MiB")


def cost_rows(results, which):
    for pair, tools in results.items():
        yield [pair, *(cost(result, which) for result in tools.values())]


def limit_rows(results):
    for what, figure, limit in verdicts(results):
        yield [what, f"{figure:.3f}", f"at most {limit:g}",
               "met" if figure <= limit else "missed"]


def page(images, results):
    names = list(next(iter(results.values())))
    return "\n".join([
        HEAD, "## Limits\n",
        table(["what", "figure", "limit", ""], limit_rows(results)),
        "## Sizes in MB\n",
        table(["pair", "image", *names, "ratio"], size_rows(images, results)),
        "The ratio is format 1 to the smallest general tool.\n",
        "## Making: wall / processor time, memory\n",
        table(["pair", *names], cost_rows(results, "make")),
        "## Applying: wall / processor time, memory\n",
        table(["pair", *names], cost_rows(results, "apply"))])


def picture(results):
    groups = [(pair, {name: ratio(tools, name) for name in COLOURS
                      if ratio(tools, name)})
              for pair, tools in results.items()]
    return chart.chart([("size, the smallest general tool = 1", groups)],
                       COLOURS, 2)


def summary(results):
    rows = list(limit_rows(results))
    lines = [f"{what:64} {figure:>7}  {limit:13} {verdict}"
             for what, figure, limit, verdict in rows]
    met = sum(row[-1] == "met" for row in rows)
    return "\n".join([*lines, f"{met} of {len(rows)} limits met"])
