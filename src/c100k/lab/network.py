"""The lab's private bridge, who else uses its addresses, and keeping its traffic out of connection tracking."""

from __future__ import annotations

import json
import socket
from contextlib import suppress
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

from c100k.lab.commands import run
from c100k.lab.config import LabConfig
from c100k.lab.errors import AddressInUseError, LinkInUseError

CONNTRACK_COUNT = Path("/proc/sys/net/netfilter/nf_conntrack_count")


def _ip(*arguments: str) -> list[dict[str, Any]]:
    answer: list[dict[str, Any]] = json.loads(run("ip", "-json", *arguments) or "[]")
    return answer


def links() -> dict[str, str]:
    """Name -> hardware address of every link."""
    return {link["ifname"]: link.get("address", "") for link in _ip("link", "show")}


def bridge_exists(config: LabConfig) -> bool:
    """Whether this lab's own bridge exists; a link of that name with another hardware address is someone else's."""
    return links().get(config.bridge) == config.bridge_mac


def ports(config: LabConfig) -> list[str]:
    return [link["ifname"] for link in _ip("link", "show", "master", config.bridge)] if bridge_exists(config) else []


def user_of(
    network: IPv4Network, own_bridge: str, addresses: list[dict[str, Any]], routes: list[dict[str, Any]]
) -> str:
    """Who uses addresses of the network, as a phrase, or nothing. The lists are those of `ip -json`."""
    for link in addresses:
        for address in link.get("addr_info", []):
            other = IPv4Network(f"{address['local']}/{address['prefixlen']}", strict=False)
            if link["ifname"] != own_bridge and other.overlaps(network):
                return f"interface {link['ifname']} ({address['local']}/{address['prefixlen']})"
    for route in routes:
        if route["dst"] == "default" or route.get("dev") == own_bridge:
            continue
        if IPv4Network(route["dst"], strict=False).overlaps(network):
            return f"the route {route['dst']} through {route.get('dev', route.get('type', 'another host'))}"
    return ""


def check_addresses(config: LabConfig) -> None:
    """Raises AddressInUseError, or LinkInUseError when the bridge's name is taken."""
    if config.bridge in links() and not bridge_exists(config):
        raise LinkInUseError(config.bridge)
    user = user_of(
        config.network, config.bridge, _ip("-4", "address", "show"), _ip("-4", "route", "show", "table", "all")
    )
    if user:
        raise AddressInUseError(config.subnet, user)


def ensure_bridge(config: LabConfig) -> None:
    if not bridge_exists(config):
        # The hardware address comes with the link: so it can be told from others from its first moment, and does not
        # change when machines join and leave.
        run("ip", "link", "add", "name", config.bridge, "address", config.bridge_mac, "type", "bridge")
    address = f"{config.controller_address}/{config.network.prefixlen}"
    run("ip", "address", "replace", address, "broadcast", "+", "dev", config.bridge)
    run("ip", "link", "set", config.bridge, "up")


def remove_bridge(config: LabConfig) -> None:
    for port in ports(config):
        if port.startswith("vb-"):
            run("ip", "link", "delete", port)
    if bridge_exists(config):
        run("ip", "link", "delete", config.bridge)


def conntrack_is_active() -> bool:
    """Whether this network namespace tracks connections: then a datagram on loopback leaves an entry."""
    if not CONNTRACK_COUNT.exists():
        return False
    # Without a loopback that is up there is no entry to be made, but there may be others.
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, suppress(OSError):
        probe.sendto(b"c100k", ("127.0.0.1", 9))
    return int(CONNTRACK_COUNT.read_text()) > 0


def notrack_table(config: LabConfig) -> str:
    return f"c100k-lab-{config.name}"


def notrack_rules(config: LabConfig) -> str:
    """Only what goes from node to node: a firewall of the host may need to track what the controller itself sends."""
    first, last = config.address(config.nodes[0]), config.address(config.nodes[-1])
    return f"""\
table bridge {notrack_table(config)} {{
    chain nodes {{
        type filter hook prerouting priority -300
        ip saddr {first}-{last} ip daddr {first}-{last} notrack
    }}
}}
"""


def notrack_exists(config: LabConfig) -> bool:
    tables = json.loads(run("nft", "--json", "list", "tables"))["nftables"]
    return any(
        entry.get("table", {}).get("family") == "bridge" and entry["table"].get("name") == notrack_table(config)
        for entry in tables
    )


def ensure_notrack(config: LabConfig) -> bool:
    """Keep the machines' traffic out of the host's connection table when it has one; true when that was needed."""
    if not conntrack_is_active():
        return False
    if not notrack_exists(config):
        run("nft", "--file", "-", stdin=notrack_rules(config))
    return True


def remove_notrack(config: LabConfig) -> None:
    if notrack_exists(config):
        run("nft", "delete", "table", "bridge", notrack_table(config))
