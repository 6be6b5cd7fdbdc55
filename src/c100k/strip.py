"""Two small drawings for a line of a table: the values of two sides as dots, and an interval against what matters."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree

from markupsafe import Markup

_WIDTH, _HEIGHT, _EDGE = 90, 28, 6


def dots(sides: Sequence[tuple[str, Sequence[float]]], title: str) -> Markup:
    """A row of dots for each side, of this class, from the smallest value to the largest."""
    values = [value for _, side in sides for value in side]
    if not values:
        return Markup()
    low, high = min(values), max(values)
    root = _root(title)
    for row, (css, side) in enumerate(sides):
        y = _HEIGHT * (row + 0.5) / len(sides)
        _add(root, "line", "grid", x1=_EDGE, x2=_WIDTH - _EDGE, y1=y, y2=y)
        for value in side:
            _add(root, "circle", f"dot {css}", cx=_place(value, low, high), cy=y, r=4)
    return Markup(ElementTree.tostring(root, encoding="unicode"))


def interval(low: float | None, high: float | None, change: float | None, noticeable: float, title: str) -> Markup:
    """From `low` to `high` with `change` on it, before the band that is not noticeable; nothing without bounds."""
    if low is None or high is None or change is None:
        return Markup()
    reach = max(abs(low), abs(high), noticeable * 1.5) or 1.0
    root = _root(title)
    left, right = _place(-noticeable, -reach, reach), _place(noticeable, -reach, reach)
    _add(root, "rect", "unnoticed", x=left, y=2, width=round(right - left, 1), height=_HEIGHT - 4)
    middle = _place(0, -reach, reach)
    _add(root, "line", "grid", x1=middle, x2=middle, y1=2, y2=_HEIGHT - 2)
    y = _HEIGHT / 2
    _add(root, "line", "whisker", x1=_place(low, -reach, reach), x2=_place(high, -reach, reach), y1=y, y2=y)
    _add(root, "circle", "dot", cx=_place(change, -reach, reach), cy=y, r=4)
    return Markup(ElementTree.tostring(root, encoding="unicode"))


def _root(title: str) -> ElementTree.Element:
    root = ElementTree.Element("svg", {"class": "strip"}, viewBox=f"0 0 {_WIDTH} {_HEIGHT}", role="img")
    ElementTree.SubElement(root, "title").text = title
    return root


def _place(value: float, low: float, high: float) -> float:
    share = (value - low) / (high - low) if high > low else 0.5
    return round(_EDGE + share * (_WIDTH - 2 * _EDGE), 1)


def _add(root: ElementTree.Element, tag: str, css: str, **attributes: float) -> None:
    ElementTree.SubElement(root, tag, {"class": css, **{name: str(value) for name, value in attributes.items()}})
