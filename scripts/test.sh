#!/usr/bin/env bash
# Runs every test: with cargo-nextest where it is installed, else with `cargo test`. Arguments are
# passed on, such as a part of a test's name.
set -euo pipefail
cd "$(dirname "$0")/.."

if cargo nextest --version >/dev/null 2>&1; then
  cargo nextest run "$@"
else
  echo "cargo-nextest is not installed (cargo install cargo-nextest --locked): using cargo test" >&2
  cargo test --lib --bins --tests "$@"
fi
# Examples in comments, which nextest does not know.
[ "$#" -gt 0 ] || cargo test --quiet --doc
