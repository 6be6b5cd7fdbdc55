"""What a worker remembers of names, bounded by its size: who was not asked for longest goes first."""

from __future__ import annotations

from collections import OrderedDict

from c100k_server.registry.entry import Entry

# Room for the names of 100,000 sessions.
CACHE_MAX_BYTES = 64 * 2**20
# What an entry costs beside its name and value, rounded up.
ENTRY_BYTES = 512


class LookupCache:
    """Entries by name; None for a name that nobody has."""

    __slots__ = ("_entries", "_maximum", "_size")

    def __init__(self, maximum_bytes: int = CACHE_MAX_BYTES) -> None:
        self._entries: OrderedDict[str, Entry | None] = OrderedDict()
        self._maximum = maximum_bytes
        self._size = 0

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def __getitem__(self, name: str) -> Entry | None:
        self._entries.move_to_end(name)
        return self._entries[name]

    def __setitem__(self, name: str, entry: Entry | None) -> None:
        self.discard(name)
        self._entries[name] = entry
        self._size += _size(name, entry)
        while self._size > self._maximum:
            oldest, dropped = self._entries.popitem(last=False)
            self._size -= _size(oldest, dropped)

    def discard(self, name: str) -> None:
        if name in self._entries:
            self._size -= _size(name, self._entries.pop(name))

    def clear(self) -> None:
        self._entries.clear()
        self._size = 0


def _size(name: str, entry: Entry | None) -> int:
    return ENTRY_BYTES + 4 * len(name) + (len(bytes(entry.record.value)) if entry is not None else 0)
