#!/usr/bin/python
# Copyright: the c100k authors
# SPDX-License-Identifier: Apache-2.0
"""Breaking a host on purpose, and mending it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: fault
short_description: Break a host on purpose, and mend it
version_added: 0.1.0
description:
  - Injects one fault into a host, proves that it took effect, and heals it again. The one way in this collection to
    break a host.
  - Before a fault is injected its healing is armed on the host itself, so that it ends by O(expiry_s) even when the
    controller is gone.
  - Traffic is dropped by an nftables table of the fault's own. Ports that are not named, of SSH and of the metrics,
    say, are not touched.
  - V(death) kills all processes of O(units) with SIGKILL, at one moment, and keeps the units down. V(silent_death)
    first drops what comes to the O(service_ports) and leaves from them, and the O(peer_ports) both ways, so that
    clients and peers are told nothing of the death, neither by a FIN nor by a RST. V(partition) drops the
    O(peer_ports) both ways and kills nothing. V(state_down) is a V(death) of what holds the state of others, on all
    its hosts at once.
author:
  - The c100k authors (@c100k)
options:
  name:
    description: Names the fault on the host, so that it can be healed.
    type: str
    default: fault
  kind:
    description: What to do to the host. Needed for O(state=injected).
    type: str
    choices: [death, silent_death, partition, state_down]
  state:
    description: Whether the host is to have the fault.
    type: str
    choices: [injected, healed]
    required: true
  units:
    description: The systemd units that die, best those first that have least to close. They are started again when the
      fault is healed.
    type: list
    elements: str
    default: []
  service_ports:
    description: TCP ports that clients of this host use.
    type: list
    elements: int
    default: []
  peer_ports:
    description: TCP ports that the hosts of the cluster use among themselves, on this host and on the others.
    type: list
    elements: int
    default: []
  expiry_s:
    description: The fault is healed by the host itself after so many seconds.
    type: int
    default: 120
  run_dir:
    description: A run directory on the controller. What was done is added to its C(faults.jsonl).
    type: path
attributes:
  check_mode:
    description: Tells whether something would change, and changes nothing.
    support: full
  diff_mode:
    description: There is no difference to show.
    support: none
notes:
  - Needs root, systemd, and nftables on the host.
"""

EXAMPLES = r"""
- name: Let a node die without a word
  c100k.harness.fault:
    state: injected
    kind: silent_death
    units: [c100k-server.service, c100k-redis@7101.service]
    service_ports: [7000]
    peer_ports: [7101, 17101]
    expiry_s: 60

- name: Let it come back
  c100k.harness.fault:
    state: healed
"""

RETURN = r"""
at:
  description: When the fault took effect, or was gone, by the host's clock in seconds since 1970.
  returned: when changed, not in check mode
  type: float
up_at:
  description: When the units had started again, by the same clock.
  returned: when healed, not in check mode
  type: float
units:
  description: The states of the units, as systemd names them.
  returned: when changed, not in check mode
  type: dict
  sample: {c100k-server.service: failed}
dropped_packets:
  description: What the fault has dropped so far.
  returned: when changed, not in check mode
  type: int
"""

import json
import os
import re
import shlex
import shutil
import signal
import time
from contextlib import contextmanager, suppress
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

FAULTS = Path("/run/c100k-fault")
DROP_INS = Path("/run/systemd/system")
# How long a unit that dies may keep the next one waiting: enough for one that has little to close.
AT_ONCE_S = 0.02
# How long systemd may take to see a killed unit dead, or to start it again.
SETTLE_S = 20.0


class Fault:
    """One fault on this host, by its name. `directory` is there as long as the fault is."""

    def __init__(self, module):
        self.module = module
        self.name = module.params["name"]
        self.directory = FAULTS / self.name
        self.table = f"c100k_fault_{self.name}"
        self.guard = f"c100k-fault-{self.name}"
        self.heal_script = self.directory / "heal"

    def inject(self):
        """Arm, break, prove."""
        parameters = self.module.params
        units = parameters["units"] if parameters["kind"] != "partition" else []
        doomed = [self.processes_of(unit) for unit in units]
        self.directory.mkdir(parents=True)
        try:
            self.arm(units, parameters["expiry_s"])
            if parameters["kind"] in ("silent_death", "partition"):
                service_ports = parameters["service_ports"] if parameters["kind"] == "silent_death" else []
                self.run(["nft", "-f", "-"], data=ruleset(self.table, service_ports, parameters["peer_ports"]))
            at = time.time()
            kill(doomed)
            states = self.wait_for(units, lambda state: state in ("failed", "inactive"), "is still alive")
        except Exception:
            # Half a fault is worse than none: what was not proven is taken back.
            self.run(["/bin/sh", str(self.heal_script)], check=False)
            raise
        return {"at": at, "units": states, "dropped_packets": self.dropped_packets()}

    def processes_of(self, unit):
        """The processes of a unit, the main one first: it would replace the others."""
        main, group = int(self.property_of(unit, "MainPID") or 0), self.property_of(unit, "ControlGroup")
        if not main:
            raise FaultError(f"{unit} has no main process that could die; start it, or leave it out of `units`.")
        return [main, *(pid for pid in processes_in(group) if pid != main)]

    def heal(self):
        """Undo, and prove that nothing is left."""
        units = json.loads((self.directory / "units.json").read_text())
        dropped = self.dropped_packets()
        self.run(["systemctl", "stop", f"{self.guard}.service"], check=False)
        self.run(["/bin/sh", str(self.heal_script)])
        at = time.time()
        states = self.wait_for(units, lambda state: state == "active", "did not start again")
        if self.tables():
            self.module.fail_json(msg=f"The nftables table {self.table} is still there; delete it with nft.")
        return {"at": at, "up_at": time.time(), "units": states, "dropped_packets": dropped}

    def arm(self, units, expiry_s):
        """See to it that systemd does not restart the units, and that the host heals itself if nobody does."""
        (self.directory / "units.json").write_text(json.dumps(units))
        for unit in units:
            drop_in = DROP_INS / f"{unit}.d" / f"{self.guard}.conf"
            drop_in.parent.mkdir(parents=True, exist_ok=True)
            drop_in.write_text("[Service]\nRestart=no\n")
        self.heal_script.write_text(heal_script(self.table, self.guard, self.directory, units))
        if units:
            self.run(["systemctl", "daemon-reload"])
        # A service that sleeps, not a timer: systemd lets timers be a minute late, and in containers more.
        sleeper = f"sleep {expiry_s}; exec /bin/sh {shlex.quote(str(self.heal_script))}"
        self.run(["systemd-run", f"--unit={self.guard}", "--collect", "/bin/sh", "-c", sleeper])

    def wait_for(self, units, wanted, complaint):
        """The states of the units once all are as `wanted`."""
        give_up = time.monotonic() + SETTLE_S
        while True:
            states = {unit: self.state_of(unit) for unit in units}
            wrong = [unit for unit, state in states.items() if not wanted(state)]
            if not wrong:
                return states
            if time.monotonic() > give_up:
                raise FaultError(f"{', '.join(wrong)} {complaint} after {SETTLE_S:.0f} s; see `systemctl status`.")
            time.sleep(0.05)

    def state_of(self, unit):
        return self.property_of(unit, "ActiveState")

    def property_of(self, unit, name):
        return self.run(["systemctl", "show", f"--property={name}", "--value", unit]).strip()

    def dropped_packets(self):
        return sum(
            expression["counter"]["packets"]
            for entry in self.tables()
            for expression in entry.get("rule", {}).get("expr", [])
            if "counter" in expression
        )

    def tables(self):
        """What nftables has in the table of this fault."""
        code, out, _error = self.module.run_command(["nft", "--json", "list", "table", "inet", self.table])
        return json.loads(out)["nftables"] if code == 0 else []

    def run(self, command, data=None, check=True):
        code, out, error = self.module.run_command(command, data=data)
        if check and code:
            raise FaultError(f"`{' '.join(command)}` failed: {(error or out).strip()}")
        return out


class FaultError(Exception):
    """The host could not be broken, or mended, as asked."""


def processes_in(group):
    """The processes of a control group of systemd."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cgroup"):
        with suppress(OSError):
            if any(line.rpartition(":")[2] == group for line in entry.read_text().splitlines()):
                found.append(int(entry.parent.name))
    return found


def threads_of(pids):
    """The threads of processes that have yet to end."""
    found = []
    for pid in pids:
        with suppress(OSError):
            for thread in os.listdir(f"/proc/{pid}/task"):
                with suppress(OSError):
                    stat = Path(f"/proc/{pid}/task/{thread}/stat").read_text()
                    if stat.rpartition(")")[2].split()[0] not in "ZX":
                        found.append(int(thread))
    return found


@contextmanager
def at_once(pids):
    """Have processes run before all others, where that is allowed; those that live on as they did afterwards."""
    before = []
    for thread in threads_of(pids):
        with suppress(ProcessLookupError, PermissionError):
            before.append((thread, os.sched_getscheduler(thread), os.sched_getparam(thread)))
            os.sched_setscheduler(thread, os.SCHED_FIFO, os.sched_param(os.sched_get_priority_max(os.SCHED_FIFO)))
    try:
        yield
    finally:
        for thread, policy, parameters in before:
            with suppress(ProcessLookupError, PermissionError):
                os.sched_setscheduler(thread, policy, parameters)


def kill(doomed):
    """End processes, a list of them for each unit, as a host dies: as near to one moment as it can be.

    systemd would end one unit after the other. And where all processors are busy with units of real-time priority, who
    is killed waits for its turn to die.
    """
    with at_once([os.getpid()]):
        for pids in doomed:
            with at_once(pids):
                for pid in pids:
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                give_up = time.monotonic() + AT_ONCE_S
                while threads_of(pids) and time.monotonic() < give_up:
                    time.sleep(0.001)


def ruleset(table, service_ports, peer_ports):
    """The nftables table that drops: the service's ports as this host's own, the peers' ports on either side."""
    service, peers = (", ".join(map(str, ports)) for ports in (service_ports, peer_ports))
    rules = {"input": [], "output": []}
    if service:
        rules["input"].append(f"tcp dport {{ {service} }}")
        rules["output"].append(f"tcp sport {{ {service} }}")
    if peers:
        for chain in rules.values():
            chain += [f"tcp dport {{ {peers} }}", f"tcp sport {{ {peers} }}"]
    # A host always reaches itself: what dies is the network.
    own = {"input": 'iifname "lo" accept', "output": 'oifname "lo" accept'}
    lines = [f"table inet {table} {{"]
    for chain, drops in rules.items():
        lines += [
            f"  chain {chain} {{",
            f"    type filter hook {chain} priority -200; policy accept;",
            f"    {own[chain]}",
            *(f"    {drop} counter drop" for drop in drops),
            "  }",
        ]
    return "\n".join([*lines, "}", ""])


def heal_script(table, guard, directory, units):
    """What undoes the fault, whether the controller asks for it or the time is over."""
    names = " ".join(shlex.quote(unit) for unit in units)
    lines = ["#!/bin/sh", f"nft delete table inet {table} 2>/dev/null"]
    for unit in units:
        drop_ins = shlex.quote(str(DROP_INS / f"{unit}.d"))
        lines += [f"rm -f {drop_ins}/{guard}.conf", f"rmdir {drop_ins} 2>/dev/null"]
    if units:
        lines += ["systemctl daemon-reload", f"systemctl reset-failed {names}", f"systemctl start --no-block {names}"]
    return "\n".join([*lines, f"rm -rf {shlex.quote(str(directory))}", "exit 0", ""])


def main():
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "default": "fault"},
            "kind": {"type": "str", "choices": ["death", "silent_death", "partition", "state_down"]},
            "state": {"type": "str", "choices": ["injected", "healed"], "required": True},
            "units": {"type": "list", "elements": "str", "default": []},
            "service_ports": {"type": "list", "elements": "int", "default": []},
            "peer_ports": {"type": "list", "elements": "int", "default": []},
            "expiry_s": {"type": "int", "default": 120},
            "run_dir": {"type": "path"},
        },
        required_if=[("state", "injected", ["kind"])],
        supports_check_mode=True,
    )
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,30}", module.params["name"]):
        module.fail_json(msg=f"The name {module.params['name']!r} must be of small letters, digits and underscores.")
    for tool in ("nft", "systemctl", "systemd-run"):
        if shutil.which(tool, path="/usr/sbin:/usr/bin:/sbin:/bin") is None:
            module.fail_json(msg=f"{tool} is missing; install nftables and systemd on this host.")
    fault = Fault(module)
    injecting = module.params["state"] == "injected"
    changes = injecting != fault.directory.exists()
    if not changes or module.check_mode:
        module.exit_json(changed=changes)
    try:
        results = fault.inject() if injecting else fault.heal()
    except FaultError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=True, **results)


if __name__ == "__main__":
    main()
