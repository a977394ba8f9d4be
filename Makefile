# Two commands do everything: `make pfl` and `make test`. Nothing outside this folder is touched.
# PYTHON: an interpreter of Python 3.11 or later to create .venv with.  ENV: a folder of conf/, or none.
PYTHON ?= python3
ENV ?=
KEDRO := .venv/bin/kedro
LOCK := requirements.lock
# The files of tests begin in the order that tests/conftest.py gives them.
PARALLEL := -n 2 --dist loadfile --no-loadscope-reorder
# Without ENV it is the plain command, which reads conf/local too.
OPTIONS := $(if $(ENV), --env=$(ENV))

.DEFAULT_GOAL := help
.PHONY: help environment pfl test test-fast test-all docs format lint cluster-drill deploy-demo clean

help:  ## what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# The environment is as good as new exactly when the digest in it equals the digest of what it was
# made from: the lock file, pyproject.toml, and this folder, whose path is in the environment's files
# (a copy in another folder would run this one's code). The digest is written last, so an
# installation that was interrupted is made again.
environment:  ## create .venv from requirements.lock, or do nothing where it is up to date
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "ms_pfl needs Python 3.11 or later; say which one with: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@wanted=$$($(PYTHON) -c 'import hashlib, os, sys; print(hashlib.sha256(b"\0".join([*(open(f, "rb").read() for f in sys.argv[1:]), os.fsencode(os.getcwd())])).hexdigest())' $(LOCK) pyproject.toml); \
	if [ "$$(cat .venv/.made-from 2>/dev/null)" != "$$wanted" ]; then set -e; \
	  echo "Creating the environment .venv from $(LOCK) (2.5 GB, on Linux with x86_64 about 6 GB; some minutes, once)"; \
	  rm -rf .venv; $(PYTHON) -m venv .venv; \
	  .venv/bin/python -m pip install --quiet --disable-pip-version-check -r $(LOCK); \
	  .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .; \
	  echo "$$wanted" > .venv/.made-from; \
	fi

pfl: environment  ## the main job: kedro run --pipeline=pfl (make pfl ENV=smoke for a first look)
	@echo "Running: kedro run --pipeline=pfl$(OPTIONS)"
	@$(KEDRO) run --pipeline=pfl$(OPTIONS)

test: environment  ## the test suite
	@echo "Running: python -m pytest $(PARALLEL)"
	@.venv/bin/python -m pytest $(PARALLEL)

test-fast: environment  ## the unit tests, with few examples per property (under a minute)
	@HYPOTHESIS_PROFILE=dev .venv/bin/python -m pytest $(PARALLEL) -m "unit and not slow"

test-all: environment  ## all tests, with the slow drills and many examples per property (hours)
	@HYPOTHESIS_PROFILE=nightly .venv/bin/python -m pytest $(PARALLEL) -m "slow or not slow"

# Kedro-Viz writes to build/ alone, with the tables and figures of the last run as previews.
docs: environment  ## the documentation and the pipelines as static sites, in build/docs and build/viz
	@rm -rf build
	@.venv/bin/kedro viz build --include-previews
	@mv build viz.built && mkdir build && mv viz.built build/viz
	@.venv/bin/python docs/site/make_site.py
	@echo "Look at both with: .venv/bin/python -m http.server --directory build"
	@echo "  http://127.0.0.1:8000/docs/   the documentation (or open build/docs/index.html)"
	@echo "  http://127.0.0.1:8000/viz/    the pipelines"

format: environment  ## put the code into its form
	@.venv/bin/ruff check --fix .
	@.venv/bin/ruff format .

lint: environment  ## ruff, mypy and the arrows between the packages
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy
	@.venv/bin/lint-imports

cluster-drill: environment  ## the job on two Ray nodes of this machine and without: the same bits? (ENV=smoke: a quick look)
	@.venv/bin/python deploy/cluster/drill.py $(OPTIONS)

deploy-demo: environment  ## three sites on this machine, over TLS: are their results those of the simulation?
	@.venv/bin/python deploy/demo.py

clean:  ## remove what runs have made (not the environment)
	@rm -rf mlruns mlflow.db failure.log .viz .pytest_cache .mypy_cache .ruff_cache .hypothesis build
	@find data -type f ! -name .gitkeep ! -path 'data/01_raw/*' -delete
