# Two commands: `make demo` and `make test`. Each first makes .venv when it is missing or stale.

# The first of these that is Python 3.11 or 3.12.
PYTHON ?= $(shell for p in python3.11 python3.12 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))' 2>/dev/null \
	&& { command -v $$p; break; }; done)
BIN := .venv/bin
INSTALLED := .venv/.installed

.PHONY: demo test test-all test-gpu lint format bench-dqn bench-replay bench-scaling bench-stylization bench-colorization bench-chaos clean venv

demo: $(INSTALLED)
	$(BIN)/arcadia demo $(ARGS)

test: $(INSTALLED)
	$(BIN)/python -m pytest -m "not slow" $(ARGS)

test-all: $(INSTALLED)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,mlflow,optuna,wandb]'
	$(BIN)/python -m pytest $(ARGS)

test-gpu: $(INSTALLED)
	ARCADIA_TEST_GPU=1 $(BIN)/python -m pytest -m gpu $(ARGS)

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/basedpyright

format: $(INSTALLED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench-dqn: $(INSTALLED)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]'
	$(BIN)/python -m benchmarks.dqn_throughput $(ARGS)

bench-scaling: $(INSTALLED)
	$(BIN)/python -m benchmarks.dqn_scaling $(ARGS)

bench-stylization: $(INSTALLED)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]'
	$(BIN)/python -m benchmarks.stylization_speed $(ARGS)

bench-colorization: $(INSTALLED)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]'
	$(BIN)/python -m benchmarks.colorization_speed $(ARGS)
	$(BIN)/python -m benchmarks.places_speed $(ARGS)

bench-chaos: $(INSTALLED)
	$(BIN)/python -m benchmarks.chaos all $(ARGS)

bench-replay: $(INSTALLED)
	$(BIN)/python -m benchmarks.replay $(ARGS)

venv: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "Arcadia needs Python 3.11 or 3.12: install one, or name it: make PYTHON=..." >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

clean:
	rm -rf .venv .pytest_cache .ruff_cache
