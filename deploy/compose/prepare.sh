# The key by which members of the replica set know each other, and a token file for the service's user (10001).
# mongod (999) takes a key only when nobody else may read it.
set -eu
umask 077
if [ ! -s /keyfile/key ]; then
  head -c 756 /dev/urandom | base64 -w 0 >/keyfile/key.new
  mv /keyfile/key.new /keyfile/key
fi
chmod 400 /keyfile/key
chown -R 999:999 /keyfile
[ -e /tokens/tokens.jsonl ] || : >/tokens/tokens.jsonl
chown -R 10001:10001 /tokens
