# `make` lists what there is. What a target needs is made by the targets before it; nothing is made twice.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

SERVING := ingest,features,logbert,predictor,placement,anomaly,demo,check
PIP_OPTIONS := --quiet --disable-pip-version-check
ARGS ?=
# The demonstration counts from the command, installation included.
export MOSELLE_DEMO_STARTED_AT := $(shell date +%s)

# A stamp is as new as what it was made from: with it, `make setup` takes no time when nothing changed.
INPUTS := pyproject.toml constraints.txt
STAMP := .venv/.setup-stamp
TRAIN_STAMP := .venv-train/.setup-stamp

.PHONY: help setup setup-train demo test test-train check integration search e2e bench nova-env gen clean

help: ## list these
	@grep -E '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(STAMP) ## make .venv: serving, demo, checks (no torch), and fetch Kafka

setup-train: $(TRAIN_STAMP) ## make .venv-train: everything, torch too (about 6 GB)

$(STAMP): $(INPUTS) moselle/stack/pom.xml
	@echo "making .venv"
	@.ci/make-venv .venv
	@.venv/bin/python -m pip install $(PIP_OPTIONS) -c constraints.txt -e '.[$(SERVING)]'
	@.venv/bin/moselle setup
	@touch $@

$(TRAIN_STAMP): $(INPUTS) moselle/stack/pom.xml
	@echo "making .venv-train"
	@.ci/make-venv .venv-train
	@.venv-train/bin/python -m pip install $(PIP_OPTIONS) -c constraints.txt -e '.[test]'
	@.venv-train/bin/moselle setup
	@touch $@

demo: setup ## the whole system at work, in five minutes; ARGS="--keep" leaves it running
	@.venv/bin/moselle demo $(ARGS)

test: setup test-train ## all tests but the benchmarks: what CI runs
	.venv/bin/python -m pytest tests/unit tests/conformance tests/contract tests/golden
	.venv/bin/python -m pytest tests/integration
	.venv/bin/python -m pytest tests/e2e

test-train: setup-train # those tests that need torch, with .venv-train
	.venv-train/bin/moselle --version
	.venv-train/bin/python -c 'import torch, transformers, onnx; print("torch", torch.__version__)'
	if compgen -G 'tests/unit/train/test_*.py' > /dev/null; then .venv-train/bin/python -m pytest tests/unit/train; fi

check: setup ## format, lint, types, imports, unit, conformance, contract, golden: for every save
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
	.venv/bin/lint-imports
	.venv/bin/python -m pytest -q tests/unit tests/conformance tests/contract tests/golden

integration: setup ## adapters against the real Kafka and PostgreSQL
	.venv/bin/python -m pytest tests/integration

search: setup ## the properties with examples that nobody has seen yet: for a change of what reads wild input
	.venv/bin/python -m pytest -q --hypothesis-profile=search tests/unit tests/conformance $(ARGS)

e2e: setup ## the whole embedded stack: a fault goes in, an alert comes out
	.venv/bin/python -m pytest tests/e2e

bench: setup ## throughput and latency; wants a quiet machine
	.venv/bin/python -m pytest -m bench tests/bench

nova-env: setup ## make .venv-nova with Nova: what tests/integration/test_nova.py needs
	@.ci/make-venv .venv-nova
	@.venv-nova/bin/python -m pip install $(PIP_OPTIONS) -c constraints.txt nova grpcio protobuf

gen: setup ## stubs and the generated pages of docs/
	.venv/bin/python -m moselle.generate

clean: ## remove what was built, the environments too
	rm -rf .venv .venv-train .venv-nova build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
