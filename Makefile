# Verbs of the project. Each does its own set-up; needed beforehand: Python 3.11 or later and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SITE := .venv-site
SPEECH ?=
CRASHES ?= 50
DRILL_VOICES ?= 5000
DRILL_BACKUPS ?= 5
CASES ?= 200000
KILLS ?= 20
CALLS ?= 50
SEED ?= 1
K ?=
N ?= $(if $(filter tests/%,$(K)),0,auto)
BUSY ?= 4
OSV ?=
SBOM ?= earwitness.cdx.json
CHOSEN = -n $(N) $(if $(filter tests/%,$(K)),$(K),--ignore=tests/cluster $(if $(K),-k "$(K)"))

.PHONY: assets demo test test-cluster cluster-faults cluster-demo stress crash fuzz lint type bench bench-cluster docs site audit sbom check lock clean

assets: $(VENV)/.ready  ## the console's scripts from npm, where the set-up had no network
	$(BIN)/python hatch_build.py

demo: $(VENV)/.ready  ## the live demo: three calls ring at a running service (SPEECH=DIR: calls of your recordings)
	$(BIN)/python scripts/live_demo.py $(if $(SPEECH),"$(SPEECH)")

test: $(VENV)/.ready  ## the test suite (K=tests/wire/test_router.py or K=router: only these; N=2: in so many processes)
	$(BIN)/python -m pytest $(CHOSEN)

stress: $(VENV)/.ready  ## the test suite while BUSY=4 other processes keep the machine busy (K=, N= as for test)
	$(BIN)/python scripts/stress.py $(BUSY) $(CHOSEN)

fuzz: $(VENV)/.ready  ## break Matroska streams and calls of phone systems in many ways (CASES=N, SEED=N: the same N, the same cases)
	$(BIN)/python -m tests.fuzz --cases $(CASES) --seed $(SEED)
	$(BIN)/python -m tests.fuzz.siprec --cases $(CASES) --seed $(SEED)
	$(BIN)/python -m tests.fuzz.audiosocket --cases $(CASES) --seed $(SEED)

test-cluster: $(VENV)/.ready  ## several nodes that are killed, paused and cut off; alone, because nodes have to be on time
	$(BIN)/python -m pytest tests/cluster -n 0

cluster-faults: $(VENV)/.ready  ## break nodes, PostgreSQL and what lies between while calls run, and look for what is lost (KILLS=20, CALLS=50, SEED=1)
	KILLS=$(KILLS) CALLS=$(CALLS) SEED=$(SEED) AWAY_SECONDS=60 $(BIN)/python -m pytest tests/cluster/test_kills.py tests/cluster/test_cuts.py -n 0 -s

cluster-demo: $(VENV)/.ready  ## three nodes, a call on each, one of them killed in the middle
	$(BIN)/python scripts/cluster_demo.py

crash: $(VENV)/.ready  ## kill the service at random moments while calls run (CRASHES=50), and look for what is lost
	CRASHES=$(CRASHES) $(BIN)/python -m pytest tests/crash -n 0

drill: $(VENV)/.ready  ## back up a service under load, destroy it, restore it and compare, on SQLite and PostgreSQL (DRILL_VOICES=5000, DRILL_BACKUPS=5)
	DRILL_VOICES=$(DRILL_VOICES) DRILL_BACKUPS=$(DRILL_BACKUPS) $(BIN)/python -m pytest tests/crash/test_drill.py -n 0

lint: $(VENV)/.ready  ## style, formatting and the rules between rooms
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

type: $(VENV)/.ready  ## types: strict in src, basic in tests
	$(BIN)/pyright
	$(BIN)/pyright -p tests

bench: $(VENV)/.ready  ## accuracy and speed; writes benchmarks/results
	$(BIN)/python -m benchmarks

bench-cluster: $(VENV)/.ready  ## several nodes: cost of a call, kill -9 with 100 calls, 10,000 idle tasks; writes benchmarks/results
	$(BIN)/python -m benchmarks cluster

docs: $(VENV)/.ready  ## regenerate the pages of docs/ that come from the code
	$(BIN)/python scripts/write_docs.py
	$(BIN)/python scripts/dependencies.py

site: $(SITE)/.ready  ## the docs site: build/site/html; a dead link and anything fetched from elsewhere are errors
	$(SITE)/bin/python scripts/build_site.py $(SITE)/bin/zensical

audit: $(VENV)/.ready  ## known weaknesses of the pinned packages (OSV=FILE: all.zip of OSV's PyPI, or a folder of its files)
	$(BIN)/python scripts/audit.py $(if $(OSV),"$(OSV)")

sbom: $(VENV)/.ready  ## the list of parts, CycloneDX 1.6 in JSON (SBOM=FILE)
	$(BIN)/python scripts/sbom.py "$(SBOM)"

check: lint type audit test  ## everything a change must pass

lock: $(VENV)/.ready  ## pin all dependencies anew
	$(BIN)/uv pip compile pyproject.toml --group dev --all-extras --universal --upgrade --generate-hashes \
		--no-emit-index-url --no-header --quiet --output-file requirements.lock
	$(BIN)/uv pip compile pyproject.toml --extra postgres --extra formats --extra srtp --universal --generate-hashes \
		--no-emit-index-url --no-header --quiet --constraint requirements.lock --output-file deploy/requirements.lock
	$(BIN)/uv pip compile site/requirements.in --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-header --quiet --output-file site/requirements.lock

clean:
	rm -rf $(VENV) $(SITE) build .pytest_cache .ruff_cache .hypothesis .import_linter_cache

$(VENV)/.ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "earwitness needs Python 3.11 or later; set PYTHON=/path/to/python3.11"; exit 1; }
	@echo "setting up $(VENV) (once, about a minute)"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(SITE)/.ready: site/requirements.lock  # apart, so that the product's environment has nothing of it
	$(PYTHON) -m venv $(SITE)
	$(SITE)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r site/requirements.lock
	@touch $@
