"""What a lab is called, where it lives and which address each machine has; everything else is derived from this."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from c100k.lab.errors import LabConfigError

STATE_ROOT = Path("/var/lib/c100k/lab")
CACHE_ROOT = Path("/var/cache/c100k")

# The kernel's IFNAMSIZ is 16 with the terminating zero.
LINK_NAME_LIMIT = 15
BRIDGE_SUFFIX = "-br"
NODE_ADDRESS_OFFSET = 11

# No hyphen in a lab's name: `<lab>-<node>` must be readable in one way only.
_LAB_NAME = re.compile(r"[a-z][a-z0-9]*")
_NODE_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")


@dataclass(frozen=True)
class LabConfig:
    """One lab. The controller is the bridge at address 1 of the subnet, the first node has address 11, the next 12.

    An empty `state_dir` means `/var/lib/c100k/lab/<name>`. `cache_dir` holds images, which labs share.
    Raises LabConfigError for what cannot be used.
    """

    name: str = "c100k"
    subnet: str = "10.111.0.0/24"
    nodes: tuple[str, ...] = ("node1", "node2", "node3", "node4")
    state_dir: Path = Path()
    cache_dir: Path = CACHE_ROOT

    def __post_init__(self) -> None:
        if not _LAB_NAME.fullmatch(self.name):
            raise LabConfigError(
                f"The lab name {self.name!r} cannot be used: it needs lower-case letters and digits, a letter first."
            )
        if len(self.bridge) > LINK_NAME_LIMIT:
            raise LabConfigError(
                f"The lab name {self.name!r} is too long: its bridge {self.bridge} would have {len(self.bridge)} "
                f"characters and a link may have {LINK_NAME_LIMIT}, so use {LINK_NAME_LIMIT - len(BRIDGE_SUFFIX)} "
                "or fewer."
            )
        for node in self.nodes:
            if not _NODE_NAME.fullmatch(node):
                raise LabConfigError(
                    f"The node name {node!r} cannot be used: it needs lower-case letters, digits and hyphens, "
                    "a letter first, 32 characters or fewer."
                )
        if not self.nodes or len(set(self.nodes)) != len(self.nodes):
            raise LabConfigError("A lab needs at least one node, and every node a name of its own.")
        self._check_subnet()
        if self.state_dir == Path():
            object.__setattr__(self, "state_dir", STATE_ROOT / self.name)
        for field in ("state_dir", "cache_dir"):
            folder: Path = getattr(self, field)
            # A colon or a comma would split the options of an overlay mount, a quote the ssh configuration.
            if not folder.is_absolute() or set(str(folder)) & set(':,"\\\n'):
                raise LabConfigError(f"The folder {str(folder)!r} cannot be used: give a plain absolute path.")
            # The table of mounts knows no symbolic links.
            object.__setattr__(self, field, folder.resolve())

    def _check_subnet(self) -> None:
        try:
            network = IPv4Network(self.subnet)
        except ValueError as error:
            raise LabConfigError(f"The subnet {self.subnet!r} cannot be used: {error}.") from error
        needed = NODE_ADDRESS_OFFSET + len(self.nodes)
        if needed > network.num_addresses - 1:
            raise LabConfigError(
                f"The subnet {self.subnet} is too small for {len(self.nodes)} nodes: it has {network.num_addresses} "
                f"addresses and the lab needs {needed + 1}, so use a /24."
            )

    @property
    def network(self) -> IPv4Network:
        return IPv4Network(self.subnet)

    @property
    def controller_address(self) -> IPv4Address:
        return self.network[1]

    def address(self, node: str) -> IPv4Address:
        return self.network[NODE_ADDRESS_OFFSET + self.nodes.index(node)]

    @property
    def bridge(self) -> str:
        return self.name + BRIDGE_SUFFIX

    @property
    def bridge_mac(self) -> str:
        """A locally administered address made from the name: by it the lab knows its own bridge again."""
        digest = hashlib.sha256(f"c100k lab {self.name}".encode()).digest()
        return ":".join(f"{byte:02x}" for byte in b"\x02" + digest[:5])

    @property
    def ssh_config(self) -> Path:
        return self.state_dir / "ssh_config"

    @property
    def known_hosts(self) -> Path:
        return self.state_dir / "known_hosts"

    @property
    def private_key(self) -> Path:
        return self.state_dir / "id_ed25519"

    @property
    def nodes_dir(self) -> Path:
        return self.state_dir / "nodes"

    def node_dir(self, node: str) -> Path:
        return self.nodes_dir / node

    def root(self, node: str) -> Path:
        """Where the node's file system is mounted."""
        return self.node_dir(node) / "root"

    def console_log(self, node: str) -> Path:
        return self.node_dir(node) / "console.log"

    def machine(self, node: str) -> str:
        return f"{self.name}-{node}"
