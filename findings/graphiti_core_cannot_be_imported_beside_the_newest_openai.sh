#!/usr/bin/env bash
# graphiti-core 0.31.2, openai 3.57.0.
# Behaviour: graphiti-core imports httpx and does not require it: it came with openai, whose versions from 3 on require
# httpx2 in its place. `pip install graphiti-core`, which takes the newest openai, then gives a package that cannot be
# imported; pip finds nothing wrong with it.
# Output seen:
#   No broken requirements found.
#   ModuleNotFoundError: No module named 'httpx'
#   with httpx: imported
# Needs Python 3.11 or newer and a package registry; exits with 1 where the behaviour is another one.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q "graphiti-core==0.31.2" "openai==3.57.0" 2>/dev/null
export GRAPHITI_TELEMETRY_ENABLED=false
{
    "$work/venv/bin/pip" check 2>/dev/null
    "$work/venv/bin/python" -c 'import graphiti_core' 2>&1 | tail -1 || true
    "$work/venv/bin/pip" install -q "httpx==0.28.1" 2>/dev/null
    "$work/venv/bin/python" -W ignore -c "import graphiti_core; print('with httpx: imported')"
} | tee "$work/seen"
diff "$work/seen" - <<'EXPECTED'
No broken requirements found.
ModuleNotFoundError: No module named 'httpx'
with httpx: imported
EXPECTED
