"""What performs the steps of the operations: the only package that touches a client.

_async.py   performing a step, transactions; _sync.py is generated from it
_shared.py  what both do without waiting
"""
