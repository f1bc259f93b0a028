#!/usr/bin/env bash
# Installs what is missing, through apt (and pip and npm, into a folder of the project), and nothing when nothing is
# missing.
#
#   scripts/setup.sh build          a C compiler and cmake (the cryptography library is C)
#   scripts/setup.sh test           what the tests run beside the program: Node.js, Prometheus, nginx, curl,
#                                   openssl, nghttp2, systemd-analyze, Python, Chromium; and, into target/tools, what
#                                   scripts/python-tools.txt and scripts/node-tools.txt name
#   scripts/setup.sh bench          what the comparisons run: wrk, nginx, HAProxy
set -euo pipefail

say() { printf 'setup: %s\n' "$*" >&2; }

command -v cargo >/dev/null || {
  say "cargo was not found. Install Rust 1.95 or newer (https://rustup.rs), then try again."
  exit 1
}

missing=()
services=()
# need COMMAND PACKAGE: notes the package when the command is not there. Some install below /usr/sbin.
need() {
  PATH="$PATH:/usr/sbin:/usr/local/sbin" command -v "$1" >/dev/null || missing+=("$2")
}
# Packages that also start a service, which nobody here asked for.
need_without_service() {
  local before=${#missing[@]}
  need "$1" "$2"
  [ "${#missing[@]}" = "$before" ] || services+=("$2")
}

for group in "$@"; do
  case $group in
    build)
      need cc gcc
      need cmake cmake
      ;;
    test)
      need node nodejs
      need npm npm
      need curl curl
      need openssl openssl
      need h2load nghttp2-client
      need python3 python3
      python3 -c 'import ensurepip' 2>/dev/null || missing+=(python3-venv)
      need systemd-analyze systemd
      need chromium chromium
      need_without_service promtool prometheus
      need_without_service nginx nginx
      ;;
    bench)
      need wrk wrk
      need_without_service nginx nginx
      need_without_service haproxy haproxy
      ;;
    *)
      say "unknown group '$group': expected build, test or bench"
      exit 2
      ;;
  esac
done

# Tools from PyPI and npm, in a folder of the project's own that `cargo clean` takes away.
fetched_tools() {
  local root tools python node
  root="$(cd "$(dirname "$0")/.." && pwd)"
  tools="$root/target/tools"
  python="$root/scripts/python-tools.txt"
  node="$root/scripts/node-tools.txt"
  if cat "$python" "$node" | cmp -s - "$tools/installed.txt"; then return; fi
  say "installing into $tools: $(cat "$python" "$node" | grep -v '^#' | tr '\n' ' ')"
  rm -rf "$tools"
  if ! { python3 -m venv "$tools" && "$tools/bin/pip" install --quiet --disable-pip-version-check -r "$python"; } >&2; then
    say "pip could not install them: is PyPI, or a mirror that pip knows, within reach?"
    exit 1
  fi
  # No scripts of theirs run here.
  if ! grep -v '^#' "$node" | xargs npm install --prefix "$tools" --ignore-scripts --no-audit --no-fund --silent >&2; then
    say "npm could not install them: is its registry, or a mirror that npm knows, within reach?"
    exit 1
  fi
  cat "$python" "$node" >"$tools/installed.txt"
}
finish() {
  case " $* " in *" test "*) fetched_tools ;; esac
  exit 0
}

[ "${#missing[@]}" -gt 0 ] || finish "$@"

by_hand() {
  say "$1"
  say "Please install these by your system's means, then try again: ${missing[*]} (Debian's names)"
  exit 1
}

command -v apt-get >/dev/null || by_hand "something is missing, and this system has no apt-get."
as_root=()
if [ "$(id -u)" != 0 ]; then
  command -v sudo >/dev/null || by_hand "something is missing, and installing it needs root (no sudo here)."
  as_root=(sudo)
fi

say "installing: ${missing[*]}"
install() {
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    "${missing[@]}" </dev/null >&2
}
# The package lists may be old or absent: refresh them only when the first try fails.
install || {
  "${as_root[@]}" apt-get update -qq </dev/null >&2 || say "the package lists could not be refreshed"
  install || by_hand "apt-get could not install them."
}

if [ -d /run/systemd/system ]; then
  for service in "${services[@]}"; do
    say "stopping and disabling the service '$service' that came with its package"
    "${as_root[@]}" systemctl disable --now "$service" >&2 || say "'$service' could not be disabled"
  done
fi
finish "$@"
