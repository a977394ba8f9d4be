#!/usr/bin/env bash
# Starts the server to which sites connect: the SuperLink, and the gate before it. Ctrl-C or SIGTERM ends both.
#   deploy/start_superlink.sh CERTIFICATES STATE [HOST [PORT [INNER_PORT [KEY=NUMBER...]]]]
# CERTIFICATES: folder of make_certificates.sh.  STATE: folder for its database and its logs; the keys of the
# sites are kept there.  HOST: where the gate listens (127.0.0.1; 0.0.0.0 for all networks).  PORT: 9443, for the
# sites.  INNER_PORT: 9444, of the SuperLink itself, at 127.0.0.1 alone: flwr goes there.  KEY=NUMBER: limits of the
# gate: body-mb=32, connections=512, connections-per-address=64, seconds-for-head=15, seconds-for-request=300,
# large-bodies=32, notes-per-minute=60
set -euo pipefail
[[ $# -ge 2 ]] || { sed -n '2,8s/^# //p' "$0" >&2; exit 2; }
umask 077
exec "$(dirname "$0")/python.sh" -m ms_pfl.deployment.start_superlink "$@"
