#!/usr/bin/env bash
# crewai 1.15.30, qdrant-edge-py 0.9.0.
# Behaviour: QdrantEdgeStorage makes the number of a point of the first eight bytes of a record's id where that is no UUID:
# records whose ids begin alike replace one another, and get_record() returns another one than was asked for.
# LanceDBStorage, of the same package and the default, keeps all of them.
# Output seen:
#   QdrantEdgeStorage: 1 record, customer-1 brings "is told about coffee", customer-9 "is told about coffee"
#   LanceDBStorage: 2 records, customer-1 brings "is told about tea", customer-9 nothing
# Needs Python 3.11 or newer and a package registry; exits with 1 where the behaviour is another one.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q "crewai==1.15.30" "qdrant-edge-py==0.9.0" "lancedb==0.40.0" 2>/dev/null
cat >"$work/seen.py" <<'PYTHON'
import sys

from crewai.memory.storage.lancedb_storage import LanceDBStorage
from crewai.memory.storage.qdrant_edge_storage import QdrantEdgeStorage
from crewai.memory.types import MemoryRecord

for kind in (QdrantEdgeStorage, LanceDBStorage):
    storage = kind(path=f"{sys.argv[1]}/{kind.__name__}", vector_dim=4)
    for id, drink in (("customer-1", "tea"), ("customer-2", "coffee")):
        storage.save([MemoryRecord(id=id, content=f"is told about {drink}", embedding=[1.0, 0.0, 0.0, 0.0])])
    found = {id: storage.get_record(id) for id in ("customer-1", "customer-9")}
    shown = {id: "nothing" if record is None else f'"{record.content}"' for id, record in found.items()}
    count = storage.count()
    print(f"{kind.__name__}: {count} record{'s' * (count != 1)}, customer-1 brings {shown['customer-1']}, customer-9 {shown['customer-9']}")
PYTHON
HOME="$work" CREWAI_DISABLE_TELEMETRY=true OTEL_SDK_DISABLED=true \
    "$work/venv/bin/python" -W ignore "$work/seen.py" "$work/memory" | tee "$work/seen"
diff "$work/seen" - <<'EXPECTED'
QdrantEdgeStorage: 1 record, customer-1 brings "is told about coffee", customer-9 "is told about coffee"
LanceDBStorage: 2 records, customer-1 brings "is told about tea", customer-9 nothing
EXPECTED
