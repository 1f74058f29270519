# Two commands need nothing but Python 3.11+: `make demo` and `make test`.
VENV ?= .venv
BIN := $(VENV)/bin
DEMO ?= demo
export CURATE_SETUP := 1

.PHONY: help setup demo test test-all lint types up down clean

help:
	@echo "make demo              the whole loop on a rendered classroom (SERVE=1 leaves the servers up; VIDEO=path takes your own video)"
	@echo "make test              lint, types and tests        make test-all   the slow ones too"
	@echo "make up | make down    the servers of the demo workspace"
	@echo "make clean             remove the demo and caches (the virtual environment stays)"

setup:
	@./.ci/setup

demo: setup
	@$(BIN)/curate demo $(DEMO) $(if $(SERVE),--serve) $(if $(VIDEO),--video "$(VIDEO)") $(if $(SEED),--seed $(SEED))

lint: setup
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: setup
	@$(BIN)/mypy

test: lint types
	@$(BIN)/python -m pytest -q -n 2 --dist loadfile -m "not slow" && echo "make test: lint, types and tests passed"

test-all: lint types
	@$(BIN)/python -m pytest -q -n 2 --dist loadfile && echo "make test-all: lint, types and all tests passed"

up: setup
	@$(BIN)/curate up -w $(DEMO)/workspace

down:
	@$(BIN)/curate down -w $(DEMO)/workspace

clean:
	@if [ -f $(DEMO)/workspace/curate.toml ]; then $(BIN)/curate down -w $(DEMO)/workspace || true; fi
	@rm -rf $(DEMO) build .pytest_cache .mypy_cache .ruff_cache .hypothesis
