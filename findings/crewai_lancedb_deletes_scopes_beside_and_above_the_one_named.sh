#!/usr/bin/env bash
# crewai 1.15.30, lancedb 0.40.0.
# Behaviour: LanceDBStorage.delete(scope_prefix="/a") deletes the records of "/a" and below, and with them those of "/ab",
# which is another scope, and of "/", which is above it.
# Output seen:
#   before: / /a /a/b /ab /c
#   deleted: 4
#   after: /c
# Needs Python 3.11 or newer and a package registry; exits with 1 where the behaviour is another one.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q "crewai==1.15.30" "lancedb==0.40.0" 2>/dev/null
cat >"$work/seen.py" <<'PYTHON'
import sys

from crewai.memory.storage.lancedb_storage import LanceDBStorage
from crewai.memory.types import MemoryRecord

storage = LanceDBStorage(path=sys.argv[1], vector_dim=4)


def scopes() -> str:
    return " ".join(sorted(record.scope for record in storage.list_records(limit=10)))


embedding = [1.0, 0.0, 0.0, 0.0]
storage.save([MemoryRecord(content=scope, scope=scope, embedding=embedding) for scope in ("/", "/a", "/a/b", "/ab", "/c")])
print(f"before: {scopes()}")
print(f"deleted: {storage.delete(scope_prefix='/a')}")
print(f"after: {scopes()}")
PYTHON
HOME="$work" CREWAI_DISABLE_TELEMETRY=true OTEL_SDK_DISABLED=true \
    "$work/venv/bin/python" -W ignore "$work/seen.py" "$work/memory" | tee "$work/seen"
diff "$work/seen" - <<'EXPECTED'
before: / /a /a/b /ab /c
deleted: 4
after: /c
EXPECTED
