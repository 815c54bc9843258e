#!/usr/bin/env bash
# haystack-ai 3.4.1, python-dateutil 4.0.0 (freezegun 1.5.5 sets the day).
# Behaviour: the in-memory store's ">" says that texts "are only comparable if they are ISO formatted dates", but takes for
# a date whatever dateutil's parser makes something of, filled up with what today is. "9" and "31" are days of this
# month, "32" is a year, 2032, and "100" the year 100. So the very same documents and filter are refused in a month of 30 days
# and answered in one of 31, with "100" not above "9".
# Output seen:
#   2026-11-15: FilterError
#   2026-12-15: ['31', '32']
# Needs Python 3.11 or newer and a package registry; exits with 1 where the behaviour is another one.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q "haystack-ai==3.4.1" "python-dateutil==4.0.0" "freezegun==1.5.5" 2>/dev/null
cat >"$work/seen.py" <<'PYTHON'
from freezegun import freeze_time
from haystack import Document
from haystack.document_stores.in_memory import InMemoryDocumentStore
from haystack.errors import FilterError

store = InMemoryDocumentStore()
store.write_documents([Document(content=room, meta={"room": room}) for room in ("8", "31", "32", "100")])
for day in ("2026-11-15", "2026-12-15"):
    with freeze_time(day):
        try:
            found = store.filter_documents({"field": "meta.room", "operator": ">", "value": "9"})
            print(f"{day}: {[document.content for document in found]}")
        except FilterError as error:
            print(f"{day}: {type(error).__name__}")
PYTHON
HAYSTACK_TELEMETRY_ENABLED=False "$work/venv/bin/python" "$work/seen.py" | tee "$work/seen"
diff "$work/seen" - <<'EXPECTED'
2026-11-15: FilterError
2026-12-15: ['31', '32']
EXPECTED
