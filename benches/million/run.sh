#!/usr/bin/env bash
# A store of a million credentials: how fast they are imported, listed and found, how soon a server answers on them,
# and what it holds in memory. Prints one line for each figure. Usage: run.sh DOORWARD [ROWS]
#
# Needs python3 and curl. Works in a temporary folder and takes no port but a free one. The machine should do nothing else.
set -euo pipefail
doorward=$(realpath "${1:?usage: run.sh DOORWARD [ROWS]}")
rows=${2:-1000000}
work=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || true; rm -rf "$work"' EXIT
cd "$work"

python3 - "$rows" > tokens.jsonl <<'PY'
import sys
import uuid

for n in range(int(sys.argv[1])):
    token = uuid.uuid5(uuid.NAMESPACE_OID, str(n))
    permission = ("full", "read", "write")[n % 3]
    print(f'{{"token":"{token}","device_id":"device-{n // 4}","name":"token {n}","permission":"{permission}",'
          f'"expire_time":"never","created_at":{1700000000000 + n}}}')
PY
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
cat > doorward.yaml <<YAML
version: 1
data_dir: $work/data
listeners: [{ name: main, address: "127.0.0.1:$port" }]
admin: { address: 127.0.0.1:0 }
status: { address: 127.0.0.1:0 }
upstreams: { api: { url: "http://127.0.0.1:9" } }
routes: [{ path: /, upstream: api }]
YAML

now_ms() { date +%s%3N; }

began=$(now_ms)
# `ru_maxrss` of the child, in KiB.
python3 - "$doorward" <<'PY'
import resource
import subprocess
import sys

subprocess.run([sys.argv[1], "--config", "doorward.yaml", "import", "tagoio", "tokens.jsonl"], check=True, stdout=subprocess.DEVNULL)
print(f"import, most memory: {resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024} MiB")
PY
took=$(($(now_ms) - began))
echo "import: $rows rows in $took ms, $((rows * 1000 / took)) rows a second; store $(($(stat -c %s data/doorward.db) >> 20)) MiB"

token=$(head -1 tokens.jsonl | python3 -c 'import json, sys; print(json.load(sys.stdin)["token"])')
began=$(now_ms)
"$doorward" --config doorward.yaml serve > server.log 2>&1 &
server=$!
# 502: let in, and nobody is behind.
until [ "$(curl -s -o /dev/null -w '%{http_code}' -H "Device-Token: $token" "http://127.0.0.1:$port/")" = 502 ]; do
    kill -0 "$server" || { cat server.log; exit 1; }
done
echo "cold start to the first answer to a credential: $(($(now_ms) - began)) ms"

# The slowest of five calls, in milliseconds.
call() {
    local slowest=0 one
    for _ in 1 2 3 4 5; do
        one=$(curl -s -o answer.json -w '%{time_total}' --unix-socket data/admin.sock "http://localhost/api/v1$1")
        slowest=$(python3 -c "print(max($slowest, $one * 1000))")
    done
    printf '%-60s %6.1f ms (slowest of 5)\n' "$1" "$slowest"
}
call "/tokens?limit=100"
call "/tokens?limit=100&kind=device_token"
call "/tokens?limit=100&principal=device-1000"
call "/devices?limit=100"
echo "memory of the server: $(($(awk '/VmRSS/ { print $2 }' "/proc/$server/status") >> 10)) MiB"
