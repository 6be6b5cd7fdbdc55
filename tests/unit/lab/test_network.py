from __future__ import annotations

from ipaddress import IPv4Network
from typing import Any

import pytest

from c100k.lab import LabConfig
from c100k.lab.network import notrack_rules, user_of

ADDRESSES: list[dict[str, Any]] = [
    {"ifname": "lo", "addr_info": [{"local": "127.0.0.1", "prefixlen": 8}]},
    {"ifname": "eth0", "addr_info": [{"local": "192.0.2.2", "prefixlen": 24}]},
    {"ifname": "own-br", "addr_info": [{"local": "10.111.0.1", "prefixlen": 24}]},
]
ROUTES: list[dict[str, Any]] = [
    {"dst": "default", "gateway": "192.0.2.1", "dev": "eth0"},
    {"dst": "10.111.0.0/24", "dev": "own-br"},
    {"dst": "10.200.0.0/16", "dev": "vpn0"},
    {"type": "blackhole", "dst": "10.201.0.5"},
]


@pytest.mark.parametrize(
    ("subnet", "user"),
    [
        ("10.111.0.0/24", ""),
        ("192.0.2.128/25", "interface eth0 (192.0.2.2/24)"),
        ("10.200.7.0/24", "the route 10.200.0.0/16 through vpn0"),
        ("10.201.0.0/24", "the route 10.201.0.5 through blackhole"),
        ("10.0.0.0/8", "the route 10.200.0.0/16 through vpn0"),
    ],
)
def test_who_uses_a_subnet(subnet: str, user: str) -> None:
    assert user_of(IPv4Network(subnet), "own-br", ADDRESSES, ROUTES) == user


def test_another_labs_bridge_is_a_user() -> None:
    assert user_of(IPv4Network("10.111.0.0/24"), "other-br", ADDRESSES, ROUTES) == "interface own-br (10.111.0.1/24)"


def test_only_what_goes_from_node_to_node_is_kept_out_of_conntrack() -> None:
    rules = notrack_rules(LabConfig(name="t", subnet="10.9.0.0/24"))
    assert "table bridge c100k-lab-t" in rules
    assert "ip saddr 10.9.0.11-10.9.0.14 ip daddr 10.9.0.11-10.9.0.14 notrack" in rules
    assert "10.9.0.1-" not in rules
