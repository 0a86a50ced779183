# Every task sets up what it needs: .venv is made when it is missing, and brought up to date when it is
# older than pyproject.toml. Each task installs the extra of its name.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

DEMO_SECONDS ?= 20
PYTEST_ARGS ?=
PYTEST_WORKERS ?= 3
BENCH_ARGS ?=

FLOORS := supervision actors adapters
PACKAGES := $(notdir $(patsubst %/__init__.py,%,$(wildcard $(FLOORS:%=%/*/__init__.py))))
PRODUCT = $(shell find $(wildcard $(FLOORS) samples) -name '*.py')

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test soak lint format types bench docs dev clean

help:  ## Show this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

demo: $(VENV)/.installed-demo  ## A whole station for DEMO_SECONDS (20), with all that can go wrong, and its books
	$(BIN)/pywats-station demo --seconds $(DEMO_SECONDS)

# Files go to processes in the order that tests/support/scheduling.py gives. A process that dies is not begun anew:
# pytest-xdist would wait for its tests for ever.
# Python starts some hundred times, and compiles anew what is not kept; the files are ignored by git.
test: export PYTHONDONTWRITEBYTECODE :=
test: $(VENV)/.installed-test  ## Run the tests; PYTEST_ARGS="-k mailbox" to choose
	$(BIN)/python -m pytest -n $(PYTEST_WORKERS) --dist loadfile --no-loadscope-reorder --max-worker-restart 0 \
		$(PYTEST_ARGS)

soak: $(VENV)/.installed-test  ## Kill a station 200 times, and try 20,000 random trees against OTP's rules
	PYWATS_KILLS=200 PYWATS_EXAMPLES=20000 $(BIN)/python -m pytest -o faulthandler_timeout=0 \
		tests/station/test_killed.py tests/files tests/supervision/test_against_otp_model.py

lint: $(VENV)/.installed-lint  ## ruff, format check, flake8-async, import-linter
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/flake8-async --startable-in-context-manager run $(PRODUCT)
	$(BIN)/lint-imports --no-logo

format: $(VENV)/.installed-lint  ## Format, and mend what ruff can mend safely
	$(BIN)/ruff check --fix-only
	$(BIN)/ruff format

types: $(VENV)/.installed-types  ## mypy strict, and pyright --verifytypes on what is public
	$(BIN)/mypy $(PACKAGES:%=--package %)
	for package in $(PACKAGES); do \
		PATH="$(abspath $(BIN)):$$PATH" pyright --ignoreexternal --verifytypes $$package || exit; \
	done

bench: $(VENV)/.installed-bench  ## Measure speed as ratios to a bare trio channel
	$(BIN)/python tests/benchmarks/run.py $(BENCH_ARGS)

docs: $(VENV)/.installed-docs  ## Build the documentation into site/; every warning is an error
	$(BIN)/sphinx-build --fail-on-warning --keep-going --quiet docs site

dev: $(VENV)/.installed-dev  ## Install the extras of all tasks at once

clean:  ## Remove .venv and everything that was made
	rm -rf $(VENV) site build dist bench-results
	rm -rf .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Python 3.11 or later is needed, and '$(PYTHON)' is not that; try: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -m venv --clear $(VENV) || { rm -rf $(VENV); exit 1; }

$(VENV)/.installed: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

# AMQP 1.0 comes as sources. These two do without it where there is no C compiler.
$(VENV)/.installed-demo $(VENV)/.installed-test: $(VENV)/.installed-%: pyproject.toml | $(BIN)/python
	@$(BIN)/python -m pip install --quiet --editable '.[$*,cfx]' || { \
		echo "AMQP 1.0 could not be installed (it needs gcc and python3-dev); make $* goes on without it" >&2; \
		$(BIN)/python -m pip install --quiet --editable '.[$*]'; }
	@touch $@

$(VENV)/.installed-%: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[$*]'
	@touch $@
