"""What performs the steps of the operations: the only package that touches a connection.

_async.py          performing a step, connecting, the pool; _sync.py is generated from it
_shared.py         what both do without waiting
_wire.py           how values are sent and read: vectors, bits, JSON
_pooling_async.py  what a pool's worker does to connect: a task can be cancelled, a thread (_pooling_sync.py) cannot
"""
