#!/usr/bin/env bash
# mem0ai 2.2.1, langchain 1.5.2, langchain-core 1.8.3, langchain-community 0.4.2.
# Behaviour: with the provider "langchain", which takes any VectorStore of LangChain's, search finds what add has kept, but
# get_all and delete_all raise TypeError: the adapter's list() reads a private attribute of Chroma's store, `_collection`,
# and returns None for every other, LangChain's own InMemoryVectorStore among them.
# Output seen:
#   search: ['tea at noon']
#   get_all: TypeError
#   delete_all: TypeError
# Needs Python 3.11 or newer and a package registry; exits with 1 where the behaviour is another one.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q "mem0ai==2.2.1" "langchain-core==1.8.3" "langchain-community==0.4.2" "langchain==1.5.2" 2>/dev/null
cat >"$work/seen.py" <<'PYTHON'
import sys

from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.language_models import FakeListChatModel
from langchain_core.vectorstores import InMemoryVectorStore
from mem0 import Memory

embedder = DeterministicFakeEmbedding(size=8)
memory = Memory.from_config(
    {
        "vector_store": {"provider": "langchain", "config": {"client": InMemoryVectorStore(embedder)}},
        "llm": {"provider": "langchain", "config": {"model": FakeListChatModel(responses=["{}"])}},
        "embedder": {"provider": "langchain", "config": {"model": embedder}},
        "history_db_path": sys.argv[1],
    }
)
memory.add("tea at noon", user_id="ada", infer=False)
found = memory.vector_store.search(query="tea at noon", vectors=embedder.embed_query("tea at noon"), top_k=5)
print(f"search: {[each.payload['data'] for each in found]}")
for name, call in (
    ("get_all", lambda: memory.get_all(filters={"user_id": "ada"})),
    ("delete_all", lambda: memory.delete_all(user_id="ada")),
):
    try:
        print(f"{name}: {call()}")
    except TypeError as error:
        print(f"{name}: {type(error).__name__}")
PYTHON
MEM0_TELEMETRY=False MEM0_DIR="$work" "$work/venv/bin/python" -W ignore "$work/seen.py" "$work/history.db" | tee "$work/seen"
diff "$work/seen" - <<'EXPECTED'
search: ['tea at noon']
get_all: TypeError
delete_all: TypeError
EXPECTED
