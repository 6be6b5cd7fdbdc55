"""Resource templates: `weather://{city}/today`. Level 1 of RFC 6570, the simple expansion, read backwards."""

from __future__ import annotations

import re
from urllib.parse import unquote

_VARIABLE = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_RESERVED = frozenset("/?#")


class UriTemplate:
    """A URI with variables, each of which stands for one or more characters other than `/`, `?` and `#`."""

    __slots__ = ("_pieces", "text", "variables")

    def __init__(self, text: str) -> None:
        pieces = _VARIABLE.split(text)
        self.text = text
        self.variables = tuple(pieces[1::2])
        self._pieces = pieces[::2]
        if len(set(self.variables)) != len(self.variables) or any(
            "{" in piece or "}" in piece for piece in self._pieces
        ):
            raise ValueError(f"{text!r} is not a URI template with variables like {{city}}, each named once")

    def match(self, uri: str) -> dict[str, str] | None:
        """The values of the variables in `uri`, or None when it is not of this template.

        Where there is a choice, those further left get more. A regular expression would try all choices, which takes
        the square of the length for two variables and its cube for three; this goes once from the end to the start.
        """
        if not self.variables:
            return {} if uri == self.text else None
        first, *between, end = self._pieces
        if not (uri.startswith(first) and uri.endswith(end)):
            return None
        rest, values = uri[len(first) : len(uri) - len(end)], []
        for piece in reversed(between):
            start = rest.rfind(piece, 0, max(len(rest) - 1, 0))
            if start < 0:
                return None
            values.append(rest[start + len(piece) :])
            rest = rest[:start]
        values.append(rest)
        if any(not value or not _RESERVED.isdisjoint(value) for value in values):
            return None
        return {name: unquote(value) for name, value in zip(self.variables, reversed(values), strict=True)}
