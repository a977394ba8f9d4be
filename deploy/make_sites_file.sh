#!/usr/bin/env bash
# Prints sites.yml, which binds each country to its key, for the public keys of a folder (COUNTRY.pub).
#   deploy/make_sites_file.sh KEYS_FOLDER > sites.yml
# Compare each fingerprint with what the site reads out (ssh-keygen -lf COUNTRY.pub) before you use it.
set -euo pipefail
[ $# -eq 1 ] || { sed -n '2,4s/^# //p' "$0" >&2; exit 2; }
exec "$(dirname "$0")/python.sh" -m ms_pfl.deployment.site_keys "$@"
