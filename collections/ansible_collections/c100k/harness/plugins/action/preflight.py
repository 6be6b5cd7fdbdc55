# Copyright: the c100k authors
# SPDX-License-Identifier: Apache-2.0
"""Judges whether a run fits its hosts: one table, and all problems at once."""

from __future__ import annotations

import contextlib

from ansible_collections.c100k.harness.plugins.plugin_utils.controller import ControllerAction

with contextlib.suppress(ImportError):
    from c100k import capacity

OLDEST_PYTHON = (3, 11)
COLUMNS = ("host", "reachable", "clock offset", "memory", "file limit", "cores", "python", "ports", "verdict")


class ActionModule(ControllerAction):
    ARGUMENTS = {
        "results": {"type": "dict", "required": True},
        "servers": {"type": "list", "elements": "str", "required": True},
        "loadgens": {"type": "list", "elements": "str", "required": True},
        "connections": {"type": "int", "required": True},
        "clock_offset_max_s": {"type": "float", "default": 0.1},
    }

    def act(self, arguments, task_vars):
        by_host = {
            name: host_problems(name, found, arguments["clock_offset_max_s"])
            for name, found in arguments["results"].items()
        }
        facts = {
            name: {**found["host"], "name": name} for name, found in arguments["results"].items() if "host" in found
        }
        problems = [problem for found in by_host.values() for problem in found]
        # What does not fit is only worth telling for hosts that are known: a host that is down needs no arithmetic.
        if all(name in facts for name in [*arguments["servers"], *arguments["loadgens"]]):
            problems += capacity.problems(
                connections=arguments["connections"],
                servers=[measured(facts[name]) for name in arguments["servers"]],
                loadgens=[measured(facts[name]) for name in arguments["loadgens"]],
            )
        table = draw([row(name, found, by_host[name], problems) for name, found in arguments["results"].items()])
        self._display.display(f"\n{table}\n")
        if not problems:
            return {"changed": False}
        message = "\n".join(["The hosts are not fit for this run; nothing was changed.", *problems])
        return {"changed": False, "failed": True, "msg": message}


def host_problems(name, found, clock_offset_max_s):
    """What keeps one host from taking part, whatever the load: one sentence each."""
    if "host" not in found:
        reason = str(found.get("msg", "no answer")).strip().rstrip(".")
        what = "cannot be reached" if found.get("unreachable") else "could not be looked at"
        return [f"{name}: {what}: {reason}."]
    host, problems = found["host"], []
    if tuple(int(part) for part in host["python"].split(".")) < OLDEST_PYTHON:
        oldest = ".".join(map(str, OLDEST_PYTHON))
        problems.append(
            f"{name}: has Python {host['python']}, but {oldest} or newer is needed; "
            "install it and set ansible_python_interpreter."
        )
    elif not host["venv"]:
        problems.append(
            f"{name}: its Python cannot make virtual environments; type `apt-get install python3-venv` there."
        )
    if host["systemd"] is None:
        problems.append(
            f"{name}: systemd is not running, so no service can be started; use a host that booted with systemd."
        )
    elif host["nofile"] is None:
        problems.append(
            f"{name}: the file limit of a service could not be measured; is systemd-run allowed (root, or become)?"
        )
    error_s = host["clock_error_s"]
    if abs(host["clock_offset_s"]) - error_s > clock_offset_max_s:
        problems.append(
            f"{name}: its clock is {host['clock_offset_s']:+.3f} s off the controller's "
            f"(give or take {error_s:.3f} s), "
            f"but at most {clock_offset_max_s:g} s may be; let chrony or systemd-timesyncd set it."
        )
    problems += [
        f"{name}: port {port} is in use by {holder}; stop that, or choose another port."
        for port, holder in host["busy_ports"].items()
    ]
    return problems


def measured(host):
    """Facts for the arithmetic: a limit that could not be measured is reported already and must not be guessed."""
    return {**host, "nofile": host["nofile"] or 0}


def row(name, found, own, problems):
    """One host as cells."""
    count = len({*own, *(problem for problem in problems if problem.startswith(f"{name}:"))})
    verdict = "ok" if not count else "1 problem" if count == 1 else f"{count} problems"
    if "host" not in found:
        return (name, "no" if found.get("unreachable") else "yes", *["-"] * 6, verdict)
    host = found["host"]
    return (
        name,
        "yes",
        f"{host['clock_offset_s'] * 1000:+.0f} ± {host['clock_error_s'] * 1000:.0f} ms",
        f"{host['memory_available_bytes'] / 2**30:.1f} GiB",
        "unknown" if host["nofile"] is None else f"{host['nofile']:,}",
        str(host["cores"]),
        host["python"],
        "free" if not host["busy_ports"] else "busy: " + " ".join(host["busy_ports"]),
        verdict,
    )


def draw(rows):
    """Cells under the names of their columns, aligned."""
    widths = [max(len(cells[number]) for cells in [COLUMNS, *rows]) for number in range(len(COLUMNS))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()
        for cells in [COLUMNS, *rows]
    ]
    return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:]])
