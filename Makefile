# Every target sets up what it needs, once, in $(VENV), and again when pyproject.toml or constraints.txt change.
# Needs python >= 3.11 with venv, and make; no virtual environment need be active.

PYTHON ?= python3
VENV ?= .venv
ARGS ?=

BIN := $(VENV)/bin
RUNTIME := $(VENV)/.stamp-runtime
DEV := $(VENV)/.stamp-dev
BENCH := $(VENV)/.stamp-bench
DOCS := $(VENV)/.stamp-docs
DIST := $(VENV)/.stamp-dist
SETUP := pyproject.toml constraints.txt

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-slow test-gpu check format bench docs dist release-test clean distclean

help: ## show this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(RUNTIME) ## a first minute: makes clips, trains, evaluates, predicts, writes a report; no network after set-up
	$(BIN)/tubelet demo $(ARGS)

test: $(DEV) ## the tests but for the slow ones
	$(BIN)/python -m pytest -m "not slow and not cuda" -n auto --maxprocesses 8 --dist loadfile $(ARGS)

test-slow: $(DEV) ## the slow tests alone
	$(BIN)/python -m pytest -m slow --timeout 1200 $(ARGS)

test-gpu: $(DEV) ## the tests that need a GPU, five minutes at most; they are skipped by name where there is none
	TUBELET_TYPECHECK=0 $(BIN)/python -m pytest -m cuda -s $(ARGS)

check: $(DEV) ## format, lint, types, direction of imports
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: $(DEV) ## format, and mend what the linter can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(BENCH) ## speed and memory beside the peers
	$(BIN)/python -m benchmarks $(ARGS)

docs: $(DOCS) ## the documentation site, build/site/index.html; warnings are errors, and no network is needed
	$(BIN)/python -m sphinx -b html -n -W --keep-going -q -d build/doctrees docs build/site $(ARGS)
	@echo build/site/index.html

dist: $(DIST) ## wheel and sdist in dist/, built twice to the same bytes, checked as an index does
	PYTHON=$(abspath $(BIN)/python) .ci/dist

release-test: dist ## install the wheel outside the checkout, and do there what a user does first
	.ci/smoke newest $(PYTHON) dist/*.whl

clean: ## remove caches and build outputs
	rm -rf build dist docs/reference .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean ## remove the virtual environment too
	rm -rf $(VENV)

# Sets up $(VENV) with the extras $(1), and heals what an interrupted set-up left behind:
# `python -m venv` writes activate last, so an environment without it (or with too old a python) is made anew;
# pip writes INSTALLER last, so a package without it is forgotten and installed again.
define install
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "tubelet needs python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1)." \
	       "Name another one: make PYTHON=python3.12" >&2; exit 1; }
	@test -f $(BIN)/activate && $(BIN)/python -c 'import sys, pip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	  || $(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -c 'import pathlib, shutil, sysconfig; \
	  [shutil.rmtree(d) for d in pathlib.Path(sysconfig.get_path("purelib")).glob("*.dist-info") \
	   if not (d / "INSTALLER").exists()]'
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e '.$(1)'
endef

$(RUNTIME): $(SETUP)
	$(call install,)
	@touch $@

$(DEV): $(SETUP)
	$(call install,[dev])
	@touch $(RUNTIME) $@

$(DOCS): $(SETUP)
	$(call install,[docs])
	@touch $(RUNTIME) $@

$(DIST): $(SETUP)
	$(call install,[dist])
	@touch $(RUNTIME) $@

$(BENCH): $(SETUP)
	$(call install,[bench])
	@touch $(RUNTIME) $@
