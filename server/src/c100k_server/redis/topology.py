"""Which master has which slots, as the answer to `CLUSTER SLOTS` says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from c100k_server.config import Address


class SlotRange(NamedTuple):
    """Slots `first` to `last` are those of `nodes[0]`; the others are its replicas."""

    first: int
    last: int
    nodes: tuple[Address, ...]


def read_slots(reply: Any, asked: Address) -> Iterator[SlotRange]:
    """A node that does not know its own address is where it was `asked`. Raises `ValueError` and `TypeError`."""
    for first, last, *nodes in reply:
        yield SlotRange(first, last, tuple(_address(node[0], node[1], asked) for node in nodes))


def read_redirection(message: str, asked: Address) -> tuple[int, Address]:
    """The slot, and who has it, of `MOVED 3999 127.0.0.1:6381` and `ASK …`. Raises `ValueError`."""
    _, slot, where = message.split(" ")[:3]
    host, _, port = where.rpartition(":")
    return int(slot), _address(host.encode(), int(port), asked)


def _address(host: Any, port: int, asked: Address) -> Address:
    known = host not in (None, b"", b"?")
    return Address(host.decode() if known else asked.host, port)
