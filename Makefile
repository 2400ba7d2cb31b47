# Every target does its own set-up; the second time each is quick.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO_ARGS ?=
TEST_ARGS ?=
BENCH_ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev up demo test test-all check format bench bench-analytics lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/.runtime: requirements.lock pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing pinned dependencies into $(VENV) ..."
	@$(BIN)/pip install -q --disable-pip-version-check -r requirements.lock
	@$(BIN)/pip install -q --disable-pip-version-check --no-deps -e .
	@touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.runtime
	@echo "installing pinned development dependencies into $(VENV) ..."
	@$(BIN)/pip install -q --disable-pip-version-check -r requirements-dev.lock
	@touch $@

setup: $(VENV)/.runtime ## make .venv with the pinned dependencies

setup-dev: $(VENV)/.dev ## the same, with the tools that tests and checks need

up: setup ## start the platform, empty, until Ctrl-C
	@exec $(BIN)/universe up

demo: setup ## start the platform, send events, print a report; DEMO_ARGS=--exit to stop after it
	@exec $(BIN)/universe demo $(DEMO_ARGS)

test: setup-dev ## run the tests that take minutes; TEST_ARGS="-k name" to choose
	@$(BIN)/python -m pytest -n 4 $(TEST_ARGS)

test-all: setup-dev ## run the slow ones: chaos, outages, images, long properties
	@$(BIN)/python -m pytest -n 2 -m slow $(TEST_ARGS)

check: setup-dev ## lint, check the format, check types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/pyright

format: setup-dev ## format the code
	@$(BIN)/ruff check --fix -q . ; $(BIN)/ruff format .

bench: setup-dev ## run the benchmarks; BENCH_ARGS=--help tells which there are
	@$(BIN)/python -m tests.bench $(BENCH_ARGS)

bench-analytics: setup-dev ## compare reports with raw SQL and DuckDB on 5 million events
	@$(BIN)/python -m tests.bench analytics

lock: setup-dev ## pin again what pyproject.toml allows
	@$(BIN)/pip install -q --disable-pip-version-check uv
	@$(BIN)/uv pip compile pyproject.toml -q --no-header --no-annotate --no-emit-index-url --upgrade -o requirements.lock
	@$(BIN)/uv pip compile pyproject.toml -q --no-header --no-annotate --no-emit-index-url --upgrade --extra dev -c requirements.lock -o requirements-dev.lock

clean: ## remove .venv and the platform's state
	rm -rf $(VENV) .universe build *.egg-info
