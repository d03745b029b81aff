# Everything is set up in a virtual environment of the project's own.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test lint docs figures notebooks fuzz bench bench-history bench-peers ratios speed clean

demo: $(VENV)/.demo
	$(BIN)/softmaxjit demo

# In a process for each core, at most four since each may grow to 2 GB; a file stays in one, with what it has compiled.
test: $(VENV)/.test
	$(BIN)/python -m pytest --numprocesses logical --maxprocesses 4 --dist loadfile

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The reference as pages, docs/build/index.html, from the docstrings; then all links, as far as that needs no network.
docs: $(VENV)/.test
	$(BIN)/python -m sphinx -W --keep-going -q -E -b html docs docs/build
	$(BIN)/python docs/check_links.py *.md softmaxjit/_kernels/README.md notebooks/*.ipynb docs/build

figures: $(VENV)/.demo
	$(BIN)/python docs/figures.py

# Run them all in fresh kernels, and keep what they give.
notebooks: $(VENV)/.test
	for notebook in notebooks/*.ipynb; do $(BIN)/python docs/execute_notebook.py $$notebook || exit; done

# Random calls against the oracle; stopped and started again, it goes on where it was.
fuzz: $(VENV)/.test
	$(BIN)/python -m tests.fuzz --calls 200000 --seed 0 --state .fuzz-0.json

# Side by side with the peers that the virtual environment has (see CONTRIBUTING.md).
bench-peers: $(VENV)/.demo
	$(BIN)/softmaxjit bench --shape 1024x1000

# Speed from commit to commit: see CONTRIBUTING.md.
# The suite is told, too: it compiles beforehand no more than that.
ASV = cd asv_bench && BENCH='$(BENCH)' ../$(BIN)/python -m asv
BENCH ?= ^activations.*time_into.*float32
FACTOR ?= 1.2
ROUNDS ?= 3
N ?= 10
COMMITS ?= HASHFILE:.asv/env/commits
ON = $(addprefix --machine ,$(MACHINE))

# The commit that is checked out against its parent, in turns; a table of all at the end, and status 1 if one got worse.
bench: $(VENV)/.test
	$(ASV) machine --yes
	$(BIN)/python asv_bench/scratch.py
	$(ASV) continuous --config .asv/env/scratch/asv.conf.json $(ON) --interleave-rounds --attribute rounds=$(ROUNDS) \
		--factor $(FACTOR) --bench '$(BENCH)' --no-only-changed HEAD^ HEAD

# The last N commits, or COMMITS=TAGS, as far as they have no results yet; then a page of graphs.  asv's status is 2 where
# a commit does not have yet what is timed.
bench-history: BENCH = ^activations.Softmax.time_into.*float32|^activations.Log.*time_into..1024x1000., .float32|^accuracy.*float32|^memory.*100000000, 1000.$$|^startup
bench-history: $(VENV)/.test
	$(ASV) machine --yes
	mkdir -p asv_bench/.asv/env
	git log --first-parent -n $(N) --format=%H > asv_bench/.asv/env/commits
	$(ASV) run $(ON) --skip-existing-successful --bench '$(BENCH)' $(COMMITS) || test $$? = 2
	$(ASV) publish
	$(BIN)/python asv_bench/history_page.py

# What has the peers (see CONTRIBUTING.md), if not the virtual environment.
PEERS ?= $(BIN)/python

# Measure the README's table of ratios anew.
ratios: $(VENV)/.demo
	$(PEERS) asv_bench/ratios.py --measure

# Measure what the notebook on speed shows anew, and run it.
speed: $(VENV)/.test
	$(PEERS) docs/speeds.py
	$(BIN)/python docs/execute_notebook.py notebooks/04_speed.ipynb

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
