# Each target sets up its virtual environment by itself, once, and again when pyproject.toml changes.
#   make demo    serve one handler class in every way there is, and compare
#   make test    the whole test suite
#   make bench   our servers beside their peers; into docs/; make bench ARGS=--quick ends within two minutes
# Another Python, another place: make test PYTHON=python3.12 VENV=.venv-3.12

PYTHON ?= python3
VENV ?= .venv

# A process for each core and one more, since tests wait for processes of their own; a module's tests stay together, so
# that they run in their order.
parallel = --numprocesses=$$('$(bin)/python' -c 'import os; print(os.cpu_count() + 1)') --dist=loadfile

bin := $(VENV)/bin
stamp := $(VENV)/.installed
peers := $(VENV)/.installed-peers

.DEFAULT_GOAL := help
.PHONY: help demo test bench lint format types coverage clean

help:
	@echo 'make demo      run the demonstration'
	@echo 'make test      run the test suite'
	@echo 'make bench     run the benchmarks; ARGS=--quick for a first look'
	@echo 'make lint      check style and format'
	@echo 'make format    put the format right'
	@echo 'make types     check types'
	@echo 'make coverage  run the test suite, hold coverage to its thresholds'
	@echo 'make clean     remove what the other targets made'

$(stamp): pyproject.toml
	@command -v '$(PYTHON)' >/dev/null || \
		{ echo '$(PYTHON): not found; name another Python: make PYTHON=/path/to/python' >&2; exit 1; }
	@'$(PYTHON)' -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo "sansio-server needs Python 3.10 or newer; $(PYTHON) is $$('$(PYTHON)' -V 2>&1)" \
			"(name another: make PYTHON=/path/to/python)" >&2; exit 1; }
	'$(PYTHON)' -m venv --clear '$(VENV)'
	'$(bin)/python' -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch '$@'

$(peers): $(stamp)
	'$(bin)/python' -m pip install --quiet --disable-pip-version-check --editable '.[bench]'
	@touch '$@'

demo: $(stamp)
	@'$(bin)/sansio-server' demo

test: $(stamp)
	'$(bin)/python' -m pytest $(parallel)

bench: $(peers)
	'$(bin)/python' -m benchmarks $(or $(ARGS),--docs docs)

lint: $(stamp)
	'$(bin)/ruff' check
	'$(bin)/ruff' format --check

format: $(stamp)
	'$(bin)/ruff' check --fix
	'$(bin)/ruff' format

# Twice, so that both sides of a check of sys.version_info are seen.
types: $(stamp)
	'$(bin)/mypy' $(typed)
	'$(bin)/mypy' --python-version 3.13 $(typed)

typed = $(wildcard sansio_server sync_backend trio_backend tests benchmarks) $(wildcard examples/*.py)

coverage: $(stamp)
	'$(bin)/coverage' erase
	'$(bin)/coverage' run -m pytest $(parallel)
	'$(bin)/coverage' combine --quiet
	'$(bin)/coverage' report --fail-under=100 --include='sansio_server/*' --omit='$(commands)'
	'$(bin)/coverage' report --fail-under=95 --include='$(commands)'
	for backend in $(backends); do \
		'$(bin)/coverage' report --fail-under=95 --include="$$backend/*" || exit 1; \
	done

# In the core's package, but no part of the core.
commands = sansio_server/cli/*,sansio_server/__main__.py,sansio_server/testing/*
backends = $(wildcard *_backend)

clean:
	rm -rf .venv .venv-* build dist .coverage .coverage.* htmlcov .hypothesis
	rm -rf .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
