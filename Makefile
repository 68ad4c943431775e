# Two commands are enough on a fresh machine: `make quickstart` and `make test`.
VENV := .venv
BIN := $(VENV)/bin
UV := $(shell command -v uv 2>/dev/null || echo $(BIN)/uv)
ONE_THREAD := OMP_NUM_THREADS=1

.PHONY: quickstart wheel test test-ray test-statistics test-gpu test-cluster test-crash test-faults test-once test-fuzz test-slurm smoke lint format benchmark encoder clean

quickstart: $(VENV)/installed
	$(BIN)/semisweep run quickstart

# dist/semisweep-VERSION-py3-none-any.whl: what pip installs on another machine.
wheel: $(VENV)/installed
	$(UV) build --quiet --wheel

# Whatever starts Ray has the machine to itself: the rest shares it.
test: $(VENV)/installed
	$(ONE_THREAD) $(BIN)/python -m pytest -m "not ray and not gpu and not statistics and not slow" --numprocesses 2 --dist loadfile
	$(ONE_THREAD) $(BIN)/python -m pytest -m "ray and not slow and not cluster and not gpu and not faults"

# What `make test` leaves out: each kind of kill, loss and cluster once, networks that are compiled,
# values and files of every wrong kind. Minutes.
test-ray: $(VENV)/installed
	$(ONE_THREAD) $(BIN)/python -m pytest -m "slow and not ray and not gpu" --numprocesses 2
	$(ONE_THREAD) $(BIN)/python -m pytest -m "slow and ray and not cluster and not gpu and not faults"

# How often random tables, designs, races and searches claim what is not there, in every way of use. Minutes.
test-statistics: $(VENV)/installed
	$(ONE_THREAD) $(BIN)/python -m pytest -m statistics -s --numprocesses 0

# On one GPU, minutes; skipped where there is none. PYTHON=python3 takes that interpreter as it
# is and installs nothing: what it lacks may lie on PYTHONPATH. SEMISWEEP_TEST_DEVICE=cpu runs what a
# CPU can show.
SOURCE_PATH := $(CURDIR)/platform:$(CURDIR)/methods:$(CURDIR)/studies
TESTS_PATH := $(CURDIR)/tests:$(CURDIR)/tests/crash:$(CURDIR)/tests/gpu
test-gpu: $(if $(PYTHON),,$(VENV)/installed)
	$(ONE_THREAD) PYTHONPATH=$(SOURCE_PATH):$(TESTS_PATH)$${PYTHONPATH:+:$$PYTHONPATH} \
		$(or $(PYTHON),$(BIN)/python) -m pytest -m gpu tests/gpu

# Lost machines, networks and heads, on hosts that are network namespaces; needs root. Minutes.
test-cluster: $(VENV)/installed
	$(ONE_THREAD) $(BIN)/python -m pytest -m cluster

# The Slurm script under a real slurmctld and slurmd; needs root, slurm-wlm and munge. Minutes.
test-slurm: $(VENV)/installed
	tests/slurm/run.sh

# A sweep of 200 trials through 100 SIGKILLs of drivers, workers and raylets, and one through 50
# whose store is one of leases, as on storage without locks; three quarters of an hour.
test-crash: $(VENV)/installed
	$(ONE_THREAD) $(BIN)/python tests/crash/crashing.py
	$(ONE_THREAD) SEMISWEEP_LEASES=1 SEMISWEEP_LEASE_SECONDS=1 $(BIN)/python \
		tests/crash/crashing.py --workers 39 --drivers 7 --raylets 4 --chosen 0 --compactions 0

# 500 values for each option of each command, and every field of every file of a store with every
# other type; hours.
test-fuzz: $(VENV)/installed
	folder=$$(mktemp -d) && export PYTHONPATH=tests/shared && \
		$(ONE_THREAD) $(BIN)/python tests/fuzz/command_line.py $$folder/calls --calls 500 --each && \
		$(ONE_THREAD) $(BIN)/python tests/fuzz/store_files.py $$folder/files --all && rm -r $$folder

# Twenty times nine sweeps at once that want the same 64 trials; half an hour.
test-once: $(VENV)/installed
	$(ONE_THREAD) $(BIN)/python tests/crash/rush.py

# Every arm of every study for two steps, in a store that is thrown away; a minute.
smoke: $(VENV)/installed
	folder=$$(mktemp -d) && SEMISWEEP_DATA=$$folder $(ONE_THREAD) \
		$(BIN)/semisweep run all --smoke --store $$folder/store && rm -r $$folder

# Each of Ray's own processes killed in mid-sweep; processes that are stopped, a clock that jumps,
# stores that move or refuse; and every point of a worker's life x {raises, killed, hangs} x {one
# worker, two}; an hour.
test-faults: $(VENV)/installed
	$(ONE_THREAD) $(BIN)/python -m pytest -m faults
	$(ONE_THREAD) $(BIN)/python tests/crash/fault_matrix.py

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache --no-logo

format: $(VENV)/installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# What a trial costs beyond its training, the input, the contrastive losses, a large store, its page.
benchmark: $(VENV)/installed
	$(ONE_THREAD) $(BIN)/python tests/benchmarks/trial_overhead.py
	$(ONE_THREAD) $(BIN)/python tests/benchmarks/thousand_trials.py
	for name in input_speed iterations css_contrast u2pl_contrast queries report dashboard kept_on_disk; do \
		$(ONE_THREAD) $(BIN)/python tests/benchmarks/$$name.py || exit 1; \
	done
	$(ONE_THREAD) $(BIN)/python tests/benchmarks/gpu.py

# What the networks of mini scale start from; minutes. Results belong to the file that is committed.
encoder: $(VENV)/installed
	$(BIN)/python -m semisweep.data.patterns encoder.safetensors

# Byte code at once: every Ray process would otherwise compile torch, timm and ray where Python may
# not write it, and the first one where it may.
$(VENV)/installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || python3 -m venv $(VENV)
	test -x "$(UV)" || $(BIN)/python -m pip install --quiet uv
	$(UV) pip install --quiet --compile-bytecode --python $(BIN)/python --constraint constraints.txt --editable . --group dev
	touch $@

clean:
	rm -rf $(VENV) dist
