"""Tasks under way in a worker: calls that go on after they were answered, asked about by the id that was the answer.

The id begins with the number of the worker, as that of a session does, so that others know where to find the task.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

from c100k_server.context import Ask
from c100k_server.jsonrpc import BUSY, INTERNAL_ERROR, INVALID_PARAMS, ErrorObject, RequestError
from c100k_server.task_store import MemoryTaskStore, Owner, TaskRecord, TaskStatus, TaskStore
from c100k_server.worker_ids import new_id, worker_of

# The longest result that is kept, which is also the longest message that a client may send by default.
RESULT_MAX_BYTES = 2**20
MESSAGE_MAX = 500

Watcher: TypeAlias = Callable[[TaskRecord], None]


class Outcome(NamedTuple):
    """What became of a call: its encoded result, or an error."""

    status: TaskStatus
    result: bytes | None = None
    error: ErrorObject | None = None


class RunningTask:
    """A task that has not ended. Its record says how far it is; whoever watches is told of every change."""

    def __init__(self, record: TaskRecord, store: TaskStore) -> None:
        self.record = record
        self.watchers: dict[Watcher, None] = {}
        self._store = store
        self._answers: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self._asked = 0
        self._changed = asyncio.Event()
        self._work: asyncio.Task[None] | None = None

    def run(self, work: Callable[[], Awaitable[Outcome]], when_over: Callable[[], None]) -> None:
        """Have `work` give the outcome."""
        self._work = asyncio.ensure_future(self._run(work))
        self._work.add_done_callback(lambda _: when_over())

    async def ask(self, questions: Mapping[str, Ask]) -> dict[str, dict[str, Any]]:
        """Ask the client, when it next asks for the state of the task."""
        keys: dict[str, str] = {}
        for name, question in questions.items():
            # A key must not come again in the life of a task, though the function may use its name again.
            self._asked += 1
            keys[name] = f"{name}-{self._asked}"
            self.record.questions[keys[name]] = question
            self._answers[keys[name]] = asyncio.get_running_loop().create_future()
        self._change("input_required")
        try:
            answers = await asyncio.gather(*(self._answers[key] for key in keys.values()))
        finally:
            for key in keys.values():
                self._answers.pop(key).cancel()
                self.record.questions.pop(key, None)
            if not self.record.ended and self.record.status != self._under_way:
                self._change(self._under_way)
        return dict(zip(keys, answers, strict=True))

    def answer(self, answers: Mapping[str, Any]) -> None:
        """Answer some of what it asked; what it did not ask is passed over.

        Raises `RequestError` when one has not the shape of an answer to its question, and takes none then.
        """
        known = {key: each for key, each in answers.items() if key in self.record.questions}
        for key, each in known.items():
            if not self.record.questions[key].is_answered_by(each):
                raise RequestError(INVALID_PARAMS, f"{key!r} is no answer to its {self.record.questions[key].method}")
        for key, each in known.items():
            del self.record.questions[key]
            self._answers[key].set_result(each)
        if known:
            self._change(self._under_way)

    async def wait(self, ask: Callable[[Ask], Awaitable[dict[str, Any]]]) -> None:
        """Wait until it has ended, and put its questions to the client with `ask` meanwhile.

        Several may wait. Each asks, since an earlier one's client may not listen any more; the first answer counts.
        Raises `RequestError` when the client that waits cannot be asked.
        """
        asking: dict[str, asyncio.Future[bool]] = {}
        change: asyncio.Future[Any] | None = None
        try:
            while not self.record.ended:
                for key, question in self.record.questions.items():
                    if key not in asking:
                        asking[key] = asyncio.ensure_future(self._put(key, question, ask))
                change = asyncio.ensure_future(self._changed.wait())
                pending = [each for each in asking.values() if not each.done()]
                await asyncio.wait((change, *pending), return_when=asyncio.FIRST_COMPLETED)
                change.cancel()
                if not all(each.result() for each in pending if each.done()):
                    raise RequestError(BUSY, "the client cannot be asked what the task wants to know")
        finally:
            for each in (*asking.values(), *([change] if change is not None else [])):
                each.cancel()

    def describe(self, message: str) -> None:
        """Say in words how far it is."""
        if not self.record.ended:
            self.record.message = message[:MESSAGE_MAX]
            self._change(self.record.status)

    def stop(self, outcome: Outcome) -> None:
        """End it, whatever its work would have given."""
        self._end(outcome)
        if self._work is not None:
            self._work.cancel()

    async def _run(self, work: Callable[[], Awaitable[Outcome]]) -> None:
        try:
            self._end(await work())
        except asyncio.CancelledError:
            self._end(Outcome("cancelled"))
            raise

    def _end(self, outcome: Outcome) -> None:
        record = self.record
        if record.ended:
            return
        if outcome.result is not None and len(outcome.result) > RESULT_MAX_BYTES:
            outcome = _failed(INTERNAL_ERROR, f"the result is longer than the {RESULT_MAX_BYTES} bytes that are kept")
        record.questions = {}
        try:
            self._conclude(outcome)
        except RequestError as refused:
            self._conclude(_failed(refused.code, refused.message))

    def _conclude(self, outcome: Outcome) -> None:
        record = self.record
        record.result, record.error = outcome.result, outcome.error
        if outcome.error is not None:
            record.message = outcome.error.message[:MESSAGE_MAX]
        self._change(outcome.status)

    async def _put(self, key: str, question: Ask, ask: Callable[[Ask], Awaitable[dict[str, Any]]]) -> bool:
        """False when the client is gone: then the question waits for the next who asks for the result."""
        try:
            self.answer({key: await ask(question)})
        except (RequestError, TimeoutError) as error:
            if isinstance(error, RequestError) and error.code == BUSY:
                return False
            if self.record.questions.pop(key, None) is not None:
                self._answers[key].set_exception(error)
        return True

    @property
    def _under_way(self) -> TaskStatus:
        return "input_required" if self.record.questions else "working"

    def _change(self, status: TaskStatus) -> None:
        self.record.status = status
        self.record.updated_at = time.time()
        self._store.save(self.record)
        self._changed.set()
        self._changed = asyncio.Event()
        for watcher in list(self.watchers):
            watcher(self.record)


def _failed(code: int, message: str) -> Outcome:
    return Outcome("failed", error=ErrorObject(code, message))


class Tasks:
    """The tasks of a worker, which is number `worker` of `workers`. None lives longer than `ttl_ms`."""

    def __init__(self, worker: int, workers: int, ttl_ms: int) -> None:
        self._worker = worker
        self._workers = workers
        self._ttl_ms = ttl_ms
        self._store: TaskStore = MemoryTaskStore()
        self._running: dict[str, RunningTask] = {}
        self._by_owner: dict[Owner, set[RunningTask]] = {}
        self._number = 0

    async def open(self, owner: Owner, ttl_ms: float | None) -> RunningTask:
        """A task that can be found from here on. Raises `RequestError` when there are too many."""
        self.expire()
        self._number += 1
        now = time.time()
        record = TaskRecord(
            id=new_id(self._worker),
            number=self._number,
            owner=owner,
            created_at=now,
            updated_at=now,
            ttl_ms=self._ttl_ms if ttl_ms is None else int(max(0, min(ttl_ms, self._ttl_ms))),
        )
        await self._store.add(record)
        task = self._running[record.id] = RunningTask(record, self._store)
        self._by_owner.setdefault(owner, set()).add(task)
        return task

    def run(self, task: RunningTask, work: Callable[[], Awaitable[Outcome]]) -> None:
        """Have `work` give the outcome of a task that was opened."""
        task.run(work, lambda: self._is_over(task))

    async def find(self, task_id: str, owner: Owner) -> TaskRecord:
        """Raises `RequestError` unless there is such a task, here, and it may be used by `owner`."""
        record = await self._store.find(task_id)
        if record is not None and owner.may_use(record):
            return record
        worker = worker_of(task_id)
        if owner.kind != "session" and worker is not None and worker != self._worker and worker < self._workers:
            raise RequestError(BUSY, "this task is in another worker than this connection: connect anew, or use HTTP")
        raise RequestError(INVALID_PARAMS, "there is no such task, or it has expired")

    async def page(self, owner: Owner, after: int, size: int) -> tuple[list[TaskRecord], int | None]:
        """So many tasks of an owner, those after number `after`; and what the next page comes after."""
        records = [each for each in await self._store.owned(owner) if each.number > after]
        return records[:size], records[size - 1].number if len(records) > size else None

    def running(self, task_id: str) -> RunningTask | None:
        return self._running.get(task_id)

    def has_running(self, owner: Owner) -> bool:
        return owner in self._by_owner

    def abandon(self, owner: Owner) -> None:
        """The owner is gone: end its tasks, and forget them."""
        self._store.remove_owned(owner)
        for task in list(self._by_owner.get(owner, ())):
            task.stop(Outcome("cancelled"))

    def expire(self) -> None:
        """Forget the tasks whose time is over; those that still run have failed. To be called a few times a second."""
        for record in self._store.expire():
            task = self._running.get(record.id)
            if task is not None:
                task.stop(_failed(INVALID_PARAMS, "the task has expired"))

    def _is_over(self, task: RunningTask) -> None:
        del self._running[task.record.id]
        owned = self._by_owner[task.record.owner]
        owned.remove(task)
        if not owned:
            del self._by_owner[task.record.owner]
