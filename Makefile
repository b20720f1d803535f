# Postdesk. Needs python3 (3.11 or newer) and make; everything else is installed into .venv from hashed lock files.
PYTHON := python3
VENV := .venv
PY := $(VENV)/bin/python
.DEFAULT_GOAL := help

.PHONY: help demo test test-long lint fuzz bench lock clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

$(VENV)/run.stamp: requirements/run.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Postdesk needs Python 3.11 or newer: make PYTHON=python3.12"; exit 1; }
	@test -x $(VENV)/bin/pip || $(PYTHON) -m venv $(VENV) >/dev/null 2>&1 || sh requirements/debian-venv $(VENV) $(PYTHON)
	@echo "installing Postdesk into $(VENV) (hashed lock file, about a minute)"
	@$(PY) -m pip install -q --disable-pip-version-check --require-hashes -r requirements/run.txt
	@$(PY) -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/dev.stamp: $(VENV)/run.stamp requirements/dev.txt
	@echo "installing the test tools into $(VENV)"
	@$(PY) -m pip install -q --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@touch $@

demo: $(VENV)/run.stamp  ## run the main job on the embedded default and show it (ONCE=1: end when it is shown)
	@$(VENV)/bin/postdesk demo $(if $(ONCE),--once)

test: $(VENV)/dev.stamp  ## all tests but the long ones, on SQLite and PostgreSQL
	@sh tests/system-packages
	$(PY) -m pytest -q -n 2 --dist worksteal -m "not long" $(ARGS)

test-long: $(VENV)/dev.stamp  ## the long ones: big matrices, kill -9 under load, the whole corpus over SMTP
	@sh tests/system-packages
	$(PY) -m pytest -q -m long $(ARGS)

lint: $(VENV)/dev.stamp  ## ruff, mypy strict, the arrows of the house
	@$(VENV)/bin/ruff check . && $(VENV)/bin/ruff format --check -q .
	@$(VENV)/bin/mypy
	@$(VENV)/bin/lint-imports --no-logo

bench: $(VENV)/dev.stamp  ## measure against the yardsticks, side by side, and print the ratios
	@$(PY) bench/run.py $(ARGS)

lock: $(VENV)/dev.stamp  ## compile the lock files anew from pyproject.toml
	@$(VENV)/bin/uv pip compile pyproject.toml --extra build --python-version 3.11 --universal --generate-hashes --no-emit-index-url --no-header -q -o requirements/run.txt
	@$(VENV)/bin/uv pip compile pyproject.toml --extra build --extra dev --python-version 3.11 --universal --generate-hashes --no-emit-index-url --no-header -q -c requirements/run.txt -o requirements/dev.txt

clean:  ## remove what the targets above made
	rm -rf $(VENV) .demo .cache
