# The commands of the project. A bare Debian or Ubuntu with Python 3.11+ (venv), make and a network to PyPI is enough
# for `make demo` and `make test`: no compiler, no GL library, no git, no root.
SHELL := /bin/sh
.DEFAULT_GOAL := help

# The first Python of 3.11 to 3.13 on this machine; override with `make PYTHON=/path/to/python3.12 ...`.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && echo $$p && break; done)
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
DEMO_CAPTURE ?= examples/capture
DEMO_OUT ?= out/demo
PYTEST_ARGS ?= -n auto --dist loadfile
BENCH_DIR ?= out/bench

.PHONY: help demo test test-services lint format type bench examples docs lock clean

help: ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

demo: $(VENV)/.warm ## install, reconstruct the shipped sample, print where the result and its verdict are
	@$(BIN)/meshwright reconstruct $(DEMO_CAPTURE) -o $(DEMO_OUT) --texture-size 1024 --overwrite  # its photos have 768 px

test: $(VENV)/.test ## every test that needs no server, browser, Node or GPU
	@$(BIN)/python -m pytest $(PYTEST_ARGS) -m "not services and not gpu and not slow" --ignore tests/services  # imports more

test-services: $(VENV)/.services ## tests with outside programs (Node's glTF validator); installs what is missing where it may
	@.ci/services
	@$(BIN)/python -m pytest -m services

lint: $(VENV)/.dev ## ruff and import-linter
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/lint-imports

format: $(VENV)/.dev ## let ruff format and fix
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

type: $(VENV)/.dev ## basedpyright, strict on src
	@$(BIN)/basedpyright

bench: $(VENV)/.core ## time by stage on a full-size capture, and the growth with views and resolution
	@$(BIN)/python benchmarks/timing.py --out $(BENCH_DIR)

examples: $(VENV)/.core ## reconstruct the shipped sample into examples/result (small enough to ship) and make README's picture
	@$(BIN)/meshwright reconstruct examples/capture -o examples/result --faces 7000 --texture-size 768 --overwrite
	@$(BIN)/python docs/picture.py

docs: $(VENV)/.dev ## write the generated pages (docs/cli.md) and build the site into site/
	@$(BIN)/python docs/generate.py && $(BIN)/mkdocs build --strict --quiet

lock: $(VENV)/.dev ## renew uv.lock and constraints.txt (needs uv)
	@.ci/lock

clean: ## remove what the targets made (not the results in out/)
	rm -rf $(VENV) site .pytest_cache .ruff_cache tests/services/node_modules

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "Meshwright needs Python 3.11, 3.12 or 3.13; none was found. Debian or Ubuntu: apt install python3 python3-venv"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "Could not make a virtual environment. Debian or Ubuntu: apt install python3-venv"; rm -rf $(VENV); exit 1; }

# Stamps: a level is installed again only when what it was installed from has changed.
$(VENV)/.core: $(VENV)/bin/python pyproject.toml constraints.txt
	@echo "Installing Meshwright into $(VENV) (once; a minute or so)"
	@$(PIP) install --quiet --constraint constraints.txt --editable .
	@touch $@

# numba compiles on first use and caches; done here, the first reconstruction is as fast as every other.
$(VENV)/.warm: $(VENV)/.core
	@echo "Compiling the kernels (once; ten seconds or so)"
	@$(BIN)/python -m meshwright.warm
	@touch $@

$(VENV)/.test: $(VENV)/bin/python pyproject.toml constraints.txt
	@echo "Installing Meshwright and its tests' libraries into $(VENV) (once; a minute or so)"
	@$(PIP) install --quiet --constraint constraints.txt --editable ".[test]"
	@touch $@ $(VENV)/.core

$(VENV)/.services: $(VENV)/bin/python pyproject.toml constraints.txt
	@echo "Installing Meshwright and the clients of the servers its tests start into $(VENV) (once; a minute or so)"
	@$(PIP) install --quiet --constraint constraints.txt --editable ".[services]"
	@touch $@ $(VENV)/.core $(VENV)/.test

$(VENV)/.dev: $(VENV)/bin/python pyproject.toml constraints.txt
	@echo "Installing Meshwright and its developers' tools into $(VENV) (once; a minute or so)"
	@$(PIP) install --quiet --constraint constraints.txt --editable ".[dev]"
	@touch $@ $(VENV)/.core $(VENV)/.test
