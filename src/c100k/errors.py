"""What the controller raises. Every message is one sentence that says what is wrong and what to do."""

from __future__ import annotations


class C100KError(Exception):
    """Base of all errors that a user may see; the command line prints it and exits 2."""
