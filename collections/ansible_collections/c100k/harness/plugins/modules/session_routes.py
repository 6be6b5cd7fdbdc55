#!/usr/bin/python
# Copyright: the c100k authors
# SPDX-License-Identifier: Apache-2.0
"""Sessions of one node, reached from the others."""

from __future__ import annotations

DOCUMENTATION = r"""
module: session_routes
short_description: Reach a session of one node from every other node
version_added: 0.1.0
description:
  - For each of the other nodes, opens a session at O(origin), gives it a name, and changes it.
  - A client of the other node finds the name, and sends it a message, which the client of the session must get.
  - Then the session goes on at the other node by C(c100k/resume), and is changed again; both changes must be there.
  - A session that could not be reached is told in the result, and no error.
author:
  - The c100k authors (@c100k)
options:
  origin:
    description: The node whose sessions are reached.
    type: dict
    required: true
    suboptions: &node
      name:
        description: What the node is called.
        type: str
        required: true
      address:
        description: Its address.
        type: str
        required: true
      port:
        description: Its port for clients over TCP.
        type: int
        required: true
  nodes:
    description: The nodes from which they are reached.
    type: list
    elements: dict
    required: true
    suboptions: *node
  protocol:
    description: The version of the Model Context Protocol that is spoken.
    type: str
    default: "2025-11-25"
  timeout_s:
    description: Seconds that each answer may take.
    type: float
    default: 10
attributes:
  check_mode:
    description: Does nothing else than without it; the sessions end by their lease.
    support: full
  diff_mode:
    description: There is no difference to show.
    support: none
"""

EXAMPLES = r"""
- name: Reach sessions of alpha from beta and gamma
  c100k.harness.session_routes:
    origin: {name: alpha, address: 192.0.2.11, port: 7000}
    nodes:
      - {name: beta, address: 192.0.2.12, port: 7000}
      - {name: gamma, address: 192.0.2.13, port: 7000}
"""

RETURN = r"""
routes:
  description: One for each of the nodes. The problem is null where the session was reached with all that it had.
  returned: success
  type: list
  elements: dict
  sample:
    - {origin: alpha, node: beta, message_ms: 3.4, resume_ms: 2.1, problem: null}
"""

import json
import socket
import time
import uuid

from ansible.module_utils.basic import AnsibleModule


class RouteError(Exception):
    """A node did not answer as it should."""


class Client:
    """One connection to a node: a JSON-RPC message a line."""

    def __init__(self, node, timeout_s):
        self._name = node["name"]
        self._socket = socket.create_connection((node["address"], node["port"]), timeout_s)
        self._file = self._socket.makefile("rb")
        self._last_id = 0

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        self._file.close()
        self._socket.close()

    def notify(self, method):
        self._send({"method": method})

    def request(self, method, params):
        """The result of a request. Raises RouteError."""
        self._last_id += 1
        self._send({"id": self._last_id, "method": method, "params": params})
        while True:
            line = self._file.readline()
            if not line.endswith(b"\n"):
                raise RouteError(f"{self._name} closed the connection instead of answering {method}")
            answer = json.loads(line)
            if answer.get("id") != self._last_id:
                continue  # a notification
            if "error" in answer:
                raise RouteError(f"{self._name} answered {method} with: {answer['error']['message']}")
            return answer["result"]

    def await_message(self):
        """The next message that somebody sent to the session. Raises RouteError, OSError."""
        while True:
            line = self._file.readline()
            if not line.endswith(b"\n"):
                raise RouteError(f"{self._name} closed the connection instead of passing on the message")
            told = json.loads(line)
            if told.get("method") == "notifications/c100k/message":
                return told["params"]["message"]

    def increment(self, operation):
        """The counter of the session after this operation. Raises RouteError."""
        result = self.request("tools/call", {"name": "increment", "arguments": {"operation": operation}})
        if "structuredContent" not in result:
            raise RouteError(f"{self._name} could not count: {json.dumps(result)[:200]}")
        return result["structuredContent"]["n"]

    def _send(self, message):
        self._socket.sendall(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")


def begin(client, protocol, capabilities):
    """Open a session with these experimental capabilities, and return the result's `_meta`."""
    hello = {
        "protocolVersion": protocol,
        "capabilities": {"experimental": capabilities},
        "clientInfo": {"name": "c100k.harness.session_routes", "version": "1"},
    }
    meta = client.request("initialize", hello).get("_meta", {})
    client.notify("notifications/initialized")
    return meta


def route(origin, node, protocol, timeout_s):
    """How long it took to reach a session of `origin` from `node`, and to go on with it there, in milliseconds.

    Raises RouteError, OSError.
    """
    with Client(origin, timeout_s) as client:
        session_id = begin(client, protocol, {"c100k/resume": {}}).get("c100k/sessionId")
        if session_id is None:
            raise RouteError("the session is not stored; does the server run with --state redis?")
        client.increment(1)
        name = f"c100k-harness-{uuid.uuid4().hex}"
        client.request("c100k/registry/register", {"name": name})
        message_ms = send(node, name, client, protocol, timeout_s)
        # The first connection is still open: the session is taken from a node that lives.
        with Client(node, timeout_s) as other:
            began = time.monotonic()
            other.request("c100k/resume", {"sessionId": session_id})
            resume_ms = (time.monotonic() - began) * 1000
            count = other.increment(2)
    if count != 2:
        raise RouteError(f"{node['name']} counts {count} where the session has counted 2")
    return round(message_ms, 3), round(resume_ms, 3)


def send(node, name, receiver, protocol, timeout_s):
    """How long a message took from a client of `node` to the one that has the name. Raises RouteError, OSError."""
    with Client(node, timeout_s) as sender:
        begin(sender, protocol, {})
        if not sender.request("c100k/registry/find", {"name": name})["found"]:
            raise RouteError(f"{node['name']} does not find the name of the session")
        began = time.monotonic()
        sender.request("c100k/registry/route", {"name": name, "message": name})
        if receiver.await_message() != name:
            raise RouteError("the client of the session got another message")
        return (time.monotonic() - began) * 1000


def main():
    node = {
        "name": {"type": "str", "required": True},
        "address": {"type": "str", "required": True},
        "port": {"type": "int", "required": True},
    }
    module = AnsibleModule(
        argument_spec={
            "origin": {"type": "dict", "required": True, "options": node},
            "nodes": {"type": "list", "elements": "dict", "required": True, "options": node},
            "protocol": {"type": "str", "default": "2025-11-25"},
            "timeout_s": {"type": "float", "default": 10},
        },
        supports_check_mode=True,
    )
    given = module.params
    routes = []
    for other in given["nodes"]:
        message_ms = resume_ms = problem = None
        try:
            message_ms, resume_ms = route(given["origin"], other, given["protocol"], given["timeout_s"])
        except (OSError, ValueError, KeyError, RouteError) as error:
            problem = str(error) or type(error).__name__
        routes.append(
            {
                "origin": given["origin"]["name"],
                "node": other["name"],
                "message_ms": message_ms,
                "resume_ms": resume_ms,
                "problem": problem,
            }
        )
    module.exit_json(changed=False, routes=routes)


if __name__ == "__main__":
    main()
