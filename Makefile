# Two commands do everything: `make studio` and `make test`. The rest is for development.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := PIP_DISABLE_PIP_VERSION_CHECK=1 $(BIN)/pip install --quiet -c constraints.txt
ARGS ?=
JOBS ?= 2

.PHONY: studio test test-tiny check soak bench wheel clean help

help:
	@echo "make studio   install, start the server with the embedded model, print the address (ARGS='--port 8000 --model DIR')"
	@echo "make test     install what is missing and run all tests, those in a browser too, in two processes (JOBS=0: in one)"
	@echo "make test-tiny  only the tests of the embedded model's world, judge and training (o1_tiny/)"
	@echo "make check    ruff, mypy, import-linter"
	@echo "make soak     500 jobs with cancels, worker kills and reconnecting readers (minutes)"
	@echo "make bench    quality and speed of the embedded model, as a report in bench-out/"

studio: $(VENV)/.runtime
	@$(BIN)/hidream-studio serve $(ARGS)

test: $(VENV)/.dev
	@sh scripts/find_browser.sh
	@$(BIN)/pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder -m "not gpu and not soak" $(ARGS)

test-tiny: $(VENV)/.dev
	@$(BIN)/pytest -n $(JOBS) --dist loadfile -m "not gpu" $(ARGS) o1_tiny

check: $(VENV)/.dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

soak: $(VENV)/.dev
	@$(BIN)/pytest -m soak --timeout 3600 -s $(ARGS)

bench: $(VENV)/.runtime
	@$(BIN)/hidream-studio bench --suite o1-tiny --out bench-out $(ARGS)

wheel: $(VENV)/.dev
	@$(BIN)/python -m build --wheel

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed; this is " + sys.version.split()[0] + ". Try: make PYTHON=python3.12 ...")'
	@echo "Making $(VENV) ..."
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: $(VENV)/bin/python pyproject.toml o1_tiny/pyproject.toml constraints.txt
	@echo "Installing HiDream Studio (a few minutes the first time) ..."
	@$(PIP) -e '.[bench]' -e o1_tiny
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime
	@echo "Installing what the tests need ..."
	@$(PIP) -e '.[bench,dev]'
	@touch $@

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache
