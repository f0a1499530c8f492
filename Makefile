# Four words for developers, one for everyone else: make demo.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: setup demo test check bench

setup: .venv/.dev

# What the program needs.
.venv/.installed: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed: make PYTHON=python3.11 $(MAKECMDGOALS)")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --disable-pip-version-check -r requirements.txt
	$(BIN)/python -m pip install --disable-pip-version-check --no-deps -e .
	@touch $@

# What its developers need besides.
.venv/.dev: .venv/.installed requirements-dev.txt
	$(BIN)/python -m pip install --disable-pip-version-check -r requirements-dev.txt
	@touch $@

demo: .venv/.installed
	$(BIN)/python train_sequential.py --config configs/demo.yaml

test: .venv/.dev
	$(BIN)/python -m pytest -n 2

check: .venv/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: .venv/.dev
	$(BIN)/python benchmarks/data.py
	$(BIN)/python benchmarks/train.py
	$(BIN)/python benchmarks/ranks.py
	$(BIN)/python benchmarks/busy_machine.py
	$(BIN)/python benchmarks/forecast.py
	$(BIN)/python benchmarks/forecast_options.py
