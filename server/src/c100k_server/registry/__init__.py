"""Names of sessions, unique in a cluster: who registers one is found, and reached, from every node.

`c100k_server.registry.local` serves one worker, `c100k_server.registry.shared` a cluster with Redis, and
`c100k_server.registry.methods` the clients of either.
"""
