"""Sessions, handles and events that all nodes of a cluster share, in Redis.

Without Redis nothing of it is used but `values`.
"""
