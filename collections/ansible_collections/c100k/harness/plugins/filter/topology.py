# Copyright: the c100k authors
# SPDX-License-Identifier: Apache-2.0
"""Who generates how much load against whom, and how they find each other."""

from __future__ import annotations

from ansible.errors import AnsibleFilterError


def shares(total, count):
    """`total` in `count` whole parts that differ by at most one and sum up exactly."""
    if count < 1:
        raise AnsibleFilterError("shares: there is nobody to share among.")
    return [total * (index + 1) // count - total * index // count for index in range(count)]


def load_plan(groups, connections, rate_per_s, connections_each=1, stages=(), weights=None):
    """Each generator's part of the load, with its part of each stage, and the connections that each server must expect.

    So many connections belong together, and are never parted. Servers get them by their weight, which is 1 by default.
    """
    loadgens, servers = groups["loadgens"], groups["servers"]
    parts, expected = {}, dict.fromkeys(servers, 0)
    staged = [(stage, shares(int(stage["rate_per_s"]), len(loadgens))) for stage in stages]
    wanted = shares(connections // connections_each, len(loadgens))
    for name, own, rate in zip(loadgens, wanted, shares(rate_per_s, len(loadgens)), strict=True):
        # All load crosses the network, so nobody loads itself while there is somebody else.
        targets = [server for server in servers if server != name] or servers
        parts[name] = {
            "connections": own * connections_each,
            "rate_per_s": rate,
            "stages": [
                {"name": stage["name"], "seconds": int(stage["seconds"]), "rate_per_s": rates[len(parts)]}
                for stage, rates in staged
            ],
            "targets": targets,
            "publish_to": [],
        }
        weight_of = {target: int((weights or {}).get(target, 1)) for target in targets}
        rounds, rest = divmod(own, sum(weight_of.values()))
        for target, weight in weight_of.items():
            expected[target] += (rounds * weight + min(weight, rest)) * connections_each
    for position, server in enumerate(servers):
        # One generator publishes for each server, another one for each where they can be had.
        start = (position + 1) % len(loadgens)
        turn = [*loadgens[start:], *loadgens[:start]]
        publisher = next((name for name in turn if server in parts[name]["targets"]), None)
        if publisher is not None:
            parts[publisher]["publish_to"].append(server)
    return {"loadgens": parts, "servers": expected}


def deaths(servers, hold_s, count=3):
    """So many deaths within the hold, silent ones and others by turns, of one host after the other.

    A third of the time from one to the next the host is down, and two thirds are for its return.
    """
    parts = 3 * count + 1
    return [
        {
            "at_s": hold_s * (3 * number + 1) // parts,
            "kind": "death" if number % 2 else "silent_death",
            "host": servers[(number + 1) % len(servers)],
            "heal_after_s": max(1, hold_s // parts),
        }
        for number in range(count)
    ]


def moments(fault):
    """When a fault begins and when it ends, in seconds of the hold."""
    return [int(fault["at_s"]), int(fault["at_s"]) + int(fault["heal_after_s"])]


def address_for_peers(name, hostvars):
    return hostvars[name].get("c100k_address") or address_for_controller(name, hostvars)


def address_for_controller(name, hostvars):
    return hostvars[name].get("ansible_host") or name


def peers(names, hostvars, port):
    """Names as targets of a generator's plan."""
    return [{"name": name, "address": address_for_peers(name, hostvars), "port": int(port)} for name in names]


def endpoints(names, hostvars, port, path):
    """Names as addresses that the controller can ask over HTTP."""
    return [
        {"name": name, "url": f"http://{address_for_controller(name, hostvars)}:{int(port)}{path}"} for name in names
    ]


def host_and_port(peer):
    """A peer as `HOST:PORT`, an IPv6 address in brackets."""
    address = peer["address"]
    return f"[{address}]:{peer['port']}" if ":" in address else f"{address}:{peer['port']}"


def scrape_targets(names, hostvars, port, run_id):
    """Names as `static_configs` of a job of Prometheus, each with the labels that the rules expect."""
    return [
        {
            "targets": [host_and_port({"address": address_for_controller(name, hostvars), "port": int(port)})],
            "labels": {"host": name, "run": run_id},
        }
        for name in names
    ]


class FilterModule:
    def filters(self):
        return {
            "shares": shares,
            "load_plan": load_plan,
            "deaths": deaths,
            "moments": moments,
            "peers": peers,
            "host_and_port": host_and_port,
            "endpoints": endpoints,
            "scrape_targets": scrape_targets,
        }
