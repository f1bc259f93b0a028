# What a newcomer needs: `make run`, `make test`. Everything else is for working on the code.

.PHONY: help run test lint fmt bench compare soak fuzz-framing setup

help: ## Show this list
	@awk -F':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## Build and start the demo: an echo app behind the door, one token of each kind, curl lines
	@scripts/setup.sh build
	cargo run --quiet -- demo

test: ## Run every test
	@scripts/setup.sh build test
	@scripts/test.sh

lint: ## Formatting, clippy with warnings as errors, licences and sources of dependencies
	@scripts/setup.sh build
	cargo fmt --check
	cargo clippy --all-targets -- -D warnings
	@scripts/deny.sh

fmt: ## Format the code
	cargo fmt

bench: ## Run the benchmarks of the hot path
	@scripts/setup.sh build
	cargo bench

compare: ## Compare with HAProxy and nginx: CPU per request, side by side
	@scripts/setup.sh build bench
	benches/compare/run.sh

soak: ## Ten minutes of mixed traffic, 10 GiB each way, 1 000 keep-alive clients: no error, no growth
	@scripts/setup.sh build test bench
	DOORWARD_SOAK_SECONDS=$${DOORWARD_SOAK_SECONDS:-600} cargo test --test it -- --nocapture soak::
	DOORWARD_TEST_BODY_MIB=10240 cargo test --test it -- --nocapture bodies::long
	benches/compare/keepalive.sh --idle 5000 --half 2000

fuzz-framing: ## Compare readings of HTTP/1 by the screen, hyper, nginx and HAProxy (DOORWARD_FUZZ_CASES, DOORWARD_FUZZ_SEED)
	@scripts/setup.sh build bench
	DOORWARD_FUZZ_CASES=$${DOORWARD_FUZZ_CASES:-20000} DOORWARD_FUZZ_SEED=$${DOORWARD_FUZZ_SEED:-$$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')} \
	  cargo test --test it -- --nocapture framing::fuzz

setup: ## Install what building and testing need (through apt, only what is missing)
	@scripts/setup.sh build test
