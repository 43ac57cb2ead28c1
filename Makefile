.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help install demo test slow lint types benchmark clean

help: ## Show what can be made
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(VENV)/installed ## Make .venv with the pinned versions (torch's CPU build)

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt torch
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[demo,dev]"
	touch $(VENV)/installed

demo: install ## Teach, distill, prove and export on this machine's own texts; no network
	$(BIN)/limbeck demo --output runs/demo

test: install ## Run the tests (CPU, no network, a few minutes)
	$(BIN)/python -m pytest -q

slow: install ## Run the tests that train on real data, too
	$(BIN)/python -m pytest -q -m "slow or not slow"

lint: install ## Check style
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: install ## Check types
	$(BIN)/pyright

benchmark: install ## Measure the numbers of the README on ../shared/data (half an hour)
	$(BIN)/python benchmarks/sst2.py

clean: ## Remove the environment, runs and knowledge
	rm -rf $(VENV) runs knowledge build src/*.egg-info
