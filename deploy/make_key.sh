#!/usr/bin/env bash
# Makes a site's key pair: who has the private key is the site. Run it at the site.
#   deploy/make_key.sh FOLDER SITE
# Send FOLDER/SITE.pub to the server's administrator; FOLDER/SITE stays.
set -euo pipefail
[ $# -eq 2 ] || { sed -n '2,4s/^# //p' "$0" >&2; exit 2; }
[ ! -e "$1/$2" ] || { echo "$1/$2 is there already: choose another folder or name" >&2; exit 1; }
(umask 077; mkdir -p "$1"; ssh-keygen -q -t ecdsa -b 384 -N '' -C "$2" -f "$1/$2")
echo "Made $1/$2 (stays here) and $1/$2.pub (for the server's administrator)"
