#!/usr/bin/env bash
# Doorward beside HAProxy (API keys in a map, addresses checked, four headers set) and nginx (plain, which
# checks nothing), each with one worker on one core before the same upstream. The figure is the CPU time of
# the proxy process per request; only the ratios within one run mean something. See docs/performance.md.
#
#   benches/compare/run.sh [--rounds N] [--seconds N] [--path /16k] [--connections N]
#
# DOORWARD and UPSTREAM name binaries that are built already.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
rounds=5 seconds=4 path=/ connections=64
arguments=("$@")
while [ $# -gt 0 ]; do
  case $1 in
    --rounds) rounds=$2 ;;
    --seconds) seconds=$2 ;;
    --path) path=$2 ;;
    --connections) connections=$2 ;;
    *) echo "run.sh: unknown option '$1'" >&2; exit 2 ;;
  esac
  shift 2
done
. "$root/benches/compare/lib.sh"
[ -n "${DOORWARD_OWN_NETWORK:-}" ] || { "$root/scripts/setup.sh" bench; build; export DOORWARD=$doorward UPSTREAM=$upstream; }
own_network "${arguments[@]}"
build

app=19000 doorward_port=19010 haproxy_port=19020 nginx_port=19030
start_upstream "$app"
start_doorward "$doorward_port" "$app"

# The same token among 10 000 keys.
{ for i in $(seq 9999); do printf 'dw_%06d_%032d service-%d\n' "$i" "$i" "$i"; done; echo "$token bench"; } >"$work/keys.map"
cat >"$work/haproxy.cfg" <<CFG
global
  nbthread 1
  maxconn 4000
defaults
  mode http
  timeout connect 5s
  timeout client 75s
  timeout server 30s
  timeout http-request 10s
  http-reuse always
frontend door
  bind 127.0.0.1:$haproxy_port
  http-request deny deny_status 403 unless { src 127.0.0.0/8 }
  http-request set-var(txn.subject) req.hdr(authorization),word(2,' '),map_str($work/keys.map)
  http-request deny deny_status 401 unless { var(txn.subject) -m found }
  http-request del-header x-auth- -m beg
  http-request del-header authorization
  http-request set-header x-auth-subject %[var(txn.subject)]
  http-request set-header x-auth-principal service
  http-request set-header x-forwarded-for %[src]
  http-request set-header x-forwarded-proto http
  default_backend app
backend app
  server app 127.0.0.1:$app pool-max-conn 1024
CFG
start haproxy 0 haproxy -db -f "$work/haproxy.cfg"
cat >"$work/nginx.conf" <<CFG
daemon off;
master_process off;
worker_processes 1;
pid $work/nginx.pid;
error_log stderr error;
events { worker_connections 8192; }
http {
  access_log off;
  keepalive_requests 1000000000;
  client_body_temp_path $work; proxy_temp_path $work;
  fastcgi_temp_path $work; uwsgi_temp_path $work; scgi_temp_path $work;
  upstream app { server 127.0.0.1:$app; keepalive 1024; keepalive_requests 1000000000; }
  server {
    listen 127.0.0.1:$nginx_port;
    location / { proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection ""; }
  }
}
CFG
start nginx 0 nginx -c "$work/nginx.conf" -p "$work" -e "$work/nginx-error.log"

good="authorization: Bearer $token"
bad="authorization: Bearer ${token%??}zz"
wait_for "http://127.0.0.1:$haproxy_port/" 200 "$good"
wait_for "http://127.0.0.1:$haproxy_port/" 401 "$bad"
wait_for "http://127.0.0.1:$nginx_port/" 200

# name, process, URL
peers=(
  "doorward doorward http://127.0.0.1:$doorward_port$path"
  "haproxy_key_map haproxy http://127.0.0.1:$haproxy_port$path"
  "nginx_plain nginx http://127.0.0.1:$nginx_port$path"
  "doorward_public doorward http://127.0.0.1:$doorward_port/public$path"
)

# measure NAME PROCESS URL SECONDS: one line with CPU µs per request, requests/s, failed requests.
measure() {
  local pid=${pid_of[$2]} before after out
  before=$(cpu_ns "$pid")
  out=$(pin 1 timeout $(($4 + 30)) wrk -t1 -c"$connections" -d"${4}s" -H "$good" "$3")
  after=$(cpu_ns "$pid")
  awk -v name="$1" -v ns=$((after - before)) '
    / requests in / { n = $1 }
    /Requests\/sec:/ { rate = $2 }
    /Socket errors:/ { gsub(",", ""); bad += $4 + $6 + $8 + $10 }
    /Non-2xx/ { bad += $NF }
    END { printf "%s %.3f %.0f %d\n", name, ns / 1000 / n, rate, bad }' <<<"$out"
}

for peer in "${peers[@]}"; do read -r name process url <<<"$peer"; measure "$name" "$process" "$url" 2 >/dev/null; done
for round in $(seq "$rounds"); do
  note "round $round of $rounds"
  for peer in "${peers[@]}"; do
    read -r name process url <<<"$peer"
    measure "$name" "$process" "$url" "$seconds"
  done
done >"$work/results"

failed=$(awk '{ s += $4 } END { print s + 0 }' "$work/results")
[ "$failed" = 0 ] || note "warning: $failed requests failed"
# Medians, and the median of the ratios round by round (Doorward's figure over the peer's).
awk -v rounds="$rounds" '
  function median(list, n,   i, j, t) {
    for (i = 2; i <= n; i++) for (j = i; j > 1 && list[j] < list[j - 1]; j--) { t = list[j]; list[j] = list[j - 1]; list[j - 1] = t }
    return n % 2 ? list[(n + 1) / 2] : (list[n / 2] + list[n / 2 + 1]) / 2
  }
  { if (!($1 in count)) order[++peers] = $1
    count[$1]++; cpu[$1, count[$1]] = $2; rate[$1, count[$1]] = $3 }
  END {
    print "| peer | CPU µs per request, median (least to most) | requests/s, median | Doorward ÷ peer, median (least to most) |"
    print "| --- | --- | --- | --- |"
    for (p = 1; p <= peers; p++) {
      name = order[p]; n = count[name]
      for (i = 1; i <= n; i++) { a[i] = cpu[name, i] + 0; b[i] = rate[name, i] + 0; c[i] = cpu[order[1], i] / cpu[name, i] }
      ma = median(a, n); mb = median(b, n); mc = median(c, n)
      printf "| %s | %.1f (%.1f to %.1f) | %.0f | %.2f (%.2f to %.2f) |\n", name, ma, a[1], a[n], mb, mc, c[1], c[n]
    }
  }' "$work/results"
for process in doorward haproxy nginx; do echo "resident after the run, $process: $(rss_kb "${pid_of[$process]}") KiB"; done
