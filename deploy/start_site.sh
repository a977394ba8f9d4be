#!/usr/bin/env bash
# Starts a site: a SuperNode that answers the server. It stops by Ctrl-C or SIGTERM.
#   deploy/start_site.sh SUPERLINK CA_CERTIFICATE PRIVATE_KEY COUNTRY REGISTRY_FOLDER SITE_FOLDER [PORT [KEY=VALUE...]]
# SUPERLINK: the server, e.g. fl.example.org:9443.  COUNTRY: as it stands in the tables.  REGISTRY_FOLDER: the
# site's four tables, only read.  SITE_FOLDER: where it keeps episodes, personal models and what it sent; of this
# site alone.  PORT: for the site's own processes, on 127.0.0.1 alone (9094).  KEY=VALUE: project=FOLDER (whose
# conf/ defines how the tables are spelled), env=NAME.  `python -m ms_pfl site init SITE_FOLDER` comes first.
set -euo pipefail
umask 077
[ $# -ge 6 ] || { sed -n '2,7s/^# //p' "$0" >&2; exit 2; }
exec "$(dirname "$0")/python.sh" -m ms_pfl.deployment.start_site "$@"
