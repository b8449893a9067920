#!/bin/sh
# Simulate trading; sets up .venv first if need be. All flags go to run_simulation.py (see --help).
set -eu
trap 'exit 130' INT
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
. "$root/scripts/setup.sh"
ensure_venv requirements.txt
exec "$venv/bin/python" "$root/run_simulation.py" "$@"
