from __future__ import annotations

from pathlib import Path

from c100k.lab.cgroups import hierarchies
from c100k.lab.mounts import Mount, parse_mountinfo

MOUNTINFO = r"""
21 28 0:19 / /proc rw,relatime shared:5 - proc proc rw
30 24 0:26 / /sys/fs/cgroup/systemd rw,relatime shared:9 master:1 - cgroup cgroup rw,xattr,name=systemd
31 24 0:27 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw,nsdelegate
32 24 0:28 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
90 28 0:50 / /srv/a\040b/root rw,relatime - overlay t-node1 rw,lowerdir=/image,upperdir=/u,workdir=/w
"""


def test_mountinfo_with_and_without_optional_fields_and_with_escaped_blanks() -> None:
    mounts = parse_mountinfo(MOUNTINFO.strip())
    assert mounts[0] == Mount(Path("/proc"), "proc", ("rw",))
    assert mounts[-1].target == Path("/srv/a b/root")
    assert mounts[-1].kind == "overlay"
    assert "upperdir=/u" in mounts[-1].super_options


def test_a_hybrid_host_has_two_hierarchies_that_systemd_uses() -> None:
    assert hierarchies(parse_mountinfo(MOUNTINFO.strip())) == [
        Path("/sys/fs/cgroup/systemd"),
        Path("/sys/fs/cgroup/unified"),
    ]


def test_a_unified_host_has_one() -> None:
    line = "30 24 0:26 / /sys/fs/cgroup rw,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate"
    assert hierarchies(parse_mountinfo(line)) == [Path("/sys/fs/cgroup")]
