"""How an operation on Redis can end without a reply."""

from __future__ import annotations


class CommandError(Exception):
    """Redis refused a command for what it says, not for the state of the cluster: a defect of the caller."""


class StateUnavailableError(Exception):
    """The operation could not be done in time. It has not been done, and may be asked for again."""


class OutcomeUnknownError(StateUnavailableError):
    """The operation was sent, and nobody can say that it will last: it may have been done, once."""
