"""What the lab raises. Every message is one sentence that says what is wrong and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from c100k.errors import C100KError


class LabError(C100KError):
    """Base of all errors of the lab."""


class LabConfigError(LabError):
    """A name, subnet or node of the lab cannot be used."""


class NotLinuxError(LabError):
    def __init__(self, platform: str) -> None:
        self.platform = platform
        super().__init__(f"The lab needs Linux and this is {platform}: use the vagrant or the cloud inventory.")


class NotRootError(LabError):
    def __init__(self, user_id: int) -> None:
        self.user_id = user_id
        super().__init__(f"The lab needs root and this is user {user_id}: run the command again with sudo.")


class MissingToolsError(LabError):
    """`tools` are the commands that were not found, `packages` the Debian packages that carry them."""

    def __init__(self, tools: Sequence[str], packages: Sequence[str]) -> None:
        self.tools = tuple(tools)
        self.packages = tuple(packages)
        super().__init__(
            f"The lab needs {', '.join(tools)}: install them with `apt-get install --yes {' '.join(packages)}`."
        )


class DiskSpaceError(LabError):
    def __init__(self, path: Path, needed_bytes: int, available_bytes: int) -> None:
        self.path = path
        self.needed_bytes = needed_bytes
        self.available_bytes = available_bytes
        super().__init__(
            f"The lab needs {needed_bytes / 1e9:.1f} GB under {path} and {available_bytes / 1e9:.1f} GB are free: "
            "make room, or put the lab's folders on another disk."
        )


class AddressInUseError(LabError):
    def __init__(self, subnet: str, user: str) -> None:
        self.subnet = subnet
        self.user = user
        super().__init__(f"The lab's subnet {subnet} is in use by {user}: give the lab another subnet.")


class LinkInUseError(LabError):
    def __init__(self, link: str) -> None:
        self.link = link
        super().__init__(f"A network link {link} exists that the lab did not make: give the lab another name.")


class OverlayUnavailableError(LabError):
    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(
            f"The kernel cannot mount the lab's overlay file systems ({reason}): load the overlay module, and keep "
            "the lab's folders on a plain disk (ext4, xfs, btrfs)."
        )


class CgroupUnavailableError(LabError):
    def __init__(self) -> None:
        super().__init__(
            "No writable cgroup hierarchy that systemd can use is mounted here: mount cgroup2 on /sys/fs/cgroup."
        )


class MirrorUnknownError(LabError):
    def __init__(self, codename: str, folder: Path) -> None:
        self.codename = codename
        super().__init__(
            f"No Debian mirror for {codename} is named in {folder}: add a `deb` entry for suite {codename} with "
            "component main there."
        )


class ImageBuildError(LabError):
    def __init__(self, step: str, tail: str) -> None:
        self.step = step
        self.tail = tail
        super().__init__(f"The image could not be built, {step} failed: {tail}")


class CommandFailedError(LabError):
    def __init__(self, argv: Sequence[str], status: int, stderr: str) -> None:
        self.argv = tuple(argv)
        self.status = status
        self.stderr = stderr.strip()
        super().__init__(f"`{' '.join(argv)}` ended with status {status}: {self.stderr or 'it said nothing'}")


class LabChangedError(LabError):
    def __init__(self, name: str, recorded: str, asked: str) -> None:
        self.recorded = recorded
        self.asked = asked
        super().__init__(
            f"Lab {name} exists with {recorded} but was asked for with {asked}: take it down first or ask for the same."
        )


class MachineDiedError(LabError):
    def __init__(self, node: str, log: Path, tail: str) -> None:
        self.node = node
        self.log = log
        super().__init__(f"Machine {node} ended while it booted (its console is kept in {log}): {tail}")


class MachineNotReadyError(LabError):
    def __init__(self, node: str, waited_s: float, reason: str, log: Path) -> None:
        self.node = node
        self.waited_s = waited_s
        self.log = log
        super().__init__(f"Machine {node} was not ready after {waited_s:.0f} s ({reason}): see its console in {log}.")


class LabRemainsError(LabError):
    """`remains` names, one by one, what `down` could not remove."""

    def __init__(self, name: str, remains: Sequence[str]) -> None:
        self.remains = tuple(remains)
        super().__init__(f"Lab {name} is not all gone, remove by hand and run down again: {'; '.join(remains)}")
