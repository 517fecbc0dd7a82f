# Everything a newcomer needs: `make run`, `make test`. Only python3 (3.11+), pip and make.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := /bin/bash
BIN := .venv/bin
PORT ?=
UP_OPTIONS := $(if $(PORT),--port $(PORT)) $(ARGS)

.PHONY: run test explore check fmt bench bench-pii bench-peers bench-routing bench-scale compat-prove lock sbom install help

run: .venv/.installed-all  ## Install what is missing and start everything (PORT=8080 ARGS="--data-dir D")
	@$(BIN)/modelmuxer up $(UP_OPTIONS)

test: .venv/.installed-dev  ## Run the tests on real nats-server, Redis and ClickHouse (< 3 min)
	@$(BIN)/pytest -m "not slow" -n 3 --dist loadfile $(ARGS)

explore: .venv/.installed-dev  ## Run the property tests with new examples (N=5 times)
	@for i in $$(seq $(or $(N),5)); do HYPOTHESIS_PROFILE=explore $(BIN)/pytest -m hypothesis -n 3 $(ARGS) || exit; done

check: .venv/.installed-dev  ## Lint, formatting, types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

fmt: .venv/.installed-dev  ## Format the code and fix what lint can fix
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

bench: .venv/.installed-dev  ## Measure latency and CPU: direct, ModelMuxer, and peers if installed
	@$(BIN)/python -m scripts.bench $(ARGS)

bench-pii: .venv/.installed-dev  ## Measure masking: ms per KB beside Presidio, worst inputs, a long conversation
	@$(BIN)/python -m scripts.bench.pii

compat-prove: .venv/.installed-dev  ## Run the compatibility table against a naive relay: every row must fail there
	@$(BIN)/python -m tests.compat.prove

bench-peers: .venv/.installed-dev  ## Install the peers that `make bench` compares with
	@$(BIN)/python -m scripts.bench.peers

bench-routing: .venv/.installed-dev  ## What routing saves and keeps, and how long a decision takes
	@$(BIN)/python scripts/bench/routing.py $(ARGS)

bench-scale: .venv/.installed-dev  ## What one more replica of each service adds, and a cluster (--write renews docs)
	@$(BIN)/python -m scripts.bench.scale $(ARGS)

lock: .venv/.installed-dev  ## Pin and hash what the images install (requirements-*.lock)
	@scripts/lock.sh $(ARGS)

sbom: .venv/.installed-dev  ## Write the bill of materials of each image (build/sbom-*.json)
	@.ci/bill-of-materials

install: .venv/.installed-all  ## Only create the environment

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# One stamp per set of extras; a changed pyproject.toml installs again.
.venv/.installed-%: pyproject.toml | .venv/bin/python
	@echo "installing modelmuxer[$*] into .venv (first time: about half a minute)"
	@scripts/install.sh '$*'
	@touch $@

.venv/bin/python:
	@scripts/make-venv.sh .venv
