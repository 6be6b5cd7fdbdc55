"""What an app remembers of a session: JSON values by name."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from typing import Any

import msgspec

from c100k_server.errors import ToolError

VALUES_MAX = 128
NAME_MAX_BYTES = 256
VALUE_MAX_BYTES = 64 * 1024

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class SessionValues(MutableMapping[str, Any]):
    """Values are copied in and out: to change a list, assign it again. Thread-safe.

    Raises `ToolError` for a value that is too large, and for one too many.
    """

    __slots__ = ("_encoded", "changed")

    def __init__(self, encoded: dict[str, bytes] | None = None) -> None:
        self._encoded = encoded if encoded is not None else {}
        # What has yet to be written by whoever keeps it: encoded, or None when it is gone.
        self.changed: dict[str, bytes | None] = {}

    def __getitem__(self, name: str) -> Any:
        return _decode(self._encoded[name])

    def __setitem__(self, name: str, value: Any) -> None:
        encoded = _encode(value)
        if len(encoded) > VALUE_MAX_BYTES or len(name.encode()) > NAME_MAX_BYTES:
            raise ToolError(f"a value of a session may have {VALUE_MAX_BYTES} bytes as JSON, its name {NAME_MAX_BYTES}")
        if len(self._encoded) >= VALUES_MAX and name not in self._encoded:
            raise ToolError(f"a session may have {VALUES_MAX} values")
        self._encoded[name] = encoded
        self.changed[name] = encoded

    def __delitem__(self, name: str) -> None:
        del self._encoded[name]
        self.changed[name] = None

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._encoded))

    def __len__(self) -> int:
        return len(self._encoded)
