# Two commands are enough on a fresh machine: `make quickstart` and `make test`.
VENV := .venv
BIN := $(VENV)/bin
UV := $(shell command -v uv 2>/dev/null || echo $(BIN)/uv)
ONE_THREAD := OMP_NUM_THREADS=1

.PHONY: quickstart test smoke lint format benchmark encoder clean

quickstart: $(VENV)/installed
	$(BIN)/semisweep run quickstart

# Whatever starts Ray has the machine to itself: the rest shares it.
test: $(VENV)/installed
	$(ONE_THREAD) $(BIN)/python -m pytest -m "not ray" --numprocesses 2 --dist loadfile
	$(ONE_THREAD) $(BIN)/python -m pytest -m ray

# Every arm of every study for two steps, in a store that is thrown away; a minute.
smoke: $(VENV)/installed
	folder=$$(mktemp -d) && SEMISWEEP_DATA=$$folder $(ONE_THREAD) \
		$(BIN)/semisweep run all --smoke --store $$folder/store && rm -r $$folder

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# What a trial costs beyond its training, the contrastive losses, and questions to a large store.
benchmark: $(VENV)/installed
	$(ONE_THREAD) $(BIN)/python tests/benchmarks/trial_overhead.py
	for name in iterations css_contrast u2pl_contrast queries; do \
		$(ONE_THREAD) $(BIN)/python tests/benchmarks/$$name.py || exit 1; \
	done

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
