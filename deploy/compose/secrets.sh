#!/bin/sh
# Passwords of compose.yaml, made once: what is there stays. Containers read the files under users of their own,
# so the folder is what keeps others out.
set -eu
folder=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd -P)/secrets
mkdir -p "$folder"
chmod 700 "$folder"

random() {
  od -An -N32 -tx1 /dev/urandom | tr -d ' \n'
}

# Written whole or not at all.
keep() {
  [ -e "$folder/$1" ] || {
    cat >"$folder/$1.new"
    chmod 444 "$folder/$1.new"
    mv "$folder/$1.new" "$folder/$1"
  }
}

random | keep mongodb-root-password
random | keep mongodb-password
random | keep grafana-password
printf 'mongodb_uri = "mongodb://contactservice:%s@mongodb:27017/?replicaSet=rs0&authSource=contactservice"\n' \
  "$(cat "$folder/mongodb-password")" | keep contactservice.toml
