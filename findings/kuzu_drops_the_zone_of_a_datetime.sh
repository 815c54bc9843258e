#!/usr/bin/env bash
# kuzu 0.11.3, and graphiti-core 0.31.2, which declares its times TIMESTAMP there.
# Behaviour: a datetime with a zone keeps its clock and loses its zone, and is not converted to UTC: two datetimes of one
# moment are stored as two. A column that holds zones, TIMESTAMP_TZ, takes no datetime with one. What Graphiti reads back
# of a fact therefore holds hours sooner or later than what was saved; nothing warns of it.
# Output seen:
#   TIMESTAMP of 2024-01-01T12:00:00+05:00: 2024-01-01T12:00:00
#   TIMESTAMP of 2024-01-01T07:00:00+00:00: 2024-01-01T07:00:00
#   TIMESTAMP_TZ of 2024-01-01T12:00:00+05:00: Expression $time has data type TIMESTAMP but expected TIMESTAMP_TZ.
#   Graphiti, valid_at of 2024-01-01T12:00:00+05:00: 2024-01-01T12:00:00
# Needs Python 3.11 or newer and a package registry; exits with 1 where the behaviour is another one.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q "kuzu==0.11.3" "graphiti-core==0.31.2" "httpx==0.28.1" 2>/dev/null
cat >"$work/seen.py" <<'PYTHON'
import asyncio
from datetime import UTC, datetime, timedelta, timezone

import kuzu
from graphiti_core.driver.kuzu_driver import KuzuDriver
from graphiti_core.edges import EntityEdge
from graphiti_core.nodes import EntityNode

NOON = datetime(2024, 1, 1, 12, tzinfo=timezone(timedelta(hours=5)))


def kept(kind: str, time: datetime) -> None:
    with kuzu.Database() as database, kuzu.Connection(database) as connection:
        connection.execute(f"CREATE NODE TABLE Event (id INT64 PRIMARY KEY, time {kind})")
        try:
            connection.execute("CREATE (:Event {id: 1, time: $time})", {"time": time})
        except RuntimeError as error:
            print(f"{kind} of {time.isoformat()}: {str(error).split(': ', 1)[1].split('. ')[0]}.")
            return
        [found] = connection.execute("MATCH (e:Event) RETURN e.time").get_next()
        print(f"{kind} of {time.isoformat()}: {found.isoformat()}")


async def of_graphiti() -> None:
    driver = KuzuDriver()
    of = {"group_id": "g", "created_at": NOON}
    ada, tea = (EntityNode(name=name, name_embedding=[0.5], **of) for name in ("Ada", "tea"))
    likes = EntityEdge(
        source_node_uuid=ada.uuid, target_node_uuid=tea.uuid, name="LIKES", fact="Ada likes tea",
        fact_embedding=[0.5], valid_at=NOON, **of,
    )
    for each in (ada, tea, likes):
        await each.save(driver)
    found = await EntityEdge.get_by_uuid(driver, likes.uuid)
    print(f"Graphiti, valid_at of {NOON.isoformat()}: {found.valid_at.isoformat()}")


kept("TIMESTAMP", NOON)
kept("TIMESTAMP", NOON.astimezone(UTC))
kept("TIMESTAMP_TZ", NOON)
asyncio.run(of_graphiti())
PYTHON
GRAPHITI_TELEMETRY_ENABLED=false "$work/venv/bin/python" -W ignore "$work/seen.py" | tee "$work/seen"
diff "$work/seen" - <<'EXPECTED'
TIMESTAMP of 2024-01-01T12:00:00+05:00: 2024-01-01T12:00:00
TIMESTAMP of 2024-01-01T07:00:00+00:00: 2024-01-01T07:00:00
TIMESTAMP_TZ of 2024-01-01T12:00:00+05:00: Expression $time has data type TIMESTAMP but expected TIMESTAMP_TZ.
Graphiti, valid_at of 2024-01-01T12:00:00+05:00: 2024-01-01T12:00:00
EXPECTED
