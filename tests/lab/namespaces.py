"""Four hosts as network namespaces on a bridge: all of a network that a partition needs, and made in a moment."""

from __future__ import annotations

import importlib.util
import subprocess
from contextlib import suppress
from pathlib import Path
from types import ModuleType

from redis_cluster import Place

NETWORK = "10.116.0"
BRIDGE = "c100kpart"
FAULT = Path(__file__).parents[2] / "collections/ansible_collections/c100k/harness/plugins/modules/fault.py"
TABLE = "c100k_fault_partition"


def address(host: int) -> str:
    return f"{NETWORK}.{11 + host}"


def place(host: int) -> Place:
    return Place(address(host), ("ip", "netns", "exec", f"{BRIDGE}{host}"))


def set_up(hosts: int) -> None:
    take_down(hosts)
    run("ip", "link", "add", BRIDGE, "type", "bridge")
    run("ip", "address", "add", f"{NETWORK}.1/24", "dev", BRIDGE)
    run("ip", "link", "set", BRIDGE, "up")
    for host in range(hosts):
        name = f"{BRIDGE}{host}"
        run("ip", "netns", "add", name)
        run("ip", "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name)
        run("ip", "link", "set", name, "master", BRIDGE, "up")
        run("ip", "-n", name, "link", "set", "lo", "up")
        run("ip", "-n", name, "link", "set", "eth0", "up")
        run("ip", "-n", name, "address", "add", f"{address(host)}/24", "dev", "eth0")


def take_down(hosts: int) -> None:
    """A namespace lets go of its link some time after it is deleted, so links are deleted first: their names are free
    again at once."""
    for host in range(hosts):
        name = f"{BRIDGE}{host}"
        for command in (("ip", "link", "delete", name), ("ip", "netns", "delete", name)):
            with suppress(subprocess.CalledProcessError):
                run(*command)
    with suppress(subprocess.CalledProcessError):
        run("ip", "link", "delete", BRIDGE)


def cut_off(host: int, ports: list[int]) -> None:
    """Drop what comes to a host and leaves it on these ports, by the rules of the module `fault`."""
    run(*place(host).enter, "nft", "-f", "-", given=fault_module().ruleset(TABLE, [], ports))


def heal(host: int) -> None:
    run(*place(host).enter, "nft", "delete", "table", "inet", TABLE)


def fault_module() -> ModuleType:
    spec = importlib.util.spec_from_file_location("c100k_fault", FAULT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(*command: str, given: str | None = None) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True, input=given, timeout=20)
