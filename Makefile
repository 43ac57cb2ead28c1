.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
BENCHMARKS := .venv-benchmarks

.PHONY: help install demo test slow lint types benchmark benchmark-speed clean

help: ## Show what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(VENV)/installed ## Make .venv with the pinned versions (torch's CPU build)

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt torch
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[demo,dev]"
	touch $(VENV)/installed

demo: install ## Teach, distill, prove and export on this machine's own texts; no network
	$(BIN)/limbeck demo --output runs/demo

test: install ## Run the tests (CPU, no network, a quarter of an hour on two cores)
	$(BIN)/python -m pytest -q -n auto --maxprocesses 4 --dist loadfile

slow: install ## Run the tests that train on real data, too
	$(BIN)/python -m pytest -q -m "slow or not slow"

lint: install ## Check style
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: install ## Check types
	$(BIN)/pyright

benchmark: install ## Measure the numbers of the README on ../shared/data (half an hour)
	$(BIN)/python benchmarks/sst2.py

$(BENCHMARKS)/installed: pyproject.toml constraints.txt benchmarks/requirements.txt
	$(PYTHON) -m venv $(BENCHMARKS)
	$(BENCHMARKS)/bin/pip install --quiet --disable-pip-version-check --constraint constraints.txt torch
	$(BENCHMARKS)/bin/pip install --quiet --disable-pip-version-check --constraint constraints.txt --requirement benchmarks/requirements.txt --editable .
	touch $(BENCHMARKS)/installed

benchmark-speed: $(BENCHMARKS)/installed ## Measure speed against TextBrewer and the Trainer, side by side
	$(BENCHMARKS)/bin/python benchmarks/speed.py

clean: ## Remove the environments, runs and knowledge
	rm -rf $(VENV) $(BENCHMARKS) runs knowledge build src/*.egg-info
