#!/usr/bin/env bash
# pydantic-ai-slim 2.68.0.
# Behaviour: a message with an image as BinaryContent, written as JSON by ModelMessagesTypeAdapter and read back by it, is
# not equal to itself, for the content comes back as BinaryImage, which equals no BinaryContent. The same message with
# an audio file is equal. What a store keeps can so not be compared with what an agent holds, as ConversationStore.save
# does to find out which messages are new.
# Output seen:
#   image/png: BinaryContent -> BinaryImage, equal: False
#   audio/mpeg: BinaryContent -> BinaryContent, equal: True
# Needs Python 3.11 or newer and a package registry; exits with 1 where the behaviour is another one.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q "pydantic-ai-slim==2.68.0"
cat >"$work/seen.py" <<'PYTHON'
from pydantic_ai import BinaryContent, ModelMessagesTypeAdapter, ModelRequest, UserPromptPart

for media_type in ("image/png", "audio/mpeg"):
    messages = [ModelRequest(parts=[UserPromptPart(["listen or look", BinaryContent(b"\x00\x01", media_type=media_type)])])]
    read = ModelMessagesTypeAdapter.validate_json(ModelMessagesTypeAdapter.dump_json(messages))
    kinds = [type(each[0].parts[0].content[1]).__name__ for each in (messages, read)]
    print(f"{media_type}: {' -> '.join(kinds)}, equal: {messages == read}")
PYTHON
"$work/venv/bin/python" "$work/seen.py" | tee "$work/seen"
diff "$work/seen" - <<'EXPECTED'
image/png: BinaryContent -> BinaryImage, equal: False
audio/mpeg: BinaryContent -> BinaryContent, equal: True
EXPECTED
