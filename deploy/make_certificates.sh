#!/usr/bin/env bash
# Makes a certificate authority of your own and, signed by it, a certificate for the SuperLink.
#   deploy/make_certificates.sh FOLDER NAME_OR_ADDRESS...
# NAME_OR_ADDRESS: under which the sites reach the SuperLink, e.g. fl.example.org 192.0.2.7
# Sites get ca.crt. Nobody gets ca.key and server.key. Where your institution signs certificates, use its.
set -euo pipefail
[ $# -ge 2 ] || { sed -n '2,5s/^# //p' "$0" >&2; exit 2; }
folder=$1; shift
[ ! -e "$folder/ca.key" ] || { echo "$folder/ca.key is there already: choose another folder" >&2; exit 1; }
umask 077
mkdir -p "$folder"
names=
for name in "$@" localhost 127.0.0.1; do  # the SuperLink's own processes reach it by the last
  case $name in
    *[!0-9.]*) [[ $name == *:* ]] && names+=,IP:$name || names+=,DNS:$name ;;
    *) names+=,IP:$name ;;
  esac
done
openssl req -x509 -newkey rsa:4096 -sha256 -days 1825 -nodes -subj "/CN=ms_pfl federation" \
  -addext "basicConstraints=critical,CA:TRUE" -addext "keyUsage=critical,keyCertSign,cRLSign" \
  -keyout "$folder/ca.key" -out "$folder/ca.crt" 2>/dev/null
openssl req -new -newkey rsa:4096 -sha256 -nodes -subj "/CN=$1" \
  -keyout "$folder/server.key" -out "$folder/server.csr" 2>/dev/null
openssl x509 -req -sha256 -days 825 -in "$folder/server.csr" -CA "$folder/ca.crt" -CAkey "$folder/ca.key" \
  -CAcreateserial -out "$folder/server.pem" -extfile <(
    echo "subjectAltName=${names#,}"
    echo "basicConstraints=CA:FALSE"
    echo "keyUsage=digitalSignature,keyEncipherment"
    echo "extendedKeyUsage=serverAuth"
  ) 2>/dev/null
rm -f "$folder/server.csr" "$folder/ca.srl"
chmod 644 "$folder/ca.crt" "$folder/server.pem"
echo "Made $folder/ca.crt (for the sites), server.pem and server.key (for the SuperLink: $*)"
