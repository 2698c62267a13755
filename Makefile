# Patina's everyday commands. `make help` lists them; `make demo` and `make test` are all that a fresh machine with Swift needs.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

SWIFT ?= swift
DEBUG := .build/debug/patina
RELEASE := .build/release/patina
# With Swift's own libraries inside, it starts faster (results/testbed.md) and runs on hosts that have no Swift.
BUILD_RELEASE := build -c release --product patina --static-swift-stdlib
# Tests that wait for sockets and threads. Beside whole simulations, which keep every core busy for minutes, they would wait in vain.
WAITING := ^(RuntimeTests|AgentTests|LiveTests)\.
FORMATTED := Package.swift Sources Tests Benchmarks/Package.swift Benchmarks/Sources

.PHONY: help deps build release demo test lint format unit e2e measure test-scale bench-store clean

help: ## List every target
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

deps: ## Install missing Debian packages and the Python environment of the tests (nothing missing: no network)
	@scripts/install-dependencies.sh

build: deps ## Build everything for debugging
	$(SWIFT) build

release: deps ## Build the optimised executable, .build/release/patina
	$(SWIFT) $(BUILD_RELEASE)

demo: release ## Run one scenario simulated, then three live agents, and print both side by side
	$(RELEASE) dev demo

test: deps lint ## Run everything that must hold: lint, unit tests, end-to-end tests
	$(SWIFT) build --build-tests
	$(SWIFT) test --skip-build --skip '$(WAITING)'
	$(SWIFT) test --skip-build --no-parallel --filter '$(WAITING)'
	$(SWIFT) $(BUILD_RELEASE)
	python3 scripts/e2e/run.py --patina $(RELEASE) --debug-patina $(DEBUG)

lint: ## Check the formatting of all Swift files
	$(SWIFT) format lint --strict --recursive --parallel $(FORMATTED)

format: ## Format all Swift files in place
	$(SWIFT) format --in-place --recursive --parallel $(FORMATTED)

unit: deps ## Run the unit tests alone
	$(SWIFT) build --build-tests
	$(SWIFT) test --skip-build --skip '$(WAITING)'
	$(SWIFT) test --skip-build --no-parallel --filter '$(WAITING)'

e2e: release ## Run the end-to-end tests alone (ONLY=name picks some; see scripts/e2e/run.py --list)
	$(SWIFT) build --product patina
	python3 scripts/e2e/run.py --patina $(RELEASE) --debug-patina $(DEBUG) $(ONLY)

measure: release ## Print the figures of results/skeleton.md as measured on this machine
	python3 scripts/measure/run.py --patina $(RELEASE) $(ONLY)

test-scale: release ## Run the scenarios of scenarios/scale twice each: the same trace, every check holds (up to 4 GiB of memory)
	python3 scripts/scale/run.py --patina $(RELEASE) $(OPTIONS)

bench-store: deps ## Measure the store beside plain SQLite, one JSON object a line (OPTIONS="--only write8 --rounds 3")
	@$(SWIFT) build -c release --package-path Benchmarks --product StoreBenchmark >&2
	@Benchmarks/.build/release/StoreBenchmark $(OPTIONS)

clean: ## Delete what was built, and the Python environment
	rm -rf .build Benchmarks/.build .venv runs
