# Everything is set up in a virtual environment of the project's own.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test lint fuzz bench-peers clean

demo: $(VENV)/.demo
	$(BIN)/softmaxjit demo

test: $(VENV)/.test
	$(BIN)/python -m pytest

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Random calls against the oracle; stopped and started again, it goes on where it was.
fuzz: $(VENV)/.test
	$(BIN)/python -m tests.fuzz --calls 200000 --seed 0 --state .fuzz-0.json

# Side by side with the peers that the virtual environment has (see CONTRIBUTING.md).
bench-peers: $(VENV)/.demo
	$(BIN)/softmaxjit bench --shape 1024x1000

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

$(VENV)/.demo: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable '.[cli,plot]'
	touch $@

$(VENV)/.test: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	touch $@

clean:
	rm -rf $(VENV)
