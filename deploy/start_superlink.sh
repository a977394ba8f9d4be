#!/usr/bin/env bash
# Starts the SuperLink: the server to which sites connect. It stops by Ctrl-C or SIGTERM.
#   deploy/start_superlink.sh CERTIFICATES STATE [HOST [PORT]]
# CERTIFICATES: folder of make_certificates.sh.  STATE: folder for its database and its log; the keys of
# the sites are kept there.  HOST: to listen at (127.0.0.1; 0.0.0.0 for all networks).  PORT: 9443.
set -euo pipefail
[[ $# -ge 2 && $# -le 4 ]] || { sed -n '2,5s/^# //p' "$0" >&2; exit 2; }
exec "$(dirname "$0")/python.sh" -m ms_pfl.deployment.start_superlink "$@"
