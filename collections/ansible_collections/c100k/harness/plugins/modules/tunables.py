#!/usr/bin/python
# Copyright: the c100k authors
# SPDX-License-Identifier: Apache-2.0
"""Kernel settings: set what the host lets one set, read back, and undo to the letter."""

from __future__ import annotations

DOCUMENTATION = r"""
module: tunables
short_description: Set kernel tunables that can be undone
version_added: 0.1.0
description:
  - Sets kernel settings in order, reads each one back, and keeps those that it could set in a file for the next boot.
  - Before the first change it records on the host what the values and the file were. The record is never overwritten,
    so O(state=reverted) restores what was there before the very first run.
  - A setting that the kernel does not have, or that may not be written, is reported and left alone.
author:
  - The c100k authors (@c100k)
options:
  tunables:
    description: The settings, in the order in which they are set. Needed for O(state=present).
    type: list
    elements: dict
    default: []
    suboptions:
      key:
        description: The name as sysctl spells it.
        type: str
        required: true
      value:
        description: The value. Several numbers are separated by spaces.
        type: str
        required: true
      why:
        description: Why the setting is needed. Kept beside it in the file.
        type: str
        required: true
      at_least:
        description: Leave a value alone that is as large or larger, number by number.
        type: bool
        default: false
      required:
        description: Fail when the value cannot be had.
        type: bool
        default: false
  path:
    description: The file that sets the values at boot.
    type: path
    default: /etc/sysctl.d/90-c100k.conf
  record:
    description: Where it is recorded what was there before.
    type: path
    default: /var/lib/c100k/tune/before.json
  state:
    description: Whether to set the values, or to restore what was there before.
    type: str
    choices: [present, reverted]
    default: present
attributes:
  check_mode:
    description: Tells what would change, and changes nothing.
    support: full
  diff_mode:
    description: Shows values and file before and after.
    support: full
"""

EXAMPLES = r"""
- name: Let the listeners queue more
  c100k.harness.tunables:
    tunables:
      - key: net.core.somaxconn
        value: "65535"
        at_least: true
        why: The length of the queue of a listener that has not accepted yet.

- name: Restore what was there before
  c100k.harness.tunables:
    state: reverted
"""

RETURN = r"""
tunables:
  description:
    - What became of each setting. V(ok), V(enough) (larger than asked for), V(set), V(refused) (may not be written
      and is not enough), V(absent) (this kernel has no such setting), V(restored), or V(differs) (could not be
      restored).
  returned: always
  type: list
  elements: dict
  sample:
    - key: net.core.somaxconn
      before: "4096"
      after: "65535"
      status: set
remaining_diff:
  description: After O(state=reverted), how the host still differs from the record. Empty when nothing does.
  returned: when reverted
  type: str
  sample: ""
"""

import base64
import contextlib
import difflib
import json
import os
import stat
import time
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

SCHEMA_VERSION = 1


def kernel_file(key):
    return Path("/proc/sys") / key.replace(".", "/")


def read_value(key):
    """The value with single spaces, or None when the kernel has no such setting."""
    try:
        return " ".join(kernel_file(key).read_text().split())
    except OSError:
        return None


def write_value(key, value):
    """Write, and answer with what is there then; a refusal shows as the old value."""
    # Read-only, not permitted, or not a value for it: the reading tells.
    with contextlib.suppress(OSError):
        kernel_file(key).write_text(f"{value}\n")
    return read_value(key)


def is_enough(tunable, current):
    """Whether a value that is not the wanted one will do."""
    if not tunable["at_least"]:
        return False
    have, want = current.split(), tunable["value"].split()
    return len(have) == len(want) and all(int(left) >= int(right) for left, right in zip(have, want, strict=True))


def read_file(path):
    """Content, mode and owner of a file, or None when there is none."""
    try:
        status = path.stat()
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    return {
        "content": base64.b64encode(content).decode(),
        "mode": stat.S_IMODE(status.st_mode),
        "uid": status.st_uid,
        "gid": status.st_gid,
    }


def write_file(module, path, content, mode=0o644, owner=(0, 0)):
    """Replace a file in one step; its directory is made when it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    work = path.with_name(f".{path.name}.new")
    work.write_bytes(content)
    work.chmod(mode)
    os.chown(work, *owner)
    module.atomic_move(str(work), str(path))


def text_of(recorded):
    return "" if recorded is None else base64.b64decode(recorded["content"]).decode(errors="replace")


def values_text(values):
    return "".join(f"{key} = {value}\n" for key, value in values.items())


def diff(before, after, path, file_before, file_after):
    """For --diff: the values, then the file."""
    return [
        {
            "before_header": "kernel",
            "after_header": "kernel",
            "before": values_text(before),
            "after": values_text(after),
        },
        {"before_header": str(path), "after_header": str(path), "before": file_before, "after": file_after},
    ]


def load_record(path):
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return {"schema_version": SCHEMA_VERSION, "recorded_at": time.time(), "values": {}, "files": {}}


def file_text(tunables):
    """The file for the next boot."""
    head = "# Written by the role c100k.harness.tune; playbooks/revert.yml takes it away again.\n"
    return head + "".join(f"\n# {tunable['why']}\n{tunable['key']} = {tunable['value']}\n" for tunable in tunables)


def plan_values(tunables):
    """What is there and what is to become of it, without touching anything."""
    planned = []
    for tunable in tunables:
        value = " ".join(tunable["value"].split())
        current = read_value(tunable["key"])
        if current is None:
            status = "absent"
        elif current == value:
            status = "ok"
        elif is_enough(tunable, current):
            status = "enough"
        else:
            status = "set"
        after = value if status == "set" else current
        planned.append(
            {"key": tunable["key"], "before": current, "after": after, "status": status, "why": tunable["why"]}
        )
    return planned


def may_write(key):
    """Whether the kernel would take a new value, judged without giving it one."""
    try:
        kernel_file(key).open("r+").close()
    except OSError:
        return False
    return True


def present(module, tunables, path, record_path):
    results = plan_values(tunables)
    for result in results:
        if result["status"] == "set" and not may_write(result["key"]):
            result.update(status="refused", after=result["before"])
    record = load_record(record_path)
    record_grows = update_record(record, results, path)
    if record_grows and not module.check_mode:
        write_file(module, record_path, json.dumps(record, indent=2).encode())
    for result in results:
        if result["status"] == "set" and not module.check_mode:
            wanted = result["after"]
            result["after"] = write_value(result["key"], wanted)
            if result["after"] != wanted:
                result["status"] = "refused"
    # What this host refuses would be refused at every boot, and a larger value must not be lowered then.
    kept = {result["key"] for result in results if result["status"] in ("ok", "set")}
    text = file_text([tunable for tunable in tunables if tunable["key"] in kept])
    file_before = read_file(path)
    file_changes = text != text_of(file_before)
    if file_changes and not module.check_mode:
        write_file(module, path, text.encode())
    changed = file_changes or any(result["before"] != result["after"] for result in results)
    before = {result["key"]: result["before"] for result in results if result["before"] is not None}
    after = {result["key"]: result["after"] for result in results if result["after"] is not None}
    outcome = {"changed": changed, "tunables": results, "diff": diff(before, after, path, text_of(file_before), text)}
    missing = [
        f"{tunable['key']} is {result['after'] or 'absent'}, but {tunable['value']} is needed: {tunable['why']}"
        for tunable, result in zip(tunables, results, strict=True)
        if tunable["required"] and result["status"] in ("refused", "absent")
    ]
    if missing:
        module.fail_json(msg="\n".join(missing), **outcome)
    module.exit_json(**outcome)


def update_record(record, results, path):
    """Add what is not recorded yet; what is recorded stays as it is. True when something was added."""
    new = {
        result["key"]: result["before"]
        for result in results
        if result["status"] == "set" and result["key"] not in record["values"]
    }
    record["values"].update(new)
    grows = bool(new) or str(path) not in record["files"]
    record["files"].setdefault(str(path), read_file(path))
    return grows


def revert(module, record_path):
    if not record_path.exists():
        module.exit_json(changed=False, tunables=[], remaining_diff="")
    record = load_record(record_path)
    path = Path(next(iter(record["files"])))
    before = {key: read_value(key) for key in record["values"]}
    results = [
        {"key": key, "before": before[key], "after": value, "status": "ok" if before[key] == value else "restored"}
        for key, value in record["values"].items()
    ]
    files_before = {name: read_file(Path(name)) for name in record["files"]}
    outcome = {
        "changed": True,  # the record itself goes
        "tunables": results,
        "diff": diff(
            before, record["values"], path, text_of(files_before[str(path)]), text_of(record["files"][str(path)])
        ),
        "remaining_diff": "",
    }
    if module.check_mode:
        module.exit_json(**outcome)
    for result in reversed(results):
        if result["status"] == "restored":
            wanted, result["after"] = result["after"], write_value(result["key"], result["after"])
            result["status"] = "restored" if result["after"] == wanted else "differs"
    for name, recorded in record["files"].items():
        restore_file(module, Path(name), recorded)
    outcome["remaining_diff"] = remaining_diff(record)
    if outcome["remaining_diff"]:
        module.fail_json(
            msg=f"This host still differs from what was recorded in {record_path}:\n{outcome['remaining_diff']}",
            **outcome,
        )
    record_path.unlink()
    if not any(record_path.parent.iterdir()):
        record_path.parent.rmdir()
    module.exit_json(**outcome)


def restore_file(module, path, recorded):
    if recorded is None:
        path.unlink(missing_ok=True)
    elif read_file(path) != recorded:
        write_file(
            module, path, base64.b64decode(recorded["content"]), recorded["mode"], (recorded["uid"], recorded["gid"])
        )


def remaining_diff(record):
    """A unified diff between the record and the host, values and files read anew."""
    lines = difflib.unified_diff(
        [f"{line}\n" for line in description(record["values"], record["files"])],
        [
            f"{line}\n"
            for line in description(
                {key: read_value(key) for key in record["values"]},
                {name: read_file(Path(name)) for name in record["files"]},
            )
        ],
        "recorded",
        "now",
    )
    return "".join(lines)


def description(values, files):
    yield from (f"{key} = {value}" for key, value in values.items())
    for name, recorded in files.items():
        yield f"{name}: " + ("no such file" if recorded is None else json.dumps(recorded, sort_keys=True))


def main():
    module = AnsibleModule(
        argument_spec={
            "tunables": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "key": {"type": "str", "required": True, "no_log": False},
                    "value": {"type": "str", "required": True},
                    "why": {"type": "str", "required": True},
                    "at_least": {"type": "bool", "default": False},
                    "required": {"type": "bool", "default": False},
                },
            },
            "path": {"type": "path", "default": "/etc/sysctl.d/90-c100k.conf"},
            "record": {"type": "path", "default": "/var/lib/c100k/tune/before.json"},
            "state": {"type": "str", "choices": ["present", "reverted"], "default": "present"},
        },
        supports_check_mode=True,
    )
    if module.params["state"] == "present":
        present(module, module.params["tunables"], Path(module.params["path"]), Path(module.params["record"]))
    else:
        revert(module, Path(module.params["record"]))


if __name__ == "__main__":
    main()
