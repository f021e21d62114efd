# Everything here works in a fresh clone with only python3 (3.11 to 3.13), make and git.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
BENCH  := .venv-bench
TESTS   = $(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help

.PHONY: help
help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup: $(VENV)/ready$(if $(GPU),-gpu)  ## Make .venv/ from the lock file, as other targets do too; GPU=1: with CUDA's libraries

# With CUDA's libraries it serves all other targets, too.
$(VENV)/ready-gpu: LOCK := requirements-gpu.lock
$(VENV)/ready-gpu: requirements-gpu.lock pyproject.toml
	$(make-venv)
	@touch $(VENV)/ready $@

$(VENV)/ready: LOCK := requirements.lock
$(VENV)/ready: requirements.lock pyproject.toml
	$(make-venv)
	@touch $@

# These are compiled at once, on all CPUs; the rest, three times as much, when it is first imported.
EVERY_WORKER_IMPORTS = tensorflow keras numpy ray optuna sqlalchemy

define make-venv
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(None if (3, 11) <= v < (3, 14) else f"clustersweep needs Python 3.11 to 3.13, and $(PYTHON) is {v[0]}.{v[1]}. Name another: make PYTHON=python3.12")'
	@echo "Making $(VENV)/ from $(LOCK) (about $(if $(GPU),8,3) GB, once) ..."
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --require-hashes -r $(LOCK)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@$(BIN)/python -m compileall -qq -j 0 -x '/(tests?|rllib|serve|data|tune|train|llm)/' $(addprefix $(VENV)/lib/python3*/site-packages/,$(EVERY_WORKER_IMPORTS)) || true
endef

.PHONY: sweep
sweep: setup  ## Run the 81-combination grid on a small simulated survey, from nothing to the report
	@$(BIN)/clustersweep launch sweeps/quickstart.yaml

.PHONY: dashboard
dashboard: setup  ## Open the Optuna dashboard on http://127.0.0.1:8080/
	@$(BIN)/clustersweep dashboard

.PHONY: test
test: check  ## Run all checks and all tests but those of deployments; real PostgreSQL, Ray, TensorFlow and Chromium
	$(TESTS) -m "not deployment"

.PHONY: test-all
test-all: check  ## The same with deployments: machines, images, SLURM, full disks, chaos; what CI runs
	$(TESTS)

.PHONY: test-fast
test-fast: setup  ## Run the fast tests only
	$(BIN)/pytest -m "not integration and not deployment and not gpu"

.PHONY: images-test
images-test: setup  ## Build the images and run them, in Docker's engine or by buildah
	$(BIN)/pytest tests/deployment/test_images.py

.PHONY: chaos
chaos: setup  ## Kill workers, launches, connections and the server of small sweeps at random, 100 rounds (about an hour)
	@$(BIN)/python tests/support/chaos.py --rounds 100

.PHONY: bench
bench: $(BENCH)/ready  ## Measure the speed beside the peers', and print the tables of docs/speed.md (over an hour, machine idle)
	@$(BIN)/python benchmarks/run.py

.PHONY: bench-quick
bench-quick: $(BENCH)/ready  ## Show in some minutes that every benchmark works
	@$(BIN)/python benchmarks/run.py --quick

# The peers in an environment of their own, which sees TensorFlow, Keras and Ray in the other: none is there twice.
$(BENCH)/ready: benchmarks/requirements.lock $(VENV)/ready
	@echo "Making $(BENCH)/ from benchmarks/requirements.lock ..."
	@$(PYTHON) -m venv --clear $(BENCH)
	@$(BIN)/python -c 'import sysconfig; print("import site; site.addsitedir(%r)" % sysconfig.get_path("purelib"))' \
	  > $$($(BENCH)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/clustersweep.pth
	@$(BENCH)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r benchmarks/requirements.lock
	@touch $@

.PHONY: check
check: setup  ## Check format, lint and types
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy

.PHONY: fix
fix: setup  ## Mend format and what lint can mend
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

.PHONY: lock
lock:  ## Make requirements.lock again from pyproject.toml (needs uv on the PATH)
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
	  --no-header --group dev pyproject.toml -o requirements.lock
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
	  --no-header -c requirements.lock --group dev --extra gpu pyproject.toml -o requirements-gpu.lock
	sed -i '1i # Every dependency by name, version and hash, for Python 3.11 to 3.13. Made by `make lock`; do not edit.' requirements*.lock
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
	  --no-header -c requirements.lock --group pyproject.toml:bench -o benchmarks/requirements.lock
	for image in '.lock' '-gpu.lock --extra gpu'; do \
	  uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
	    --no-header -c requirements.lock --group pyproject.toml:image pyproject.toml -o docker/requirements$$image || exit; \
	done
	sed -i '1i # What an image holds, by name, version and hash. Made by `make lock`; do not edit.' docker/requirements*.lock
	sed -i '1i # The peers of the benchmarks by name, version and hash. Made by `make lock`; do not edit.' benchmarks/requirements.lock

.PHONY: clean
clean:  ## Remove .venv/ and caches; studies, surveys and the database stay where they are
	rm -rf $(VENV) $(BENCH) .mypy_cache .pytest_cache .ruff_cache *.egg-info
