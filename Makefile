# Heimdall: `make course` runs the whole course, `make test` runs all tests. Both install what they need into .venv.
SHELL := /bin/bash
PYTHON ?= python3
PRESET ?= nano
RUN ?= $(PRESET)
ARGS ?=
WORKERS ?= 2

# Waiting OpenMP threads that spin slow a second process on the same cores ten to a hundred times.
export OMP_WAIT_POLICY := passive
# A short spin all the same: a training that has the cores for itself takes a fifth less time.
export GOMP_SPINCOUNT := 30000
export PYTHONHASHSEED := 0
# Started by make, the work ends with make, so that `kill -9` leaves nothing running.
export HEIMDALL_DIE_WITH_PARENT := 1

.PHONY: help course test lint format bench lab clean

help:
	@echo "make course   install, run notebooks 00 to 11 at preset $(PRESET), print report, GGUF file, scores, one answer"
	@echo "make test     install, lint, run all tests"
	@echo "make lab      install JupyterLab and open the notebooks"
	@echo "make bench    speed and memory, as ratios"
	@echo "make format   format the code and strip the notebooks"
	@echo "variables: PYTHON=$(PYTHON) PRESET=$(PRESET) RUN=$(RUN) WORKERS=$(WORKERS) ARGS='--only 03 --force'"

.venv/installed: pyproject.toml constraints.txt tools/install.sh
	@exec bash tools/install.sh "$(PYTHON)"

course: .venv/installed
	@echo "[course] preset $(PRESET), run $(RUN): finished stages are skipped, ARGS=--force runs them again"
	@exec .venv/bin/python -m heimdall_nb run --preset "$(PRESET)" --run "$(RUN)" $(ARGS)

test: lint
	@echo "[test] all tests in $(WORKERS) processes: the notebooks in one, the others beside them, the slowest twelve are named"
	@exec .venv/bin/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder --durations 12 $(ARGS)

lint: .venv/installed
	@echo "[lint] ruff check, ruff format --check"
	@.venv/bin/ruff check . && .venv/bin/ruff format --check .

format: .venv/installed
	.venv/bin/ruff check --fix . && .venv/bin/ruff format .
	.venv/bin/python tools/strip_notebooks.py

bench: .venv/installed
	@for file in benchmarks/bench_*.py; do echo "[bench] $$file"; .venv/bin/python $$file || exit 1; done

lab: .venv/installed
	.venv/bin/pip install -q -c constraints.txt -e '.[lab]'
	.venv/bin/jupyter lab notebooks

clean:
	rm -rf .venv build *.egg-info .pytest_cache .ruff_cache .hypothesis
