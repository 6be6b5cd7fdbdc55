"""Resource templates: `weather://{city}/today`. Level 1 of RFC 6570, the simple expansion, read backwards."""

from __future__ import annotations

import re
from urllib.parse import unquote

_VARIABLE = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")


class UriTemplate:
    """A URI with variables, each of which stands for one or more characters other than `/`, `?` and `#`."""

    __slots__ = ("_pattern", "text", "variables")

    def __init__(self, text: str) -> None:
        pieces = _VARIABLE.split(text)
        self.text = text
        self.variables = tuple(pieces[1::2])
        if len(set(self.variables)) != len(self.variables) or any(
            "{" in piece or "}" in piece for piece in pieces[::2]
        ):
            raise ValueError(f"{text!r} is not a URI template with variables like {{city}}, each named once")
        pattern = "".join(
            f"(?P<{piece}>[^/?#]+)" if position % 2 else re.escape(piece) for position, piece in enumerate(pieces)
        )
        self._pattern = re.compile(pattern)

    def match(self, uri: str) -> dict[str, str] | None:
        """The values of the variables in `uri`, or None when it is not of this template."""
        matched = self._pattern.fullmatch(uri)
        return {name: unquote(value) for name, value in matched.groupdict().items()} if matched else None
