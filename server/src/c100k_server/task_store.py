"""What is known of tasks, and where it is kept: in the memory of a worker, or behind the same interface elsewhere."""

from __future__ import annotations

import heapq
import time
from collections.abc import Sequence
from typing import Literal, Protocol, TypeAlias

import msgspec

from c100k_server.context import Ask
from c100k_server.jsonrpc import BUSY, ErrorObject, RequestError

TaskStatus: TypeAlias = Literal["working", "input_required", "completed", "failed", "cancelled"]
ENDED = ("completed", "failed", "cancelled")

# What one client, and all clients of a worker, may have at a time; and the bytes of results that a worker keeps.
TASKS_PER_OWNER_MAX = 1000
TASKS_MAX = 10_000
RESULTS_MAX_BYTES = 64 * 2**20


class Owner(msgspec.Struct, frozen=True):
    """Whose a task is: a session's, a bearer token's, or that of whoever knows its id, at an address."""

    kind: Literal["session", "bearer", "address"]
    name: str

    def may_use(self, task: TaskRecord) -> bool:
        return task.owner == self or task.owner.kind == self.kind == "address"


class TaskRecord(msgspec.Struct, kw_only=True):
    """A task. Times are seconds of Unix time; `number` grows with every task of a worker, and `result` is encoded."""

    id: str
    number: int
    owner: Owner
    created_at: float
    updated_at: float
    ttl_ms: int
    status: TaskStatus = "working"
    message: str | None = None
    questions: dict[str, Ask] = {}
    result: bytes | None = None
    error: ErrorObject | None = None

    @property
    def expires_at(self) -> float:
        return self.created_at + self.ttl_ms / 1000

    @property
    def ended(self) -> bool:
        return self.status in ENDED


class TaskStore(Protocol):
    """Keeps records. Whoever awaits `add` may tell others of the task; the effect of the others may come later."""

    async def add(self, record: TaskRecord) -> None:
        """Raises `RequestError` when there are too many."""

    async def find(self, task_id: str) -> TaskRecord | None: ...

    async def owned(self, owner: Owner) -> Sequence[TaskRecord]:
        """All of one owner, oldest first."""

    def save(self, record: TaskRecord) -> None:
        """A record has changed. Raises `RequestError` when its result is too long to be kept."""

    def remove_owned(self, owner: Owner) -> None:
        """Remove all of one owner."""

    def expire(self) -> Sequence[TaskRecord]:
        """Remove those whose time is over."""


class MemoryTaskStore:
    """The tasks of one worker, which end with it."""

    def __init__(self) -> None:
        self._records: dict[str, TaskRecord] = {}
        self._by_owner: dict[Owner, dict[str, TaskRecord]] = {}
        self._expiries: list[tuple[float, str]] = []
        self._result_bytes: dict[str, int] = {}
        self._results_bytes = 0

    async def add(self, record: TaskRecord) -> None:
        owned = self._by_owner.get(record.owner, {})
        if len(owned) >= TASKS_PER_OWNER_MAX:
            raise RequestError(BUSY, f"a client may have {TASKS_PER_OWNER_MAX} tasks at a time")
        if len(self._records) >= TASKS_MAX:
            raise RequestError(BUSY, "the server has as many tasks as it keeps; try again later")
        self._records[record.id] = record
        self._by_owner.setdefault(record.owner, owned)[record.id] = record
        heapq.heappush(self._expiries, (record.expires_at, record.id))

    async def find(self, task_id: str) -> TaskRecord | None:
        return self._records.get(task_id)

    async def owned(self, owner: Owner) -> Sequence[TaskRecord]:
        return list(self._by_owner.get(owner, {}).values())

    def save(self, record: TaskRecord) -> None:
        if record.result is None or record.id in self._result_bytes or record.id not in self._records:
            return
        size = len(record.result)
        if self._results_bytes + size > RESULTS_MAX_BYTES:
            raise RequestError(BUSY, "the server keeps as many results of tasks as it can")
        self._result_bytes[record.id] = size
        self._results_bytes += size

    def remove_owned(self, owner: Owner) -> None:
        for record in list(self._by_owner.get(owner, {}).values()):
            self._remove(record)

    def expire(self) -> Sequence[TaskRecord]:
        expired: list[TaskRecord] = []
        now = time.time()
        while self._expiries and self._expiries[0][0] <= now:
            _, task_id = heapq.heappop(self._expiries)
            record = self._records.get(task_id)
            if record is not None:
                self._remove(record)
                expired.append(record)
        return expired

    def _remove(self, record: TaskRecord) -> None:
        del self._records[record.id]
        owned = self._by_owner[record.owner]
        del owned[record.id]
        if not owned:
            del self._by_owner[record.owner]
        self._results_bytes -= self._result_bytes.pop(record.id, 0)
