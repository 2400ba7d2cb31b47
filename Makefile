# Every target does its own set-up; the second time each is quick.
# a Python for .venv; without it, one that suits is looked for
PYTHON ?=
VENV ?= .venv
BIN := $(VENV)/bin
DEMO_ARGS ?=
TEST_ARGS ?=
BENCH_ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev up demo test test-all test-unit check format bench bench-analytics lock lock-packages lock-images sbom clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/.runtime: requirements.lock pyproject.toml
	@PYTHON="$(PYTHON)" VENV="$(VENV)" scripts/setup.sh requirements.lock
	@touch $@

$(VENV)/.dev: requirements-dev.lock pyproject.toml
	@PYTHON="$(PYTHON)" VENV="$(VENV)" scripts/setup.sh requirements-dev.lock
	@touch $(VENV)/.runtime $@

setup: $(VENV)/.runtime ## make .venv with the pinned dependencies

setup-dev: $(VENV)/.dev ## the same, with the tools that tests and checks need

up: setup ## start the platform, with what is in .universe, until Ctrl-C
	@exec $(BIN)/universe up

demo: setup ## start the platform, send events, print a report; DEMO_ARGS=--exit to stop after it
	@exec $(BIN)/universe demo $(DEMO_ARGS)

# a process that may not keep compiled modules compiles them at each start; tests start hundreds
PYTEST = env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m pytest

test: setup-dev ## run the tests that take minutes; TEST_ARGS="-k name" to choose
	@$(PYTEST) -n 5 $(TEST_ARGS)

test-all: setup-dev ## run the slow ones: chaos, outages, images, long properties
	@$(PYTEST) -n 3 -m slow $(TEST_ARGS)

test-unit: setup-dev ## run the unit tests; VENV=.venv-3.13 PYTHON=python3.13 for another Python
	@$(PYTEST) tests/unit $(TEST_ARGS)

check: setup-dev ## lint, format, types, contracts between folders, dependencies, dead code
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@PYTHONPATH=. $(BIN)/lint-imports
	@$(BIN)/deptry .
	@$(BIN)/vulture
	@$(BIN)/pyright

format: setup-dev ## format the code
	@$(BIN)/ruff check --fix -q . ; $(BIN)/ruff format .

bench: setup-dev ## run the benchmarks; BENCH_ARGS=--help tells which there are
	@$(BIN)/python -m tests.bench $(BENCH_ARGS)

bench-analytics: setup-dev ## compare reports with raw SQL and DuckDB on 5 million events
	@$(BIN)/python -m tests.bench.bench_analytics $(BENCH_ARGS)

sbom: setup-dev ## write software bills of materials (CycloneDX) into build/sbom
	@VENV="$(VENV)" scripts/sbom.sh

lock: lock-packages lock-images ## pin again packages by hashes and images by digests

lock-packages: ## pin again what pyproject.toml allows, with hashes
	@uv=$$(scripts/uv.sh) \
	&& compile="$$uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate --no-emit-index-url --upgrade" \
	&& $$compile pyproject.toml --group build --extra otel -o requirements.lock \
	&& $$compile pyproject.toml --group build --extra otel --extra dev -c requirements.lock -o requirements-dev.lock \
	&& echo uv | $$compile --python-version 3.8 - -o requirements-uv.lock \
	&& cp requirements-uv.lock templates/python3-functions-framework/

lock-images: ## ask the registries for the digests of images, and write them into infra/images.lock and manifests
	@python3 scripts/lock_images.py

clean: ## remove .venv and the platform's state
	rm -rf .venv .venv-* .universe build *.egg-info
