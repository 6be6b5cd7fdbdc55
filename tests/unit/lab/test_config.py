from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from c100k.lab import LabConfig
from c100k.lab.config import LINK_NAME_LIMIT
from c100k.lab.errors import LabConfigError


def test_the_default_lab_is_four_nodes_from_address_11() -> None:
    config = LabConfig()
    assert [str(config.address(node)) for node in config.nodes] == [f"10.111.0.{11 + k}" for k in range(4)]
    assert str(config.controller_address) == "10.111.0.1"
    assert config.state_dir == Path("/var/lib/c100k/lab/c100k")
    assert config.root("node2") == Path("/var/lib/c100k/lab/c100k/nodes/node2/root")


@given(
    network=st.integers(0, 2**32 - 1).flatmap(
        lambda value: st.integers(8, 26).map(lambda prefix: IPv4Network((value, prefix), strict=False))
    ),
    count=st.integers(1, 40),
)
def test_every_address_is_distinct_and_inside_the_subnet(network: IPv4Network, count: int) -> None:
    config = LabConfig(subnet=str(network), nodes=tuple(f"n{k}" for k in range(count)))
    addresses = [config.controller_address, *(config.address(node) for node in config.nodes)]
    assert len(set(addresses)) == count + 1
    assert all(address in network for address in addresses)
    assert not {network.network_address, network.broadcast_address} & set(addresses)


def test_the_last_address_that_fits_is_before_the_broadcast_address() -> None:
    nodes = ("a", "b", "c", "d")
    assert LabConfig(subnet="10.0.0.0/28", nodes=nodes).address("d") == IPv4Address("10.0.0.14")
    with pytest.raises(LabConfigError, match="too small for 5 nodes"):
        LabConfig(subnet="10.0.0.0/28", nodes=(*nodes, "e"))


def test_two_labs_share_no_name() -> None:
    one, other = LabConfig(name="one"), LabConfig(name="other")
    assert one.bridge != other.bridge
    assert one.bridge_mac != other.bridge_mac
    assert one.machine("node1") != other.machine("node1")
    assert one.state_dir != other.state_dir


def test_the_bridge_has_a_locally_administered_unicast_address() -> None:
    assert int(LabConfig().bridge_mac[:2], 16) & 0b11 == 0b10


@pytest.mark.parametrize("name", ["", "Lab", "my-lab", "1lab", "a/b", "../x", "lab\n"])
def test_a_name_that_cannot_be_used_is_refused(name: str) -> None:
    with pytest.raises(LabConfigError, match="cannot be used"):
        LabConfig(name=name)


def test_a_name_too_long_for_an_interface_is_refused_with_the_length_that_fits() -> None:
    assert len(LabConfig(name="a" * 12).bridge) == LINK_NAME_LIMIT
    with pytest.raises(LabConfigError, match=r"16 characters and a link may have 15, so use 12 or fewer"):
        LabConfig(name="a" * 13)


@pytest.mark.parametrize("nodes", [(), ("a", "a"), ("Node1",), ("a b",), ("../x",), ("n" * 33,)])
def test_nodes_that_cannot_be_used_are_refused(nodes: tuple[str, ...]) -> None:
    with pytest.raises(LabConfigError):
        LabConfig(nodes=nodes)


@pytest.mark.parametrize("subnet", ["", "10.111.0.5/24", "10.111.0.0/33", "fd00::/64"])
def test_a_subnet_that_cannot_be_used_is_refused(subnet: str) -> None:
    with pytest.raises(LabConfigError, match="cannot be used"):
        LabConfig(subnet=subnet)


@pytest.mark.parametrize("folder", ["relative", "/a:b", "/a,b", '/a"b'])
def test_a_folder_that_an_overlay_cannot_have_is_refused(folder: str) -> None:
    with pytest.raises(LabConfigError, match="plain absolute path"):
        LabConfig(cache_dir=Path(folder))


def test_symbolic_links_are_resolved_as_the_table_of_mounts_has_none(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    assert LabConfig(state_dir=tmp_path / "link/lab").state_dir == (tmp_path / "real/lab").resolve()
