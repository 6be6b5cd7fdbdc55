"""Where a key lives: https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/#hash-tags."""

from __future__ import annotations

from binascii import crc_hqx

SLOTS = 16384


def key_slot(key: bytes) -> int:
    """The hash slot of a key; of its first `{tag}` if it has one that is not empty."""
    opening = key.find(b"{")
    if opening >= 0:
        closing = key.find(b"}", opening + 1)
        if closing > opening + 1:
            key = key[opening + 1 : closing]
    # The CRC16 of the specification is the one that XMODEM uses, as does this function of the standard library.
    return crc_hqx(key, 0) % SLOTS


def even_keys(prefix: str, count: int) -> tuple[str, ...]:
    """One key in each of `count` equal parts of the slots, so that masters have about as many of them as slots."""
    found: dict[int, str] = {}
    number = 0
    while len(found) < count:
        key = f"{prefix}{number}"
        found.setdefault(key_slot(key.encode()) * count // SLOTS, key)
        number += 1
    return tuple(found[part] for part in range(count))
