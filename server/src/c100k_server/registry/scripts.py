"""What is done to a name in Redis, each in one indivisible step.

A name is a hash, `c100k:r:NAME`: `s` the session that has it, `n` the node where that is, `r` what it says. It ends
with its lease, which the owner of the session renews along with that of the session.
"""

from __future__ import annotations

from c100k_server.redis import Script

PREFIX = "c100k:r:"
TAKEN = b"TAKEN"
GONE = b"GONE"

# KEYS: name. ARGV: session, node, record, lease in ms.
REGISTER = Script(
    "register name",
    """
    local holder = redis.call('HGET', KEYS[1], 's')
    if holder and holder ~= ARGV[1] then return 'TAKEN' end
    redis.call('HSET', KEYS[1], 's', ARGV[1], 'n', ARGV[2], 'r', ARGV[3])
    redis.call('PEXPIRE', KEYS[1], ARGV[4])
    return 'OK'
    """,
)

# KEYS: name. ARGV: session, lease in ms. What is registered stays as it is: a change of it may be on its way.
RENEW = Script(
    "renew name",
    """
    local holder = redis.call('HGET', KEYS[1], 's')
    if not holder then return 'GONE' end
    if holder ~= ARGV[1] then return 'TAKEN' end
    redis.call('PEXPIRE', KEYS[1], ARGV[2])
    return 'OK'
    """,
)

# KEYS: name. ARGV: session. Says whether it was the session's, or nobody's.
UNREGISTER = Script(
    "unregister name",
    """
    local holder = redis.call('HGET', KEYS[1], 's')
    if holder and holder ~= ARGV[1] then return 'TAKEN' end
    redis.call('DEL', KEYS[1])
    return 'OK'
    """,
)

# KEYS: mailbox. ARGV: lease in ms, then sessions.
HINT = Script(
    "hint",
    """
    redis.call('XADD', KEYS[1], 'MAXLEN', '~', 10000, '*', 's', table.concat(ARGV, ' ', 2))
    redis.call('PEXPIRE', KEYS[1], ARGV[1])
    return 'OK'
    """,
)
