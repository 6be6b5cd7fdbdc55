"""`python -m c100k` is the command line."""

from __future__ import annotations

import sys

from c100k.cli import main

sys.exit(main())
