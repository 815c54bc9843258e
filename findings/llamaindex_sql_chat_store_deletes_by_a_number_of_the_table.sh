#!/usr/bin/env bash
# llama-index-core 0.14.25, aiosqlite 0.22.1.
# Behaviour: delete_message(key, idx) of SimpleChatStore deletes the message at the place idx of that chat, counted from 0. The
# same call of SQLAlchemyChatStore, in which a Memory keeps its messages, takes idx for the number of a row among those of all
# chats: it returns None and deletes nothing in the second chat for 0, 1 and 2, and its first message for 4.
# Output seen:
#   SimpleChatStore 0: deleted b0, left b1 b2
#   SQLAlchemyChatStore 0: deleted nothing, left b0 b1 b2
#   SQLAlchemyChatStore 1: deleted nothing, left b0 b1 b2
#   SQLAlchemyChatStore 2: deleted nothing, left b0 b1 b2
#   SQLAlchemyChatStore 4: deleted b0, left b1 b2
# Needs Python 3.11 or newer and a package registry; exits with 1 where the behaviour is another one.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q "llama-index-core==0.14.25" "aiosqlite==0.22.1" 2>/dev/null
cat >"$work/seen.py" <<'PYTHON'
import asyncio
import sys

from llama_index.core.llms import ChatMessage
from llama_index.core.storage.chat_store import SimpleChatStore
from llama_index.core.storage.chat_store.sql import SQLAlchemyChatStore


def said(store: object, place: int, deleted: ChatMessage | None, left: list[ChatMessage]) -> None:
    gone = "nothing" if deleted is None else deleted.content
    print(f"{type(store).__name__} {place}: deleted {gone}, left {' '.join(str(each.content) for each in left)}")


async def main() -> None:
    chats = {chat: [ChatMessage(role="user", content=f"{chat}{number}") for number in range(3)] for chat in "ab"}
    simple = SimpleChatStore()
    kept = SQLAlchemyChatStore(table_name="chats", async_database_uri=f"sqlite+aiosqlite:///{sys.argv[1]}")
    for chat, messages in chats.items():
        simple.set_messages(chat, messages)
        await kept.set_messages(chat, messages)
    said(simple, 0, simple.delete_message("b", 0), simple.get_messages("b"))
    for place in (0, 1, 2, 4):
        said(kept, place, await kept.delete_message("b", place), await kept.get_messages("b"))


asyncio.run(main())
PYTHON
"$work/venv/bin/python" "$work/seen.py" "$work/chats.db" | tee "$work/seen"
diff "$work/seen" - <<'EXPECTED'
SimpleChatStore 0: deleted b0, left b1 b2
SQLAlchemyChatStore 0: deleted nothing, left b0 b1 b2
SQLAlchemyChatStore 1: deleted nothing, left b0 b1 b2
SQLAlchemyChatStore 2: deleted nothing, left b0 b1 b2
SQLAlchemyChatStore 4: deleted b0, left b1 b2
EXPECTED
