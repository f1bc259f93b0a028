#!/usr/bin/env bash
# 1 000 keep-alive clients for a minute: no error, no growth. Fails otherwise.
#
#   benches/compare/keepalive.sh [--connections N] [--seconds N] [--idle N] [--half N]
#
# --idle N: also holds so many idle connections and tells the memory of each. --half N: the same with
# connections that sent half a head, and how long a whole request takes beside them.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
connections=1000 seconds=60 idle=0 half=0
arguments=("$@")
while [ $# -gt 0 ]; do
  case $1 in
    --connections) connections=$2 ;;
    --seconds) seconds=$2 ;;
    --idle) idle=$2 ;;
    --half) half=$2 ;;
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
fresh=$(rss_kb "$pid")
pin 1 timeout $((seconds + 60)) wrk -t1 -c"$connections" -d"${seconds}s" --timeout 10s \
  -H "authorization: Bearer $token" http://127.0.0.1:19010/ >"$work/wrk" &
load=$!
# Buffers and pools reach their size in the first quarter. Growth is what comes after: the most that is
# resident in the second quarter against the most in the last one.
quarter=$((seconds / 4)) early=0 late=0
for second in $(seq "$seconds"); do
  sleep 1
  now=$(rss_kb "$pid")
  if [ "$second" -gt "$quarter" ] && [ "$second" -le $((2 * quarter)) ] && [ "$now" -gt "$early" ]; then early=$now; fi
  if [ "$second" -gt $((3 * quarter)) ] && [ "$now" -gt "$late" ]; then late=$now; fi
  [ $((second % (quarter > 0 ? quarter : 1))) -gt 0 ] || tell "after $second s, $connections clients"
done
wait "$load"
sed -n 's/^ *\([0-9]* requests in .*\)/\1/p; /Latency  /p; /Requests\/sec/p; /Socket errors/p; /Non-2xx/p' "$work/wrk"
# Closed connections linger for a second.
sleep 3
tell "three seconds after it"
echo "most resident in the second quarter $early KiB, in the last $late KiB"
if grep -qE 'Socket errors|Non-2xx' "$work/wrk"; then die "requests failed"; fi
[ "$late" -le $((early + early / 10)) ] || die "memory grew from $early to $late KiB"

hold() {
  python3 - "$1" "$2" 19010 "$pid" "$token" "$fresh" <<'PY'
import socket, sys, time
what, count, port, pid, token, fresh = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), *sys.argv[4:6], int(sys.argv[6])
rss = lambda: next(int(l.split()[1]) for l in open(f"/proc/{pid}/status") if l.startswith("VmRSS"))
head = f"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
def request():
    s = socket.create_connection(("127.0.0.1", port), 10)
    s.sendall(head)
    if b" 200 " not in s.recv(4096)[:20]:
        sys.exit("a connection was not served")
    return s
held = []
for _ in range(count):
    if what == "idle":
        held.append(request())
    else:
        s = socket.create_connection(("127.0.0.1", port), 10)
        s.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nX-Padding: " + 4000 * b"x")
        held.append(s)
took = []
for _ in range(100):
    began = time.monotonic()
    request().close()
    took.append(time.monotonic() - began)
after = rss()
print(f"{count} {what} connections: resident {after} KiB, {(after - fresh) / count:.1f} KiB each above a fresh start; "
      f"a request beside them took at most {1000 * max(took):.1f} ms of 100")
PY
}
if [ "$half" -gt 0 ]; then hold half-open "$half"; fi
if [ "$idle" -gt 0 ]; then hold idle "$idle"; fi
