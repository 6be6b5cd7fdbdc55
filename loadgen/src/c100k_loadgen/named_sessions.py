"""All sessions of one worker that have names."""

from __future__ import annotations

from c100k_loadgen.connection import Connection
from c100k_loadgen.name_verification import NameVerification
from c100k_loadgen.named import NamedConnection, NamedSession
from c100k_loadgen.output import WorkerFiles
from c100k_loadgen.registry_sender import RegistrySender
from c100k_loadgen.sessions import Sessions


class NamedSessions(Sessions):
    """Sessions of a `RegistrySender`. `connection`s register their names before they are opened."""

    _sender: RegistrySender

    def _connection(self, number: int, target: str, attempts: int) -> Connection:
        plan = self._assignment.plan
        session = self._sessions.get(number)
        if session is None:
            session = self._sessions[number] = NamedSession(plan.host, number)
        assert isinstance(session, NamedSession)
        return NamedConnection(self, session, target, attempts, plan.protocol)

    def registered(self, target: str, node: str, elapsed_s: float) -> None:
        self._sender.registered(target, node, elapsed_s)

    async def verify(self, files: WorkerFiles, stop_at: float) -> None:
        """Have all names looked up, those of sessions that are away too, after a contest for further ones."""
        plan = self._assignment.plan
        assert plan.registry is not None
        await self._read_back(
            NameVerification(
                self._loop,
                [session for session in self._opened() if isinstance(session, NamedSession)],
                self._sender.nodes,
                self._sender.next_id,
                self._sender.heard_from,
                stop_at,
                plan.registry.stale_s,
                plan.registry.contested,
                files.verified_name,
                files.contender,
            )
        )
