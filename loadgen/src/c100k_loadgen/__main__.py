"""`python -m c100k_loadgen` is `c100k-loadgen`."""

from __future__ import annotations

from c100k_loadgen.cli import main

raise SystemExit(main())
