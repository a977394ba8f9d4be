#!/usr/bin/env bash
# Starts a site: a SuperNode that answers the server. It stops by Ctrl-C or SIGTERM.
#   deploy/start_site.sh SUPERLINK CA_CERTIFICATE PRIVATE_KEY COUNTRY REGISTRY_FOLDER SITE_FOLDER [PORT [KEY=VALUE...]]
# SUPERLINK: the server, e.g. fl.example.org:9443.  COUNTRY: as it stands in the tables.  REGISTRY_FOLDER: the
# site's four tables, only read.  SITE_FOLDER: where it keeps episodes, personal models and what it sent.
# PORT: for the site's own processes, on 127.0.0.1 alone (9094).  KEY=VALUE: project="FOLDER" (whose conf/ tells
# how the tables are spelled), env="NAME", minimum-patients=20
set -euo pipefail
[ $# -ge 6 ] || { sed -n '2,7s/^# //p' "$0" >&2; exit 2; }
superlink=$1 ca=$2 key=$3 country=$4 registry=$5 folder=$6 port=${7:-9094}
mkdir -p "$folder"
bin=${MS_PFL_BIN:-$(cd "$(dirname "$0")/.." && pwd)/.venv/bin}
export PATH=$bin:$PATH FLWR_TELEMETRY_ENABLED=0 FLWR_DISABLE_UPDATE_CHECK=1 FLWR_HOME=${FLWR_HOME:-$folder/flwr}
exec flower-supernode --root-certificates "$ca" --auth-supernode-private-key "$key" \
  --superlink "$superlink" --host 127.0.0.1 --port "$port" \
  --node-config "country=\"$country\" registry-folder=\"$registry\" site-folder=\"$folder\" ${*:8}"
