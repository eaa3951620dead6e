# SPDX-License-Identifier: GPL-2.0-or-later
"""Groups of horizontal bars, in panels side by side, as SVG.

    chart([(title, [(label, {series: value})])], {series: colour}, top)

top is the value at the right end; a longer bar ends there and has a '>' with
its number.
"""

import html

LEFT, WIDTH, GAP, BAR, ROW = 130, 260, 20, 8, 12
HEAD, FOOT = 60, 40


def element(name, text=None, **attributes):
    words = "".join(f' {key.replace("_", "-")}="{value}"'
                    for key, value in attributes.items())
    if text is None:
        return f"<{name}{words}/>"
    return f"<{name}{words}>{html.escape(text)}</{name}>"


def label(x, y, text, **attributes):
    return element("text", text, x=round(x, 1), y=round(y, 1), **attributes)


def bar(x, y, value, colour, top):
    width = WIDTH * min(value, top) / top
    number = f"{value:.2f}" if value <= top else f"> {value:.2f}"
    beside = x + width + 3 if value <= top / 2 else x + width - 3
    return [element("rect", x=x, y=y, width=round(width, 1), height=BAR,
                    fill=colour),
            label(beside, y + BAR - 1, number, font_size=8,
                  text_anchor="start" if value <= top / 2 else "end")]


def grid(x, bottom, top):
    made = []
    for i in range(5):
        at = x + WIDTH * i / 4
        made += [element("line", x1=at, x2=at, y1=HEAD - 8, y2=bottom,
                         stroke="#ccc"),
                 label(at, bottom + 12, f"{top * i / 4:g}", font_size=9,
                       text_anchor="middle")]
    return made


def panel(x, title, groups, colours, top):
    made, y = [label(x, HEAD - 14, title, font_size=12)], HEAD
    for _, values in groups:
        for name, colour in colours.items():
            if name in values:
                made += bar(x, y, values[name], colour, top)
            y += ROW - 2
        y += ROW
    return grid(x, y - ROW + 4, top) + made


def legend(colours):
    made, x = [], LEFT
    for name, colour in colours.items():
        made += [element("rect", x=x, y=12, width=10, height=10, fill=colour),
                 label(x + 14, 21, name, font_size=11)]
        x += 30 + 7 * len(name)
    return made


def names(groups, colours):
    step = (ROW - 2) * len(colours) + ROW
    return [label(LEFT - 8, HEAD + i * step + step / 2, name, font_size=11,
                  text_anchor="end") for i, (name, _) in enumerate(groups)]


def chart(panels, colours, top):
    height = HEAD + FOOT + len(panels[0][1]) * ((ROW - 2) * len(colours) + ROW)
    width = LEFT + len(panels) * (WIDTH + GAP) + GAP
    made = legend(colours) + names(panels[0][1], colours)
    for i, (title, groups) in enumerate(panels):
        made += panel(LEFT + i * (WIDTH + GAP), title, groups, colours, top)
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} '
        f'{height}" font-family="sans-serif">',
        "<!-- SPDX-License-Identifier: GPL-2.0-or-later -->",
        element("rect", width=width, height=height, fill="white"),
        *made, "</svg>"]) + "\n"
