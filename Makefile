# Daily work. ./scripts/test.sh makes .venv and runs all of `check`.
python := .venv/bin/python

.PHONY: check fmt lint types arch test bench

check: lint types arch test

fmt:
	$(python) -m ruff check --fix --quiet .
	$(python) -m ruff format .

lint:
	$(python) -m ruff check .
	$(python) -m ruff format --check .

types:
	$(python) -m mypy

arch:
	$(python) -c 'import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_logo=True))'

test:
	$(python) -m pytest --numprocesses=auto --maxprocesses=4 --dist=worksteal

bench:
	$(python) -m benchmarks
