#!/usr/bin/env bash
# Licences, banned crates and sources of the dependencies (deny.toml).
set -euo pipefail
cd "$(dirname "$0")/.."

if cargo deny --version >/dev/null 2>&1; then
  cargo deny check licenses bans sources
else
  echo "deny: cargo-deny is not installed (cargo install cargo-deny --locked): dependencies not checked" >&2
fi
