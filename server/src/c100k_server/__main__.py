"""`python -m c100k_server` is the command `c100k-server`."""

from __future__ import annotations

from c100k_server.cli import main

if __name__ == "__main__":
    main()
