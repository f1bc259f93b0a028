#!/usr/bin/env bash
# 1 000 keep-alive clients for a minute: no error, no growth. Fails otherwise.
#
#   benches/compare/keepalive.sh [--connections N] [--seconds N] [--idle N]
#
# --idle N: also holds so many idle connections and tells the memory of each.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
connections=1000 seconds=60 idle=0
arguments=("$@")
while [ $# -gt 0 ]; do
  case $1 in
    --connections) connections=$2 ;;
    --seconds) seconds=$2 ;;
    --idle) idle=$2 ;;
    *) echo "keepalive.sh: unknown option '$1'" >&2; exit 2 ;;
  esac
  shift 2
done
. "$root/benches/compare/lib.sh"
[ -n "${DOORWARD_OWN_NETWORK:-}" ] || { "$root/scripts/setup.sh" bench; build; export DOORWARD=$doorward UPSTREAM=$upstream; }
own_network "${arguments[@]}"
build
ulimit -n "$(ulimit -Hn)"
start_upstream 19000
start_doorward 19010 19000
pid=${pid_of[doorward]}
tell() { printf '%-28s resident %6d KiB, descriptors %d\n' "$1" "$(rss_kb "$pid")" "$(descriptors "$pid")"; }

tell "fresh"
load() { pin 1 timeout $(($1 + 60)) wrk -t1 -c"$connections" -d"${1}s" --timeout 10s -H "authorization: Bearer $token" http://127.0.0.1:19010/; }
# Buffers and pools reach their size first: growth is what comes after.
load 5 >/dev/null
tell "after a warm-up"
before=$(rss_kb "$pid")
out=$(load "$seconds")
sed -n 's/^ *\([0-9]* requests in .*\)/\1/p; /Latency  /p; /Requests\/sec/p; /Socket errors/p; /Non-2xx/p' <<<"$out"
tell "after ${seconds} s, $connections clients"
after=$(rss_kb "$pid")
# Closed connections linger for a second.
sleep 3
tell "three seconds later"
if grep -qE 'Socket errors|Non-2xx' <<<"$out"; then die "requests failed"; fi
[ "$after" -le $((before + before / 4 + 4096)) ] || die "memory grew from $before to $after KiB"

if [ "$idle" -gt 0 ]; then
  python3 - "$idle" 19010 "$pid" "$token" <<'PY'
import socket, sys
count, port, pid, token = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
rss = lambda: next(int(l.split()[1]) for l in open(f"/proc/{pid}/status") if l.startswith("VmRSS"))
head = f"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
before, held = rss(), []
for _ in range(count):
    s = socket.create_connection(("127.0.0.1", port), 10)
    s.sendall(head)
    if b" 200 " not in s.recv(4096)[:20]:
        sys.exit("a connection was not served")
    held.append(s)
after = rss()
print(f"{count} idle connections: {after - before} KiB more, {(after - before) / count:.1f} KiB each")
PY
fi
