# For everyone: make demo. For developers: setup, check, test, test-rest, test-all, docs, bench, fuzz, gpu.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: setup demo check test test-rest test-all docs bench fuzz gpu

setup: .venv/.dev

# What the program needs.
.venv/.installed: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed: make PYTHON=python3.11 $(MAKECMDGOALS)")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --disable-pip-version-check -r requirements.txt
	$(BIN)/python -m pip install --disable-pip-version-check --no-deps -e .
	@touch $@

# What its developers need besides.
.venv/.dev: .venv/.installed requirements-dev.txt requirements-docs.txt
	$(BIN)/python -m pip install --disable-pip-version-check -r requirements-dev.txt
	@touch $@

demo: .venv/.installed
	$(BIN)/python train_sequential.py --config configs/demo.yaml
	$(BIN)/python examples/demo_market.py --run finetuned/demo

# What protects users, in about four minutes on two idle cores.
test: .venv/.dev
	$(BIN)/python -m pytest -n 2

# All other tests: long runs, processes that are killed, many seeds.
test-rest: .venv/.dev
	$(BIN)/python -m pytest -n 2 -m "slow and not network"

test-all: .venv/.dev
	$(BIN)/python -m pytest -n 2 -m "not network"

check: .venv/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The documentation as a site, in site/.
docs: .venv/.dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -W ignore::SyntaxWarning -m mkdocs build --strict

bench: .venv/.dev
	$(BIN)/python benchmarks/data.py
	$(BIN)/python benchmarks/train.py
	$(BIN)/python benchmarks/ranks.py
	$(BIN)/python benchmarks/busy_machine.py
	$(BIN)/python benchmarks/forecast.py
	$(BIN)/python benchmarks/gpu.py --device cpu --presets small
	$(BIN)/python benchmarks/baselines.py
	$(BIN)/python benchmarks/verdict.py --replications 200 --power-replications 100

# Malformed configurations, candles, models, checkpoints and runs, many more than the tests try; some minutes.
fuzz: .venv/.dev
	$(BIN)/python -m pytest -n 2 --dist worksteal tests/data/files/test_fuzz.py tests/fuzz -m "not network" --hypothesis-profile fuzz

# On a machine with a GPU: its tests, then one table of speed; planned for eight minutes, not yet timed on a GPU.
gpu: .venv/.dev
	$(BIN)/python -m pytest -m gpu
	$(BIN)/python benchmarks/gpu.py --device cuda
