#!/usr/bin/env bash
# Runs Python with this project's environment, or with the one whose bin folder MS_PFL_BIN names.
set -euo pipefail
project=$(cd "$(dirname "$0")/.." && pwd)
bin=${MS_PFL_BIN:-$project/.venv/bin}
python=$bin/python
[ -x "$python" ] || python=$project/.venv/bin/python
[ -x "$python" ] || python=python3
"$python" -P -c 'import importlib.util, sys; sys.exit(not importlib.util.find_spec("ms_pfl"))' ||
  { echo "$python has no ms_pfl: run \`make environment\` in $project" >&2; exit 1; }
export PATH=$bin:$PATH FLWR_TELEMETRY_ENABLED=0 FLWR_DISABLE_UPDATE_CHECK=1
exec "$python" -P "$@"  # -P: modules of the working directory are not ours
