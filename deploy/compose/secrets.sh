#!/bin/sh
# Passwords of compose.yaml, made once: what is there stays. Of contactservice.toml the line of the database
# follows its password. Containers read the files under users of their own, so the folder is what keeps others out.
set -eu
folder=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd -P)/secrets
settings=$folder/contactservice.toml
mkdir -p "$folder"
chmod 700 "$folder"

random() {
  od -An -N32 -tx1 /dev/urandom | tr -d ' \n'
}

# Written whole or not at all.
write() {
  cat >"$folder/$1.new"
  chmod 444 "$folder/$1.new"
  mv "$folder/$1.new" "$folder/$1"
}

keep() {
  [ -e "$folder/$1" ] || write "$1"
}

random | keep mongodb-root-password
random | keep mongodb-password
random | keep grafana-password

uri="mongodb://contactservice:$(cat "$folder/mongodb-password")@mongodb:27017/?replicaSet=rs0&authSource=contactservice"
line="mongodb_uri = \"$uri\""
grep -qsxF "$line" "$settings" || {
  printf '%s\n' "$line"
  grep -sv '^mongodb_uri *=' "$settings" || :
} | write contactservice.toml
