"""What can keep a run from starting. Each error says what to do about it and carries the exit code it ends with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def reason_of(error: Exception) -> str:
    """What went wrong, for a sentence that names the file itself."""
    return (isinstance(error, OSError) and error.strerror) or str(error)


class LoadgenError(Exception):
    """The root of this package's errors."""

    exit_code = 1


class PlanError(LoadgenError):
    """The plan cannot be run; `problems` holds one sentence for each reason, all of them."""

    exit_code = 2

    def __init__(self, source: str, problems: Sequence[str]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(f"{source}: {problem}" for problem in problems))


class CredentialsError(LoadgenError):
    """A token or certificates that were named cannot be had."""

    exit_code = 2


class AddressError(LoadgenError):
    """Source addresses that were asked for cannot be had."""

    exit_code = 2


class UrlError(LoadgenError):
    """This is no address of an MCP server that can be asked."""

    exit_code = 2


class DiscoveryError(LoadgenError):
    """The server cannot be reached, or speaks no revision of MCP that this generator does."""


class ThresholdError(LoadgenError):
    """This is no threshold."""

    exit_code = 2


class OutputFileError(LoadgenError):
    """Results cannot be written where they were asked for."""

    exit_code = 2


class ResultsError(LoadgenError):
    """There is no run to be reported on."""

    exit_code = 2

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: no run can be read here: {reason}.")


class OutputExistsError(LoadgenError):
    """The output directory already holds a run of this host, which is never overwritten."""

    exit_code = 2

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        super().__init__(f"{directory} already holds a run (generator.json is there); name another with --output.")


class StatusAddressError(LoadgenError):
    """Nothing can listen on the address given for the status."""

    def __init__(self, host: str, port: int, reason: str) -> None:
        super().__init__(f"The status cannot be served on {host}:{port} ({reason}); give another --status.")
