# The two commands: `make demo` and `make test`. Both make the virtual environment first if it is not there.
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

# Searches and tests start many processes: none of them should compile our modules again.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help install demo test test-cluster unit lint format bench bench-trials bench-search bench-faults bench-load bench-attack \
	matrix 	mutants reproduce clean

help:  ## Say what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

install: $(INSTALLED)  ## Make the virtual environment (VENV=/some/path) with the tested versions

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	@echo "installing the tested versions into $(VENV); this takes a few minutes"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[demo,dev,postgresql,quantization,service]"
	touch $@

demo: install  ## Run a real search on this machine: about 12 trials, a front, an exported adapter
	$(BIN)/python -m search.demo

test: install  ## Run the test suite but for its cluster tier
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not cluster" --numprocesses 3 --dist loadscope --no-loadscope-reorder

test-cluster: install  ## Run the cluster tier: several Ray nodes, and processes that are killed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m cluster --numprocesses 2 --dist loadgroup

unit: install  ## Run the quick tests: no training, no Ray, no MLflow; takes a minute
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not slow and not integration and not cluster" --numprocesses 2 --dist loadfile

lint: install  ## Check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: install  ## Bring the code into shape
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: install  ## Measure, as ratios within one run; writes bench.json
	$(BIN)/python -m tests.bench

matrix: install  ## Try every method on a tiny model of every family; writes docs/models.md, takes two minutes
	$(BIN)/python -m tests.bench.matrix

bench-trials: install  ## Measure what surrounds the steps: starts, memory, tracking, kept activations, packing; takes 45 minutes
	$(BIN)/python -m tests.bench.starts
	$(BIN)/python -m tests.bench.sharing
	$(BIN)/python -m tests.bench.reporting
	$(BIN)/python -m tests.bench.prefix
	$(BIN)/python -m tests.bench.packing

bench-search: install  ## Replay ways to search on recorded trainings; writes tables and a picture into study
	$(BIN)/python -m pip install --quiet --no-deps syne-tune==0.16.0  # one of those that are compared
	$(BIN)/python -m tests.bench.replay

bench-faults: install  ## Have parts of the deployment fail in the middle of a search; writes faults.json
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.bench.faults

bench-load: install  ## Let 50 clients look at a search of 2,000 trials through the service; writes load.json, takes 15 minutes
	$(BIN)/python -m tests.bench.load

bench-attack: install  ## Attack the service: its tests, then what one client can do to the others; writes attack.json
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/search/service
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.bench.attack

mutants: install  ## Make the drawn small changes of the code and see which no test notices; takes an hour
	$(BIN)/python -m tests.bench.mutants run

reproduce: install  ## Measure what docs/results.md says of the methods; needs ../shared/data, takes hours
	$(BIN)/python -m tests.bench.surm_psd
	$(BIN)/python -m tests.bench.surm_pinwheel
	$(BIN)/python -m tests.bench.dst_extreme
	$(BIN)/python -m tests.bench.memory
	$(BIN)/python -m tests.bench.learning_rates
	$(BIN)/python -m tests.bench.study
	$(BIN)/python -m tests.bench.precision

clean:  ## Remove what was made
	rm -rf $(VENV) build *.egg-info demo-output
