# Shared by run.sh and keepalive.sh: a network of their own, processes with their measures, Doorward's set-up.
# Sourced, after `set -euo pipefail`; `root` is the repository.

export PATH="$PATH:/usr/sbin:/usr/local/sbin"
work=$(mktemp -d)
pids=()
clean_up() {
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
  rm -rf "$work"
}
trap clean_up EXIT

die() { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; exit 1; }
note() { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; }

# Runs this script again in a network namespace of its own, where that is permitted.
own_network() {
  if [ -z "${DOORWARD_OWN_NETWORK:-}" ]; then
    if unshare -n true 2>/dev/null && command -v ip >/dev/null; then
      rm -rf "$work"
      DOORWARD_OWN_NETWORK=yes exec unshare -n "$0" "$@"
    fi
    note "no network namespace of our own is permitted here; using the host's"
  else
    ip link set lo up
  fi
}

# pin CPU COMMAND...: on that processor, where there is more than one.
pin() {
  local cpu=$1
  shift
  if [ "$(nproc)" -gt 1 ]; then taskset -c "$cpu" "$@"; else "$@"; fi
}

# start NAME CPU COMMAND...: in the background, its output in a file.
start() {
  local name=$1 cpu=$2
  shift 2
  # Not through a function: the process id is to be the program's own.
  [ "$(nproc)" = 1 ] || set -- taskset -c "$cpu" "$@"
  "$@" >"$work/$name.log" 2>&1 &
  pids+=("$!")
  pid_of[$name]=$!
}
declare -A pid_of

# wait_for URL STATUS [HEADER]: until it answers so.
wait_for() {
  local url=$1 status=$2 header=${3:-x-none: x} found=000
  for _ in $(seq 100); do
    found=$(curl -s -m 2 -o /dev/null -w '%{http_code}' -H "$header" "$url" || true)
    [ "$found" = "$status" ] && return
    sleep 0.1
  done
  tail -n 5 "$work"/*.log >&2
  die "$url answered $found, expected $status"
}

# CPU time of all threads of a process so far, in ns. Threads that have ended are not in it: there are none.
cpu_ns() { cat "/proc/$1/task/"*/schedstat 2>/dev/null | awk '{ s += $1 } END { printf "%.0f", s }'; }
rss_kb() { awk '/^VmRSS:/ { print $2 }' "/proc/$1/status"; }
descriptors() { find "/proc/$1/fd" -mindepth 1 | wc -l; }

# Builds what is measured, or takes what DOORWARD and UPSTREAM name; sets `doorward` and `upstream`.
build() {
  local target=${CARGO_TARGET_DIR:-$root/target}
  if [ -z "${DOORWARD:-}" ]; then
    (cd "$root" && cargo build --release --quiet --bin doorward --example compare_upstream)
  fi
  doorward=${DOORWARD:-$target/release/doorward}
  upstream=${UPSTREAM:-$target/release/examples/compare_upstream}
  [ -x "$doorward" ] || die "$doorward is not there"
  [ -x "$upstream" ] || die "$upstream is not there"
}

# start_upstream PORT, start_doorward PORT UPSTREAM_PORT; the latter sets `token`.
start_upstream() {
  start upstream 1 "$upstream" "127.0.0.1:$1"
  wait_for "http://127.0.0.1:$1/" 200
}
start_doorward() {
  cat >"$work/doorward.yaml" <<YAML
version: 1
data_dir: $work/data
workers: 1
listeners: [{ name: public, address: "127.0.0.1:$1", max_connections: 20000 }]
status: { address: "127.0.0.1:$(($1 + 1))" }
admin: { address: "127.0.0.1:$(($1 + 2))" }
log: { level: warn }
upstreams: { app: { url: "http://127.0.0.1:$2", max_idle_connections: 1024 } }
routes:
  - { name: public, path: /public/, access: public, upstream: app }
  - { name: all, path: /, upstream: app, allow_from: [127.0.0.0/8] }
YAML
  start doorward 0 "$doorward" serve --config "$work/doorward.yaml"
  wait_for "http://127.0.0.1:$(($1 + 1))/readyz" 200
  "$doorward" --config "$work/doorward.yaml" --json token create --for bench >"$work/token.json" 2>"$work/cli.log" ||
    { cat "$work/cli.log" >&2; die "no token could be made"; }
  token=$(sed -n 's/.*"secret": *"\([^"]*\)".*/\1/p' "$work/token.json")
  wait_for "http://127.0.0.1:$1/" 200 "authorization: Bearer $token"
  wait_for "http://127.0.0.1:$1/" 401 "authorization: Bearer ${token%??}zz"
}
