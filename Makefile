# `make study` and `make test` do all their own set-up; the second time it takes no time.
#
#   make study   a whole study with the embedded base on generated data -> out/study/report.html
#   make test    the tests
#   make test-portable   those that compute, in float32 and as on a processor of ten years ago
#   make check   format, lint, types, tests
#   make clean   removes what these made
#
# PYTHON=... names the interpreter (3.11 or newer) that makes the virtual environment.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help study test test-portable check env clean

VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= $(shell scripts/find-python)
SETUP_INPUTS := pyproject.toml constraints.txt scripts/setup
PYTEST_ARGS ?= -n 2 --dist loadfile

# What rounds differently on another processor: the rooms that compute, without matrix units and
# with the vector instructions that nearly every x86 has. Elsewhere the precision alone is forced.
NUMERIC := $(addprefix tests/,adapters annotation backbone codec decoding evaluation forecasting model training)
PORTABLE := LORACAST_PRECISION=fp32
ifeq ($(shell uname -m),x86_64)
PORTABLE += ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 MKL_ENABLE_INSTRUCTIONS=AVX2
endif

help:
	@sed -n 's/^#   /  /p' Makefile

# One stamp per set of packages; a change of the versions or of the metadata installs again.
$(VENV)/.study.stamp: $(SETUP_INPUTS)
	@scripts/setup "$(PYTHON)" $(VENV) study

$(VENV)/.dev.stamp: $(SETUP_INPUTS)
	@scripts/setup "$(PYTHON)" $(VENV) dev

env: $(VENV)/.dev.stamp

study: $(VENV)/.study.stamp
	@echo "study: running into out/study (an interrupted study goes on where it stopped)"
	@$(BIN)/loracast study run --out out/study

test: $(VENV)/.dev.stamp
	@$(BIN)/python -m pytest -q $(PYTEST_ARGS)

test-portable: $(VENV)/.dev.stamp
	@$(PORTABLE) $(BIN)/python -m pytest -q $(PYTEST_ARGS) $(NUMERIC)

check: $(VENV)/.dev.stamp
	@scripts/check

clean:
	rm -rf $(VENV) out build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find src tests benchmarks scripts -name __pycache__ -type d -prune -exec rm -rf {} +
