"""A client of Redis Cluster for servers: few system calls, bounded waits, and writes acknowledged by two hosts.

All operations of one turn of the event loop go to a master in one write. Those that are `durable` are answered only
when a replica has them too (`WAIT`). Every operation ends, with its reply or an error of this package. The client is
`c100k_server.redis.cluster.Cluster`, which is imported by those who connect, and by nobody else.
"""

from c100k_server.redis.errors import CommandError, OutcomeUnknownError, StateUnavailableError
from c100k_server.redis.script import Script
from c100k_server.redis.slots import key_slot

__all__ = ["CommandError", "OutcomeUnknownError", "Script", "StateUnavailableError", "key_slot"]
