# Two commands for a newcomer: `make demo` and `make test`. Needs make and Python 3.11 or later.
PYTHON ?= python3
VENV ?= .venv
# Test processes: many tests wait for others more than they compute.
JOBS ?= 4
INSTALLED := $(VENV)/installed

.PHONY: help venv demo test lint

help:
	@echo "make demo   install, then run a sweep of 64 trials on handwritten digits"
	@echo "make test   install, then run every test"
	@echo "make lint   install, then ruff and mypy"
	@echo "make venv   only install, into $(VENV)"

venv: $(INSTALLED)

demo: $(INSTALLED)
	$(VENV)/bin/hpo run experiments/digits.yaml
	@echo
	@echo "Next, with . $(VENV)/bin/activate:"
	@echo "  hpo ui                             every trial, with curves and parameters, in MLflow"
	@echo "  hpo trials ID --top 10             the same as a table; ID is the sweep's, printed above"
	@echo "  hpo best ID                        the winner"
	@echo "  experiments/digits.yaml            the file that asked for all this: change it and run it again"

test: $(INSTALLED)
	$(VENV)/bin/python -m pytest --numprocesses $(JOBS) --dist loadfile --no-loadscope-reorder --max-worker-restart 0

lint: $(INSTALLED)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "hpo needs Python 3.11 or later, but $(PYTHON) is " + sys.version.split()[0] + ". Name another: make PYTHON=python3.12 $(MAKECMDGOALS)")'
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@
