# Copyright: the c100k authors
# SPDX-License-Identifier: Apache-2.0
"""The terminal, as far as a task sees it."""

from __future__ import annotations

import contextlib
import os

with contextlib.suppress(ImportError):
    from c100k.terminal import Screen

#: Columns and lines of the terminal, in the environment of a task that is seen in one.
VARIABLE = "C100K_TERMINAL"


def seen():
    """The terminal that the task is seen in, or nothing."""
    size = os.environ.get(VARIABLE)
    return Screen(*map(int, size.split())) if size else None
