"""Memories on their way: from one provider to another, and soon to files and back.

_streams.py    what is moved: a source of documents, and what its documents add up to
"""
