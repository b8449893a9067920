#!/bin/sh
# Train the model anew; sets up .venv first if need be. SYMBOL, TF, HORIZON, TAKE_BPS, STOP_BPS, EXCHANGE and LIMIT come
# from the environment, where they are set; all flags go to python -m model.retrain (see --help) and win over them.
set -eu
trap 'exit 130' INT
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
. "$root/scripts/setup.sh"
ensure_venv requirements.txt
[ -z "${LIMIT:-}" ] || set -- --limit "$LIMIT" "$@"
[ -z "${EXCHANGE:-}" ] || set -- --exchange "$EXCHANGE" "$@"
[ -z "${STOP_BPS:-}" ] || set -- --stop_bps "$STOP_BPS" "$@"
[ -z "${TAKE_BPS:-}" ] || set -- --take_bps "$TAKE_BPS" "$@"
[ -z "${HORIZON:-}" ] || set -- --horizon "$HORIZON" "$@"
[ -z "${TF:-}" ] || set -- --tf "$TF" "$@"
[ -z "${SYMBOL:-}" ] || set -- --symbol "$SYMBOL" "$@"
# -P: modules of the working directory are not ours
PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}" exec "$venv/bin/python" -P -m model.retrain "$@"
