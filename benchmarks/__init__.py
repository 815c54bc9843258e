"""How fast and how complete the provider is, against SQL by hand and against others, in turns, as ratios.

__main__.py    the command line: python -m benchmarks
pages.py       the workloads by their names; RESULTS.md and the table of the peers, out of results.json
hops.py        how many calls, functions and modules of ours an operation goes through
operations.py  every public operation against hand-written psycopg; reading.py and writing.py have them, bench.py what
               they are done on
inside.py      search inside memories of 10, 100 and 1,000 rows, against one prepared statement
throughput.py  searches of many threads and of many tasks, against the same by hand
mix.py         another memory each time, among stores and reads
cells.py       search under every share of matching rows, against the best SQL of the same recall
drift.py       recall inside a memory unlike everything that was measured before it came
scale.py       a million documents: storing them, building their index, searching in every share, forgetting a memory
hybrid.py      search by meaning and words, against its bare statement
memory.py      how much memory a stream takes, each in a process of its own
footprint.py   what a provider keeps in memory after many searches, and what is left of it
reclaiming.py  what a mass delete leaves behind, and what it takes to have the room and the speed back
sizes.py       how much room documents take, and how long the vector index takes to build
sessions.py    sessions and processes that opening and growing take
moving.py      a copy of a whole schema, against COPY by hand
retrieval.py   what is found of LoCoMo's answers; locomo.py reads its file
lab.py         the server and its schemas; clustered.py stores one data set there in both tables
data.py        made-up documents, vectors and questions
timing.py      turns
raw.py, raw_search.py   the limit: psycopg by hand; raw_tables.py has the tables: a minimal one and the provider's own
peers/         other stores on pgvector, each in a process of its own
plots.py       the pictures
report.py      the machine, the tables, results.json
"""
