"""What is done to a session in Redis, each in one indivisible step.

A session is a hash, `c100k:s:{ID}`: `o` its owner, `v` how often it was written, `p` its profile, `l` the log level,
`u:URI` a subscription, `a:NAME` a value of the app, `n:NAME` what is registered under a name. Beside it lies its inbox,
the stream `c100k:s:{ID}:in`. Both end with the lease unless the owner renews it. Only the owner writes: whoever claimed
the session last.
"""

from __future__ import annotations

from c100k_server.redis import Script

FENCED = b"FENCED"
# Messages that an inbox keeps for a client that is away.
INBOX_MAX = 256

# KEYS: session, inbox. ARGV: owner, lease in ms, then fields and values.
CREATE = Script(
    "create session",
    """
    local owner = redis.call('HGET', KEYS[1], 'o')
    if owner and owner ~= ARGV[1] then return 'FENCED' end
    redis.call('HSET', KEYS[1], 'o', ARGV[1], 'v', 0, unpack(ARGV, 3))
    redis.call('PEXPIRE', KEYS[1], ARGV[2])
    return 'OK'
    """,
)

# KEYS: session, inbox. ARGV: new owner, lease in ms, last inbox id that the client has, prefix of owners to spare.
# Returns nothing for no session; the owner alone when it is spared; else the owner before, all fields, the inbox.
CLAIM = Script(
    "claim session",
    """
    local owner = redis.call('HGET', KEYS[1], 'o')
    if not owner then return nil end
    local spared = ARGV[4]
    if spared ~= '' and owner ~= ARGV[1] and string.sub(owner, 1, #spared) == spared then return {owner} end
    redis.call('HSET', KEYS[1], 'o', ARGV[1])
    redis.call('PEXPIRE', KEYS[1], ARGV[2])
    redis.call('PEXPIRE', KEYS[2], ARGV[2])
    return {owner, redis.call('HGETALL', KEYS[1]), redis.call('XRANGE', KEYS[2], '(' .. ARGV[3], '+')}
    """,
)

# KEYS: session, inbox. ARGV: owner, lease in ms, version, number of fields to delete, these, then fields and values.
# A version that is not new has been written already, or comes late from a connection that was given up.
WRITE = Script(
    "write session",
    """
    local stored = redis.call('HMGET', KEYS[1], 'o', 'v')
    if stored[1] ~= ARGV[1] then return 'FENCED' end
    redis.call('PEXPIRE', KEYS[1], ARGV[2])
    if tonumber(stored[2]) >= tonumber(ARGV[3]) then return 'OK' end
    local deleted = tonumber(ARGV[4])
    if deleted > 0 then redis.call('HDEL', KEYS[1], unpack(ARGV, 5, 4 + deleted)) end
    redis.call('HSET', KEYS[1], 'v', ARGV[3], unpack(ARGV, 5 + deleted))
    return 'OK'
    """,
)

# KEYS: session, inbox. ARGV: owner, lease in ms.
RENEW = Script(
    "renew session",
    """
    if redis.call('HGET', KEYS[1], 'o') ~= ARGV[1] then return 'FENCED' end
    redis.call('PEXPIRE', KEYS[1], ARGV[2])
    redis.call('PEXPIRE', KEYS[2], ARGV[2])
    return 'OK'
    """,
)

# KEYS: session, inbox. ARGV: owner.
CLOSE = Script(
    "close session",
    """
    if redis.call('HGET', KEYS[1], 'o') ~= ARGV[1] then return 'FENCED' end
    redis.call('DEL', KEYS[1], KEYS[2])
    return 'OK'
    """,
)

# KEYS: session, inbox. ARGV: a JSON-RPC message, an id of its own that is not to be guessed, the name that the session
# must have. Returns the id in the inbox and the owner, if there is such a session.
POST = Script(
    "post to session",
    f"""
    local lease = redis.call('PTTL', KEYS[1])
    if lease < 0 or redis.call('HEXISTS', KEYS[1], 'n:' .. ARGV[3]) == 0 then return nil end
    local owner = redis.call('HGET', KEYS[1], 'o')
    for _, entry in ipairs(redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 16)) do
      if entry[2][4] == ARGV[2] then
        redis.call('PEXPIRE', KEYS[2], lease)
        return {{entry[1], owner}}
      end
    end
    local id = redis.call('XADD', KEYS[2], 'MAXLEN', '{INBOX_MAX}', '*', 'm', ARGV[1], 'i', ARGV[2])
    redis.call('PEXPIRE', KEYS[2], lease)
    return {{id, owner}}
    """,
)
