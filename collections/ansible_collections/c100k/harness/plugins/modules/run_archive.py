#!/usr/bin/python
# Copyright: the c100k authors
# SPDX-License-Identifier: Apache-2.0
"""All that one run left on a host, as one archive."""

from __future__ import annotations

DOCUMENTATION = r"""
module: run_archive
short_description: Pack what one run left on a host
version_added: 0.1.0
description:
  - Packs the raw files of a run together with the journal of its units, the facts and versions of the host, and the
    kernel settings before and after tuning.
  - The paths in the archive are those of the run directory, so it is unpacked right there.
  - What is missing is left out and named, never an error, so that a run that broke is kept as far as it got.
  - Packs nothing when the run has no folder on the host, as after it was collected.
author:
  - The c100k authors (@c100k)
options:
  run_id:
    description: The run. Its name begins with the moment it was made, and the journal is kept from then on.
    type: str
    required: true
  host:
    description: The name of the host, which names its folder in the run directory.
    type: str
    required: true
  runs:
    description: The folder on the host that holds one folder for each run.
    type: path
    default: /var/lib/c100k/runs
  packages:
    description: The folder on the host that holds the installed packages.
    type: path
    default: /opt/c100k
  record:
    description: What the role tune recorded before its first change.
    type: path
    default: /var/lib/c100k/tune/before.json
attributes:
  check_mode:
    description: Packs nothing, and tells which files it would pack from the folder of the run.
    support: full
  diff_mode:
    description: There is no difference to show.
    support: none
"""

EXAMPLES = r"""
- name: Pack the run
  c100k.harness.run_archive:
    run_id: 20261123T101500Z-load
    host: node1
  register: packed
"""

RETURN = r"""
path:
  description: The archive on the host, or null when there is nothing to pack.
  returned: success
  type: str
  sample: /var/lib/c100k/runs/20261123T101500Z-load.tar.gz
files:
  description: The files in the archive, as paths in the run directory.
  returned: success
  type: list
  elements: str
missing:
  description: What could not be had, with the reason.
  returned: success
  type: list
  elements: str
  sample: []
"""

import io
import json
import os
import platform
import tarfile
import time
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

# Asks an environment what is installed in it, which has no pip to be asked.
INSTALLED = """
import json
from importlib.metadata import distributions
print(json.dumps({found.name: found.version for found in distributions()}))
"""


class Archive:
    """A tar that is written beside its final name, so that a half-written one is never fetched."""

    def __init__(self, path, host):
        self.path, self.host = path, host
        self.files, self.missing = [], []
        self._work = path.with_name(f".{path.name}.new")
        self._tar = tarfile.open(self._work, "w:gz", compresslevel=1)  # noqa: SIM115  closed by close()

    def add_file(self, source, name):
        try:
            self._tar.add(source, arcname=name, recursive=False)
        except OSError as error:
            self.missing.append(f"{name}: {error.strerror}")
        else:
            self.files.append(name)

    def add_text(self, name, text):
        name = f"hosts/{self.host}/{name}"
        content = text.encode()
        entry = tarfile.TarInfo(name)
        entry.size, entry.mtime, entry.mode = len(content), time.time(), 0o644
        self._tar.addfile(entry, io.BytesIO(content))
        self.files.append(name)

    def close(self):
        self._tar.close()
        # Readable for whoever logs in: the transfer does not become root.
        self._work.chmod(0o644)
        self._work.replace(self.path)


def destinations(folder, host):
    """The run's files on this host, each with its path in the run directory."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            parent = "histograms" if path.suffix == ".hlog" else f"hosts/{host}"
            yield path, f"{parent}/{path.relative_to(folder)}"


def facts(module, packages):
    """What this host is and what runs on it."""
    versions = {"python": platform.python_version(), "kernel": platform.release()}
    for link in sorted(packages.glob("*/current")):
        _status, listed, _errors = module.run_command([str(link / "bin/python"), "-c", INSTALLED])
        versions.update(_json(listed))
        versions[f"c100k-{link.parent.name}"] = link.resolve().name
    memory = Path("/proc/meminfo").read_text().split()[1]
    models = {
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    }
    return {
        "machine": platform.machine(),
        "system": platform.freedesktop_os_release().get("PRETTY_NAME", "Linux"),
        "kernel": platform.version(),
        "cores": os.cpu_count(),
        "cpu": ", ".join(sorted(models)),
        "memory_bytes": int(memory) * 1024,
        "versions": versions,
    }


def _json(text):
    try:
        return json.loads(text)
    except ValueError:
        return {}


def journal(module, archive, name, unit, since, output):
    status, text, errors = module.run_command(
        ["journalctl", "--quiet", "--no-pager", f"--output={output}", f"--unit={unit}", f"--since={since}"]
    )
    if status:
        archive.missing.append(f"{name}: {errors.strip()}")
    else:
        archive.add_text(name, text)


def pack(module, folder, archive):
    run_id = module.params["run_id"]
    since = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.strptime(run_id.partition("-")[0], "%Y%m%dT%H%M%SZ"))
    for path, name in destinations(folder, archive.host):
        archive.add_file(path, name)
    # The server and the generator log one JSON object a line, which is kept as they wrote it.
    journal(module, archive, "server.jsonl", "c100k-server.service", since, "cat")
    journal(module, archive, "loadgen.log", f"c100k-loadgen@{run_id}.service", since, "cat")
    journal(module, archive, "journal.log", "c100k-*", since, "short-iso-precise")
    archive.add_text("facts.json", json.dumps(facts(module, Path(module.params["packages"])), indent=2) + "\n")
    _status, settings, _errors = module.run_command(["sysctl", "--all", "--ignore"])
    archive.add_text("sysctl-after.txt", settings)
    if Path(module.params["record"]).exists():
        archive.add_file(Path(module.params["record"]), f"hosts/{archive.host}/sysctl-before.json")


def main():
    module = AnsibleModule(
        argument_spec={
            "run_id": {"type": "str", "required": True},
            "host": {"type": "str", "required": True},
            "runs": {"type": "path", "default": "/var/lib/c100k/runs"},
            "packages": {"type": "path", "default": "/opt/c100k"},
            "record": {"type": "path", "default": "/var/lib/c100k/tune/before.json"},
        },
        supports_check_mode=True,
    )
    folder = Path(module.params["runs"]) / module.params["run_id"]
    path = folder.with_name(f"{folder.name}.tar.gz")
    if not folder.is_dir():
        module.exit_json(changed=False, path=None, files=[], missing=[f"{folder}: no such folder"])
    if module.check_mode:
        names = [name for _path, name in destinations(folder, module.params["host"])]
        module.exit_json(changed=True, path=str(path), files=names, missing=[])
    archive = Archive(path, module.params["host"])
    pack(module, folder, archive)
    archive.close()
    module.exit_json(changed=True, path=str(path), files=archive.files, missing=archive.missing)


if __name__ == "__main__":
    main()
