#!/usr/bin/env bash
# Starts the SuperLink: the server to which sites connect. It stops by Ctrl-C or SIGTERM.
#   deploy/start_superlink.sh CERTIFICATES STATE [HOST [PORT]]
# CERTIFICATES: folder of make_certificates.sh.  STATE: folder for its database and its log; the keys of
# the sites are kept there.  HOST: to listen at (127.0.0.1; 0.0.0.0 for all networks).  PORT: 9443.
set -euo pipefail
[ $# -ge 2 ] || { sed -n '2,5s/^# //p' "$0" >&2; exit 2; }
certificates=$1 state=$2 host=${3:-127.0.0.1} port=${4:-9443}
mkdir -p "$state"
bin=${MS_PFL_BIN:-$(cd "$(dirname "$0")/.." && pwd)/.venv/bin}
export PATH=$bin:$PATH FLWR_TELEMETRY_ENABLED=0 FLWR_DISABLE_UPDATE_CHECK=1 FLWR_HOME=${FLWR_HOME:-$state/flwr}
exec flower-superlink \
  --ssl-certfile "$certificates/server.pem" --ssl-keyfile "$certificates/server.key" \
  --ssl-ca-certfile "$certificates/ca.crt" --enable-supernode-auth \
  --database "$state/superlink.db" --log-file "$state/superlink.log" \
  --disable-runtime-dependency-installation --host "$host" --port "$port"
