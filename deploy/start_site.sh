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

# Flower calls any trouble with TLS a failed connection, and tries for ever
host=${superlink%:*}
case $host in *[!0-9.]*) name=(-verify_hostname "$host") ;; *) name=(-verify_ip "$host") ;; esac
if ! answer=$(openssl s_client -connect "$superlink" -CAfile "$ca" -verify_return_error "${name[@]}" </dev/null 2>&1) &&
  reason=$(grep -m 1 'verify error' <<<"$answer"); then
  echo "$superlink does not show a certificate for $host that is signed by $ca ($reason):" \
    "ask the server's administrator for ca.crt, and for the name it is made for" >&2
  exit 1
fi

stop() { kill -TERM "$node" 2>/dev/null || true; stopped=1; }
stopped=
trap stop TERM INT
for try in 1 2 3 4 5 6; do
  began=$SECONDS
  flower-supernode --root-certificates "$ca" --auth-supernode-private-key "$key" \
    --superlink "$superlink" --host 127.0.0.1 --port "$port" \
    --node-config "country=\"$country\" registry-folder=\"$registry\" site-folder=\"$folder\" ${*:8}" &
  node=$!
  code=0; wait "$node" || code=$?
  while kill -0 "$node" 2>/dev/null; do wait "$node" || code=$?; done
  pkill -TERM -f -- "--parent-pid $node\$" || true  # what a refused SuperNode leaves behind
  [ -z "$stopped" ] || exit 0
  [ $((SECONDS - began)) -lt 60 ] || exit "$code"
  why="The SuperNode of $country has ended (see above). Where it was refused: $key.pub is not registered there, or the SuperLink has not noticed yet"
  why+=" that the site was away (a minute)"
  [ "$try" -eq 6 ] || { echo "$why; trying again in 20 seconds" >&2; sleep 20 & wait $! || true; }
  [ -z "$stopped" ] || exit 0
done
echo "$why. Given up: ask the server's administrator to register the key" >&2
exit 1
