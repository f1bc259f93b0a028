#!/usr/bin/env bash
# Counts the instructions of one gate decision on a cache hit, under callgrind.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v valgrind >/dev/null || { echo "instructions: valgrind was not found; install it (Debian: valgrind)" >&2; exit 1; }
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
bench=$(cargo bench --bench instructions --no-run --message-format=json "$@" |
  sed -n 's/.*"name":"instructions".*"executable":"\([^"]*\)".*/\1/p' | tail -1)
[ -x "$bench" ] || { echo "instructions: the bench was not built" >&2; exit 1; }
timeout 600 valgrind --tool=callgrind --callgrind-out-file="$out/calls" --collect-atstart=no \
  --toggle-collect='instructions::decisions*' "$bench" >"$out/printed" 2>"$out/log" ||
  { tail -20 "$out/log" >&2; exit 1; }
decisions=$(awk '/ decisions$/ { print $1 }' "$out/printed")
total=$(awk '/^(summary|totals):/ { print $2; exit }' "$out/calls")
echo "instructions per decision: $((total / decisions))"
[ -z "${KEEP:-}" ] || cp "$out/calls" "$KEEP"
