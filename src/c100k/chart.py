"""Charts as inline SVG, without a script: lines over an axis, with spans, marks and a limit.

A chart is drawn once for a wide page and once for a phone, as text that is scaled down cannot be read; the style sheet
of the page shows one of them, and gives the classes used here their colours.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from xml.etree import ElementTree

from markupsafe import Markup

Point = tuple[float, float | None]


class Size(NamedTuple):
    """Of a drawing, in CSS pixels, and how many points of a line and ticks of an axis it has room for."""

    name: str
    width: int
    height: int
    points: int
    ticks: int


WIDE = Size("wide", 960, 280, 480, 10)
NARROW = Size("narrow", 380, 250, 190, 5)

_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 10, 24, 26
_STEPS = (1, 2, 5)
_TIME_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400)


@dataclass(frozen=True)
class Axis:
    """Where values lie between 0 and 1, and `ticks`, which are given how many there may be."""

    place: Callable[[float], float]
    ticks: Callable[[int], Iterable[tuple[float, str]]]


@dataclass(frozen=True)
class Line:
    """Points in the order of x; one of unknown y leaves a gap. `worst` is which of many points on one spot is drawn."""

    css: str
    points: Sequence[Point]
    worst: Callable[[Iterable[float]], float] = max


@dataclass(frozen=True)
class Span:
    """A stretch of the x axis, with its name on top."""

    start: float
    end: float
    css: str
    label: str = ""


@dataclass(frozen=True)
class Mark:
    """One moment of the x axis, with a sign on top."""

    x: float
    label: str


@dataclass(frozen=True)
class Level:
    """A value of the y axis that lines are held against."""

    y: float
    label: str


@dataclass(frozen=True)
class Chart:
    """`title` is read out to those who cannot see it."""

    title: str
    x: Axis
    y: Axis
    lines: Sequence[Line]
    spans: Sequence[Span] = ()
    marks: Sequence[Mark] = ()
    levels: Sequence[Level] = ()

    @property
    def svg(self) -> Markup:
        """For a wide page and for a phone."""
        return self._draw(WIDE) + self._draw(NARROW)

    def _draw(self, size: Size) -> Markup:
        root = ElementTree.Element(
            "svg", viewBox=f"0 0 {size.width} {size.height}", role="img", attrib={"class": f"chart {size.name}"}
        )
        ElementTree.SubElement(root, "title").text = self.title
        frame = _Frame(root, size, self.x, self.y)
        for span in self.spans:
            frame.span(span)
        frame.axes()
        for level in self.levels:
            frame.level(level)
        for line in self.lines:
            frame.line(line)
        for mark in self.marks:
            frame.mark(mark)
        return Markup(ElementTree.tostring(root, encoding="unicode"))


class _Frame:
    """The plane between the axes of one drawing."""

    def __init__(self, root: ElementTree.Element, size: Size, x: Axis, y: Axis) -> None:
        self._root = root
        self._size = size
        self._axes = x, y
        self._bottom = size.height - _BOTTOM

    def _x(self, value: float) -> float:
        share = min(1.0, max(0.0, self._axes[0].place(value)))
        return round(_LEFT + share * (self._size.width - _LEFT - _RIGHT), 1)

    def _y(self, value: float) -> float:
        share = min(1.0, max(0.0, self._axes[1].place(value)))
        return round(self._bottom - share * (self._bottom - _TOP), 1)

    def _add(self, tag: str, css: str, text: str | None = None, **attributes: float | str) -> None:
        given = {name.replace("_", "-"): str(value) for name, value in attributes.items()}
        ElementTree.SubElement(self._root, tag, {"class": css, **given}).text = text

    def axes(self) -> None:
        x_axis, y_axis = self._axes
        right = self._size.width - _RIGHT
        for value, label in y_axis.ticks(5):
            y = self._y(value)
            self._add("line", "grid", x1=_LEFT, x2=right, y1=y, y2=y)
            self._add("text", "tick", label, x=_LEFT - 6, y=y + 4, text_anchor="end")
        for value, label in x_axis.ticks(self._size.ticks):
            x = self._x(value)
            self._add("line", "tick-mark", x1=x, x2=x, y1=self._bottom, y2=self._bottom + 4)
            anchor = "end" if x > right - 14 else "start" if x < _LEFT + 4 else "middle"
            self._add("text", "tick", label, x=x, y=self._bottom + 18, text_anchor=anchor)
        self._add("line", "axis", x1=_LEFT, x2=right, y1=self._bottom, y2=self._bottom)

    def span(self, span: Span) -> None:
        start, end = self._x(span.start), self._x(span.end)
        self._add("rect", f"span {span.css}", x=start, y=_TOP, width=round(end - start, 1), height=self._bottom - _TOP)
        if end - start > 7 * len(span.label):
            self._add("text", "span-name", span.label, x=(start + end) / 2, y=_TOP - 8, text_anchor="middle")

    def level(self, level: Level) -> None:
        y, right = self._y(level.y), self._size.width - _RIGHT
        self._add("line", "level", x1=_LEFT, x2=right, y1=y, y2=y)
        below = y < _TOP + 16
        self._add("text", "level-name", level.label, x=right - 2, y=y + 14 if below else y - 5, text_anchor="end")

    def mark(self, mark: Mark) -> None:
        x = self._x(mark.x)
        self._add("line", "mark", x1=x, x2=x, y1=_TOP, y2=self._bottom)
        self._add("circle", "mark-sign", cx=x, cy=_TOP, r=8)
        self._add("text", "mark-name", mark.label, x=x, y=_TOP + 4, text_anchor="middle")

    def line(self, line: Line) -> None:
        path: list[str] = []
        pen = "M"
        for x, y in _thinned(line, self._size.points):
            if y is None:
                pen = "M"
                continue
            path.append(f"{pen}{self._x(x):g} {self._y(y):g}")
            pen = "L"
        self._add("path", f"line {line.css}", d="".join(path))


def _thinned(line: Line, room: int) -> Iterable[Point]:
    """As many points as there is room for, each the worst of those it stands for."""
    each = max(1, math.ceil(len(line.points) / room))
    for start in range(0, len(line.points), each):
        group = line.points[start : start + each]
        known = [y for _, y in group if y is not None]
        yield group[0][0], line.worst(known) if known else None


def linear(low: float, high: float, name: Callable[[float], str]) -> Axis:
    """From `low` to `high`, which must differ; ticks at round values."""

    def ticks(room: int) -> Iterable[tuple[float, str]]:
        raw = (high - low) / room
        power = 10.0 ** math.floor(math.log10(raw))
        step = next((step * power for step in _STEPS if step * power >= raw), 10 * power)
        return [(value, name(value)) for value in _multiples(step, low, high)]

    return Axis(lambda value: (value - low) / (high - low), ticks)


def logarithmic(low: float, high: float, name: Callable[[float], str]) -> Axis:
    """From `low` to `high`, both above 0; ticks at powers of ten, and between them where there is room."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    last = max(last, first + 1)

    def ticks(room: int) -> Iterable[tuple[float, str]]:
        steps = _STEPS if (last - first) * len(_STEPS) <= 2 * room else (1,)
        values = [step * 10.0**power for power in range(first, last + 1) for step in steps]
        return [(value, name(value)) for value in values if value <= 10.0**last]

    return Axis(lambda value: (math.log10(max(value, 10.0**first)) - first) / (last - first), ticks)


def clock(start: float, end: float) -> Axis:
    """Unix seconds, named by the minutes and seconds since `start`."""

    def ticks(room: int) -> Iterable[tuple[float, str]]:
        step = next((step for step in _TIME_STEPS if (end - start) / step <= room), _TIME_STEPS[-1])
        for passed in _multiples(step, 0, end - start):
            minutes, seconds = divmod(round(passed), 60)
            yield start + passed, f"{minutes}:{seconds:02}"

    return Axis(lambda value: (value - start) / (end - start), ticks)


def nines(last: float) -> Axis:
    """Percentiles up to `last`; each further nine takes the same room."""
    decades = max(1.0, -math.log10(max(1e-12, 1 - last / 100)))

    def ticks(room: int) -> Iterable[tuple[float, str]]:
        named = [(0.0, "0%"), (50.0, "50%"), (90.0, "90%"), (99.0, "99%"), (99.9, "99.9%")]
        named += [(99.99, "99.99%"), (99.999, "99.999%"), (99.9999, "99.9999%")]
        fitting = [(value, label) for value, label in named if value <= last]
        return fitting if len(fitting) <= room else fitting[2::2]

    return Axis(lambda value: -math.log10(max(1e-12, 1 - value / 100)) / decades, ticks)


def _multiples(step: float, low: float, high: float) -> Iterable[float]:
    number = math.ceil(low / step - 1e-9)
    while number * step <= high + 1e-9 * step:
        yield number * step
        number += 1


def spark(points: Sequence[Point], high: float, title: str) -> Markup:
    """A line as high as a line of text, from 0 to `high`, without axes."""
    width, height = 140, 28
    root = ElementTree.Element("svg", viewBox=f"0 0 {width} {height}", role="img", attrib={"class": "spark"})
    ElementTree.SubElement(root, "title").text = title
    if points:
        start, length = points[0][0], max(1.0, points[-1][0] - points[0][0])
        drawn = [
            f"{(x - start) / length * width:.1f} {height - 1 - min(1.0, y / high) * (height - 2):.1f}"
            for x, y in _thinned(Line("", points), width)
            if y is not None
        ]
        ElementTree.SubElement(root, "path", {"class": "line a", "d": "M" + "L".join(drawn)})
    return Markup(ElementTree.tostring(root, encoding="unicode"))
