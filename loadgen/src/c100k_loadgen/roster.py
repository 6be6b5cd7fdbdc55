"""The connections of one worker in the order of their numbers, for whatever takes them in order."""

from __future__ import annotations

from c100k_loadgen.assignment import Assignment
from c100k_loadgen.connection import Connection, State


class Roster:
    """What is held, by its place: of connections that belong together the first, and no publishers."""

    def __init__(self, assignment: Assignment) -> None:
        self._each = assignment.plan.connections_each
        self._first = assignment.first_connection
        self._connections: list[Connection | None] = [None] * (assignment.connections // self._each)

    def __len__(self) -> int:
        """How many there should be."""
        return len(self._connections)

    def add(self, connection: Connection) -> None:
        place, other = divmod(connection.number - self._first, self._each)
        if not other and 0 <= place < len(self._connections):
            self._connections[place] = connection

    def at(self, place: int) -> Connection | None:
        """The connection at a place, if it is live."""
        connection = self._connections[place]
        return connection if connection is not None and connection.state is State.LIVE else None
