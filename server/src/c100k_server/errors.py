"""What can go wrong, each error with its facts. `str(error)` is the one sentence that a user sees."""

from __future__ import annotations


class ServerError(Exception):
    """Ends the command with its sentence on stderr and `exit_code`."""

    exit_code = 1
    # Whether trying again cannot help.
    is_final = False


class UsageError(ServerError):
    """The command line cannot be understood."""

    exit_code = 2


class FileLimitError(ServerError):
    """The connections do not fit into the files that the workers may open."""

    def __init__(
        self, *, connections: int, workers: int, file_limit: int, per_worker: int, workers_needed: int
    ) -> None:
        self.connections = connections
        self.workers = workers
        self.file_limit = file_limit
        self.per_worker = per_worker
        self.workers_needed = workers_needed
        more_workers = f"use --workers {workers_needed} or auto, or " if per_worker else ""
        super().__init__(
            f"{connections} connections do not fit: {workers} x {per_worker} = {workers * per_worker} is what workers"
            f" with a file limit of {file_limit} each hold, reserve and uneven spread deducted;"
            f" {more_workers}raise the hard limit"
        )


class MemoryLimitError(ServerError):
    """The connections do not fit into the memory of this host."""

    def __init__(self, *, connections: int, workers: int, needed_bytes: int, available_bytes: int) -> None:
        self.connections = connections
        self.workers = workers
        self.needed_bytes = needed_bytes
        self.available_bytes = available_bytes
        super().__init__(
            f"{connections} connections in {workers} workers need about {needed_bytes / 2**30:.1f} GiB of memory,"
            f" {available_bytes / 2**30:.1f} GiB are available; expect fewer --connections on this host"
        )


class BindError(ServerError):
    """An address cannot be listened on."""

    def __init__(self, *, address: str, option: str, reason: str) -> None:
        self.address = address
        self.option = option
        self.reason = reason
        super().__init__(f"cannot listen on {address} ({option}): {reason}")


class TlsFilesError(ServerError):
    """The certificate or its key cannot be used."""

    exit_code = 2
    is_final = True

    def __init__(self, *, certificate: str, key: str, reason: str) -> None:
        self.certificate = certificate
        self.key = key
        self.reason = reason
        super().__init__(f"cannot use {certificate} (--tls-cert) with {key} (--tls-key): {reason}")


class StateKeyError(ServerError):
    """The key file cannot be used."""

    def __init__(self, *, path: str, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(f"cannot use the key in {path} (--state-key-file): {reason}")


class TokenFileError(ServerError):
    """The file of tokens cannot be read."""

    is_final = True

    def __init__(self, *, path: str, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(f"cannot read the tokens in {path} (--token-file): {reason}")


class RedisPasswordError(ServerError):
    """The file with the password cannot be read."""

    is_final = True

    def __init__(self, *, path: str, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(f"cannot read the password in {path} (--redis-password-file): {reason}")


class AppLoadError(ServerError):
    """An app, or another object that a command line names, cannot be found."""

    is_final = True

    def __init__(self, *, app: str, reason: str) -> None:
        self.app = app
        self.reason = reason
        super().__init__(f"cannot load {app}: {reason}")


class WorkerStartError(ServerError):
    """A worker died before it served, several times in a row."""

    def __init__(self, *, worker: int, attempts: int, reason: str) -> None:
        self.worker = worker
        self.attempts = attempts
        self.reason = reason
        super().__init__(f"worker {worker} did not start in {attempts} attempts: {reason}")


class ToolError(Exception):
    """Raised by functions of an app: the client is told its sentence, and nobody is alarmed."""


class RegistryError(ToolError):
    """A name cannot be used as was asked. `code` and `data` are those of the JSON-RPC error that clients get."""

    def __init__(self, code: int, message: str, data: object = None) -> None:
        self.code = code
        self.data = data
        super().__init__(message)
