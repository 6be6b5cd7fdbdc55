"""Keys, and the files in a machine's own file system that make it the node it is."""

from __future__ import annotations

import uuid
from pathlib import Path

from c100k.lab.commands import run
from c100k.lab.config import LabConfig
from c100k.lab.state import write_atomically, write_if_changed

HOST_KEY = "ssh_host_ed25519_key"


def ensure_key(path: Path, comment: str) -> str:
    """Make the key pair unless it is complete; returns the public half."""
    public = path.with_name(path.name + ".pub")
    # ssh-keygen writes the public half last: without it the pair was cut short.
    if not (path.exists() and public.exists() and public.stat().st_size > 0):
        path.unlink(missing_ok=True)
        public.unlink(missing_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(path))
    return public.read_text().strip()


def ensure_controller_files(config: LabConfig) -> None:
    """The lab's key pair, a host key for each node, and what `ssh` needs to reach them without a question."""
    ensure_key(config.private_key, f"c100k lab {config.name}")
    host_keys = {node: ensure_key(config.node_dir(node) / HOST_KEY, config.machine(node)) for node in config.nodes}
    known_hosts = "".join(
        f"{node},{config.address(node)} {' '.join(key.split()[:2])}\n" for node, key in host_keys.items()
    )
    write_if_changed(config.known_hosts, known_hosts)
    write_if_changed(config.ssh_config, ssh_config_text(config))


def ssh_config_text(config: LabConfig) -> str:
    hosts = "".join(
        f"Host {node} {config.address(node)}\n    HostName {config.address(node)}\n\n" for node in config.nodes
    )
    everyone = " ".join(f"{node} {config.address(node)}" for node in config.nodes)
    return f"""\
# Written by `c100k lab up`: ssh -F {config.ssh_config} {config.nodes[0]}
{hosts}Host {everyone}
    User root
    IdentityFile "{config.private_key}"
    IdentitiesOnly yes
    BatchMode yes
    UserKnownHostsFile "{config.known_hosts}"
    GlobalKnownHostsFile /dev/null
    StrictHostKeyChecking yes
    HostKeyAlgorithms ssh-ed25519
    UpdateHostKeys no
    ConnectTimeout 10
"""


def hosts_text(config: LabConfig, node: str) -> str:
    lines = [f"{config.address(other)}\t{other}" for other in config.nodes]
    return "\n".join(["127.0.0.1\tlocalhost", "::1\tlocalhost", f"{config.controller_address}\tcontroller", *lines, ""])


def network_text(config: LabConfig, node: str) -> str:
    """systemd.network(5) for the machine's end of its link; no gateway, a lab has no way out."""
    return f"""\
[Match]
Name=host0

[Network]
Address={config.address(node)}/{config.network.prefixlen}
LinkLocalAddressing=no
IPv6AcceptRA=no
LLDP=no
"""


def write_node_files(config: LabConfig, node: str) -> None:
    """Make the mounted file system of a machine that is not running this node's. What is right is left alone."""
    root = config.root(node)
    write_if_changed(root / "etc/hostname", f"{node}\n")
    write_if_changed(root / "etc/hosts", hosts_text(config, node))
    write_if_changed(root / "etc/resolv.conf", "# A lab machine has no way out: names come from /etc/hosts.\n")
    write_if_changed(root / "etc/systemd/network/10-lab.network", network_text(config, node))
    write_if_changed(
        root / "etc/ssh/sshd_config.d/lab.conf",
        f"HostKey /etc/ssh/{HOST_KEY}\nPasswordAuthentication no\nUseDNS no\n",
    )
    host_key = config.node_dir(node) / HOST_KEY
    write_if_changed(root / "etc/ssh" / HOST_KEY, host_key.read_text(), 0o600)
    (root / "root/.ssh").mkdir(mode=0o700, exist_ok=True)
    public = config.private_key.with_name(config.private_key.name + ".pub").read_text()
    write_if_changed(root / "root/.ssh/authorized_keys", public, 0o600)
    machine_id = root / "etc/machine-id"
    if not machine_id.exists() or len(machine_id.read_text().strip()) != 32:
        write_atomically(machine_id, uuid.uuid4().hex + "\n", 0o444)
