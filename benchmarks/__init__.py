"""How fast and how complete the provider is, against SQL by hand and against others, in turns, as ratios.

__main__.py    the command line: python -m benchmarks
pages.py       the workloads by their names; RESULTS.md and the table of the peers, out of results.json
hops.py        how many calls, functions and modules of ours an operation goes through
operations.py  each operation against hand-written psycopg
cells.py       search under every share of matching rows, against the best SQL of the same recall
drift.py       recall inside a memory unlike everything that was measured before it came
hybrid.py      search by meaning and words, against its bare statement
memory.py      how much memory a stream takes, each in a process of its own
moving.py      a copy of a whole schema, against COPY by hand
retrieval.py   what is found of LoCoMo's answers; locomo.py reads its file
lab.py         the server and its schemas
data.py        made-up documents, vectors and questions
timing.py      turns
raw.py, raw_search.py   the limit: hand-written psycopg on the provider's own tables
peers/         other stores on pgvector, each in a process of its own
plots.py       the pictures
report.py      the machine, the tables, results.json
"""
