#!/bin/sh
# Writes the lock files anew: names, versions and hashes, no addresses. Needs uv and npm on PATH.
set -eu
cd "$(dirname "$0")"
lock() {
  out=$1
  shift
  uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
    --no-emit-index-url --no-emit-find-links --output-file "$out" "$@"
}
lock run.txt ../pyproject.toml build.in --extra embedded --extra otel --no-emit-package contactservice
lock image.txt ../pyproject.toml --constraints run.txt --extra otel --no-emit-package contactservice
lock build.txt build.in --constraints run.txt
lock test.txt test.in --constraints run.txt
lock check.txt check.in --constraints run.txt
lock bench.txt bench.in --constraints run.txt
lock stubs.txt stubs.in
lock client-floor.txt client-floor.in

# What npm writes beside names, versions and hashes are addresses: of registries, and of those who take donations.
lock_npm() (
  cd "$1"
  npm install --silent --package-lock-only --no-audit --no-fund
  node -e '
    const fs = require("fs");
    const lock = JSON.parse(fs.readFileSync("package-lock.json"));
    for (const one of Object.values(lock.packages)) { delete one.resolved; delete one.funding; }
    fs.writeFileSync("package-lock.json", JSON.stringify(lock, null, 2) + "\n");
  '
)
lock_npm typescript
lock_npm ../clients/typescript
