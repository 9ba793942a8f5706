# SPDX-License-Identifier: MIT
"""The report of a migration: one HTML file that needs nothing else.

It shows what umbra migrate saw (history.py): when each console spoke and where,
what each round carried, how the writes were found, and what the standstill was
made of.
"""

import collections
import html
import re

_WIDTH = 960
_LABEL = 190
_LANE = 22
_LANES_MAX = 6  # of one machine
_PARTS = ("pause", "copy", "state", "audit", "there")

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #1d2530; margin: 2em auto;
       max-width: 980px; padding: 0 1em; background: #fff }
h1 { font-size: 1.5em } h2 { font-size: 1.15em; margin-top: 2em }
table { border-collapse: collapse; margin: .6em 0 }
th, td { padding: .25em .8em; text-align: right;
         border-bottom: 1px solid #dde3ea }
th:first-child, td:first-child { text-align: left }
.good { color: #17703a } .bad { color: #b3261e } .verdict { font-size: 1.15em }
.note { color: #5b6675; font-size: .9em }
svg text { font: 12px system-ui, sans-serif; fill: #1d2530 }
svg .dim { fill: #5b6675 }
"""
_COLORS = {"raw": "#2f6fb5", "zero": "#b9cde4", "round": "#eaf1f9",
           "still": "#f3b3ae", "source": "#7a4fb0", "destination": "#17804a",
           "pause": "#8e5bd0", "copy": "#2f6fb5", "state": "#1fa3a3",
           "audit": "#e0922f", "there": "#17804a"}


def write(path, history, status):
    """Raises OSError if the file cannot be written."""
    with open(path, "w", encoding="utf-8") as file:
        file.write(page(history, status))


def page(history, status):
    title = html.escape(history.title or "a guest")
    body = [f"<h1>Umbra: {title} moves</h1>", _verdict(history, status),
            "<h2>When</h2>", _timeline(history)]
    for number, move in enumerate(history.moves):
        body.append(_move(number, move))
    return ("<!DOCTYPE html>\n<html lang=en><head><meta charset=utf-8>"
            f"<title>Umbra: {title} moves</title><style>{_STYLE}</style>"
            f"</head><body>\n" + "\n".join(body) + "\n</body></html>\n")


# --- In words ----------------------------------------------------------------


def is_good(history, status):
    """Every migration moved the guest, and it ended as it should."""
    return bool(history.moves) and status in (0, 1) and all(
        move.result and move.result.get("result") == "moved"
        for move in history.moves)


def _verdict(history, status):
    good = is_good(history, status)
    moved = sum(1 for move in history.moves
                if move.result and move.result.get("result") == "moved")
    audits = {move.result["audit"] for move in history.moves
              if move.result and "audit" in move.result}
    word = ("moved; every audit agreed" if good and audits == {"full"}
            else "moved; every audit of the pages that had contents agreed"
            if good and audits and audits <= {"full", "sent"}
            else "moved" if good else "not as it should be")
    return (f"<p class='verdict {'good' if good else 'bad'}'>"
            f"{moved} of {len(history.moves)} migrations {word}; status "
            f"{status}.</p>")


def _row(cells, tag="td"):
    return ("<tr>" + "".join(f"<{tag}>{cell}</{tag}>" for cell in cells)
            + "</tr>")


def _table(head, rows):
    return ("<table>" + _row(head, "th") + "".join(map(_row, rows))
            + "</table>")


def _number(value):
    return f"{value:,}".replace(",", "\u202f")


# --- One migration -----------------------------------------------------------


def _move(number, move):
    names = ("source", "destination")
    way = f"{names[move.source]} to {names[1 - move.source]}"
    parts = [f"<h2>Migration {number + 1}: {way}</h2>"]
    if move.result:
        parts.append(_sums(move.result))
    if move.rounds:
        parts += ["<h3>Pages per round</h3>", _bars(move.rounds),
                  _rounds(move.rounds)]
    if move.parts:
        parts += ["<h3>Standstill</h3>", _standstill(move)]
    return "\n".join(parts)


def _sums(result):
    pages = result.get("raw", 0) + result.get("zero", 0)
    return _table(
        ("result", "rounds", "pages", "bytes", "KB/s", "pages/s written",
         "throttled", "audit"),
        [(html.escape(str(result.get("result"))), result.get("rounds", 0),
          _number(pages), _number(result.get("bytes", 0)),
          _number(result.get("rate", 0) // 1000),
          _number(result.get("dirty", 0)), f"{result.get('throttle', 0)} %",
          html.escape(f"{result.get('audit')}, {result.get('groups', 0)} "
                      "groups compared"))])


#: How writes were found.
_FOUND = ("logged", "faults", "l2_logged", "l2_faults")


def _rounds(rounds):
    """Umbra counts finds since tracking began; a row shows the round's own."""
    rows, before = [], collections.Counter()
    for one in rounds:
        found = [one.get(key, 0) - before[key]
                 for key in _FOUND]
        before.update(dict(zip(_FOUND, found)))
        seconds = one.get("us", 0) / 1e6
        rows.append((one.get("number", 0), _number(one.get("raw", 0)),
                     _number(one.get("zero", 0)),
                     _number(one.get("bytes", 0)), f"{seconds:.3f}",
                     _number(one.get("left", 0)),
                     _number(round(one.get("left", 0) / seconds)
                             if seconds else 0), *map(_number, found)))
    return _table(
        ("round", "with contents", "zero", "bytes", "guest seconds",
         "pages left", "written/s", "by PML", "by write protection",
         "of L2, by PML", "of L2, by write protection"), rows) + (
             "<p class=note>The last four: how writes were found while the "
             "round lasted. A page can be found more than once.</p>")


# --- Drawings ----------------------------------------------------------------


def _rect(x, y, width, height, fill, title=""):
    inner = f"<title>{html.escape(title)}</title>" if title else ""
    return (f"<rect x='{x:.1f}' y='{y:.1f}' width='{max(width, 0.5):.1f}' "
            f"height='{height:.1f}' fill='{fill}'>{inner}</rect>")


def _text(x, y, text, extra=""):
    return f"<text x='{x:.1f}' y='{y:.1f}' {extra}>{html.escape(text)}</text>"


def _svg(height, parts):
    return (f"<svg viewBox='0 0 {_WIDTH} {height:.0f}' width='100%' "
            "role='img'>" + "".join(parts) + "</svg>")


def _bars(rounds):
    most = max(one.get("raw", 0) + one.get("zero", 0) for one in rounds) or 1
    scale = (_WIDTH - _LABEL - 130) / most
    parts = []
    for index, one in enumerate(rounds):
        y = index * _LANE
        raw, zero = one.get("raw", 0), one.get("zero", 0)
        last = " (standing still)" if index == len(rounds) - 1 else ""
        parts += [
            _text(0, y + 15, f"round {one.get('number', 0)}{last}"),
            _rect(_LABEL, y + 3, raw * scale, _LANE - 6, _COLORS["raw"],
                  f"{raw} pages with contents"),
            _rect(_LABEL + raw * scale, y + 3, zero * scale, _LANE - 6,
                  _COLORS["zero"], f"{zero} zero pages"),
            _text(_LABEL + (raw + zero) * scale + 8, y + 15,
                  f"{raw} + {zero} zero", "class='dim'")]
    return _svg(len(rounds) * _LANE + 6, parts)


def _standstill(move):
    still = move.parts
    here = move.standstill()
    seen = (f" The computer that ran both machines saw {here * 1000:.0f} ms, "
            "whatever else it did." if here is not None else "")
    total = max(still["total"], 1)
    x, parts = 0.0, []
    for name in _PARTS:
        width = (_WIDTH - 2) * still[name] / total
        parts.append(_rect(x, 2, width, 24, _COLORS[name], name))
        x += width
    legend = []
    for index, name in enumerate(_PARTS):
        at = index * _WIDTH / len(_PARTS)
        legend += [_rect(at, 38, 12, 12, _COLORS[name]),
                   _text(at + 18, 49, f"{name} {still[name] / 1000:.1f} ms")]
    return _svg(58, parts + legend) + (
        f"<p class=note>{total / 1000:.1f} ms in all, "
        f"{total / max(still['link'], 1):.2f} times what the link needed for "
        "the pages written last (copy) and the state: "
        f"{still['link'] / 1000:.1f} ms. Each part is of the clock of the "
        "machine that worked: under Bochs time runs ahead where a machine "
        f"waits.{seen}</p>")


def _lanes(history):
    """(side, who, moments): who is "L2" of a line "L2: text"."""
    for side in (0, 1):
        lanes = collections.OrderedDict()
        for line in history.consoles[side]:
            who = re.match(r"([A-Za-z]\w*): ", line.text)
            lanes.setdefault(who[1] if who else "", []).append(line)
        for who, lines in sorted(lanes.items())[:_LANES_MAX]:
            yield side, who or "console", lines


def _bands(history, at, bottom):
    for move in history.moves:
        begin = move.began
        for index, one in enumerate(move.rounds):
            end = one["at"]
            if move.paused and end > move.paused:
                end = move.paused
            color = _COLORS["round"] if index % 2 == 0 else "#dbe7f4"
            yield _rect(at(begin), 0, at(end) - at(begin), bottom, color,
                        f"round {one.get('number', index)}")
            begin = end
        if move.standstill() is not None:
            yield _rect(at(move.paused), 0, at(move.arrived) - at(move.paused),
                        bottom, _COLORS["still"], "stands still")


def _timeline(history):
    end = max(history.ended or 0.0, 0.001)

    def at(seconds):
        return _LABEL + (_WIDTH - _LABEL - 10) * min(seconds, end) / end

    lanes = list(_lanes(history))
    bottom = max(len(lanes), 1) * _LANE + 8
    parts = list(_bands(history, at, bottom))
    for index, (side, who, lines) in enumerate(lanes):
        name = ("source", "destination")[side]
        y = index * _LANE + 4
        parts.append(_text(0, y + 14, f"{name}: {who}"))
        parts += [_rect(at(line.at) - 1, y + 3, 2, _LANE - 8, _COLORS[name],
                        f"{line.at:.2f} s: {line.text}") for line in lines]
    for tick in range(11):
        x = at(end * tick / 10)
        parts.append(_text(x, bottom + 16, f"{end * tick / 10:.1f} s",
                           "class='dim' text-anchor='middle'"))
    return _svg(bottom + 24, parts) + (
        "<p class=note>A mark is a line that the guest has printed there; "
        "point at it to read it. Blue: rounds of copying. Red: the guest "
        "stands still. Seconds of the computer that ran both machines.</p>")
