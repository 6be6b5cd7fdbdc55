"""The programs of Ansible, with the collection as it is here."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
LIMIT_S = 180


def run(program: str, home: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """What `ansible` or `ansible-playbook` did in the folder `home`, where it keeps its own files, too."""
    return subprocess.run(
        [str(Path(sys.executable).with_name(program)), *arguments],
        cwd=home,
        env={
            **os.environ,
            "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections"),
            "ANSIBLE_HOME": str(home / "home"),
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "LC_ALL": "C.UTF-8",
            **environment,
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT_S,
    )
