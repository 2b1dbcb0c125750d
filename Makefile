# make demo   the server and a simulated street, to look at
# make test   all checks and tests
# Every target installs what it needs and does nothing where nothing changed.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
LOCKED := $(VENV)/.locked
INSTALLED := $(VENV)/.installed
PEERS := node_modules/.installed

# Two test processes: the tests share no state, on PostgreSQL each has a database of its own. A file whose fixture is dear is a
# group (xdist_group), so that it is made once.
WORKERS ?= 2
PYTEST_ARGS ?=
# The order of the tests, and what they draw at random: the same every time.
SEED ?= 1
# Of make kill.
KILLS ?= 1000
DATABASE ?= sqlite
# Of make fuzz, per file with properties, and which files (default: all).
FUZZ_MINUTES ?= 20
FUZZ_FILES ?=
# Of make bench, such as "--stations 500 --rounds 1".
BENCH_ARGS ?=

.PHONY: help install demo test fuzz mutants kill lint bench lock clean system peers

help:
	@echo "make install  the csms command in .venv"
	@echo "make demo   start the server and a simulated street; Ctrl-C ends it"
	@echo "make test   lint, types, import rules and every test"
	@echo "make fuzz   property tests with new random examples, FUZZ_MINUTES=20 per file, FUZZ_FILES=..."
	@echo "make mutants  break each rule in a copy and run the tests that name it; MUTANTS=... chooses by name"
	@echo "make kill  kill the server KILLS=1000 times at random moments and look for what it confirmed; DATABASE=sqlite|postgres"
	@echo "make lint   ruff, mypy and import-linter alone"
	@echo "make bench  server cost per message beside a stock server and ocpp-rpc, as JSON; BENCH_ARGS=..."
	@echo "make lock   resolve requirements.lock and package-lock.json anew"
	@echo "make clean  remove everything that was installed or built"

install: $(INSTALLED)

demo: $(INSTALLED)
	@exec $(BIN)/csms demo

test: $(INSTALLED) system peers lint
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup --randomly-seed=$(SEED) $(PYTEST_ARGS)

fuzz: $(INSTALLED)
	$(BIN)/python tests/fuzz.py --minutes $(FUZZ_MINUTES) $(FUZZ_FILES)

mutants: $(INSTALLED)
	$(BIN)/python -m tests.mutants --workers $(WORKERS) $(MUTANTS)

kill: $(INSTALLED)
	KILLS=$(KILLS) SEED=$(SEED) DATABASE=$(DATABASE) $(BIN)/python -m tests.faults.kill

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(INSTALLED) system peers
	$(BIN)/python tests/bench/run.py $(BENCH_ARGS)
	$(BIN)/python tests/bench/fleet.py

system:
	@.ci/need node postgres chromium

$(BIN)/python:
	@PYTHON=$(PYTHON) .ci/need python
	$(PYTHON) -m venv $(VENV)

$(LOCKED): requirements.lock | $(BIN)/python
	$(PIP) install --quiet --require-hashes --requirement requirements.lock
	@touch $@

$(INSTALLED): pyproject.toml $(LOCKED)
	$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

# Without npm (a local machine, not root) the peer tests skip and say why.
peers: system
	@if command -v npm >/dev/null; then $(MAKE) --no-print-directory $(PEERS); fi

$(PEERS): package.json package-lock.json .npmrc
	npm ci --no-audit --no-fund --loglevel=error
	@touch $@

# Names, versions and hashes only. The build backend is locked too, so that nothing is fetched unchecked.
lock: $(BIN)/python
	@mkdir -p build
	$(PYTHON) -m venv build/lock-venv
	build/lock-venv/bin/pip install --quiet pip-tools
	$(BIN)/python .ci/requirements.py > build/requirements.in
	build/lock-venv/bin/pip-compile --quiet --upgrade --generate-hashes --strip-extras --no-header --no-annotate --no-emit-options \
	    --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --output-file build/requirements.lock build/requirements.in
	cp build/requirements.lock requirements.lock
	npm install --package-lock-only --no-audit --no-fund
	$(BIN)/python .ci/bare_npm_lock.py package-lock.json

clean:
	rm -rf $(VENV) node_modules build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .demo
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
