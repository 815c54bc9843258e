#!/usr/bin/env bash
# google-adk 2.13.0.
# Behaviour: InMemorySessionService.create_session keeps the lists and dicts of the state that it is given, not copies of
# them: what the caller does with his own list afterwards changes what is stored, for all users where the key begins
# with "app:".
# Output seen:
#   app:tags: ['tea', 'coffee']
#   user:tags: ['tea', 'coffee']
#   tags: ['tea', 'coffee']
# Needs Python 3.11 or newer and a package registry; exits with 1 where the behaviour is another one.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q "google-adk==2.13.0" 2>/dev/null
cat >"$work/seen.py" <<'PYTHON'
import asyncio

from google.adk.sessions import InMemorySessionService

KEYS = ("app:tags", "user:tags", "tags")


async def main() -> None:
    service = InMemorySessionService()
    place = {"app_name": "kitchen", "user_id": "ada", "session_id": "one"}
    given = {key: ["tea"] for key in KEYS}
    await service.create_session(**place, state=given)
    for mine in given.values():
        mine.append("coffee")
    session = await service.get_session(**place)
    for key in KEYS:
        print(f"{key}: {session.state[key]}")


asyncio.run(main())
PYTHON
"$work/venv/bin/python" -W ignore "$work/seen.py" | tee "$work/seen"
diff "$work/seen" - <<'EXPECTED'
app:tags: ['tea', 'coffee']
user:tags: ['tea', 'coffee']
tags: ['tea', 'coffee']
EXPECTED
