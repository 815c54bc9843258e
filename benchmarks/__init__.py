"""How fast the provider is: the same work by hand-written psycopg and by the provider, in turns, as ratios.

__main__.py    the command line: python -m benchmarks
operations.py  what is measured, and how the turns are taken
raw.py         the limit: hand-written psycopg on the provider's own tables
data.py        made-up documents, vectors and questions
memory.py      how much memory a stream takes, each in a process of its own
report.py      the machine, the tables, RESULTS.md
"""
