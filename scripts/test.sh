#!/bin/sh
# Lint, types, import contracts, and the tests that a change needs, side by side on this machine's cores.
#   scripts/test.sh --all       every test but the long versions of some (-m long), from an empty compile cache
#   scripts/test.sh -k kpis     flags go to pytest; paths in them are relative to the repository
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
. "$root/scripts/setup.sh"
trap 'exit 130' INT
trap 'exit 143' TERM
ensure_venv requirements-dev.txt
cd "$root"

if [ "${1:-}" = --all ]; then
    shift
    set -- -m "not long and not network" "$@"
    NUMBA_CACHE_DIR=$(mktemp -d)
    export NUMBA_CACHE_DIR
    trap 'rm -rf "$NUMBA_CACHE_DIR"' EXIT
fi

step() {
    name=$1
    shift
    printf '== %s\n' "$name"
    began=$(date +%s)
    "$@" || {
        status=$?
        printf '== %s failed\n' "$name"
        exit "$status"
    }
    printf '== %s: %s s\n' "$name" "$(($(date +%s) - began))"
}

run() { "$venv/bin/python" "$@"; }

step lint run -m ruff check --quiet .
step format run -m ruff format --check --quiet .
step types run -m mypy
step "import contracts" run -c 'import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_logo=True))'
printf '== tests\n'
run -m pytest --numprocesses=auto --maxprocesses=4 --dist=worksteal "$@"
