# What people and CI run. Every target sets up what it needs and does nothing twice.

.DEFAULT_GOAL := help
.PHONY: help demo test costs check bench fixtures fix lock clean screenshots system-bench system-demo system-test system-python

PYTHON ?= python3
export PYTHON
BIN := $(CURDIR)/.venv/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check --no-input install
WITH_VENV := PATH="$(BIN):$$PATH"

FAST := not (bench or slow or dockerd or fuse or kernel)

RUNTIME := .venv/.runtime
DEV := .venv/.dev

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "%-10s%s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: system-demo $(RUNTIME) ## unpack a small real data root, list it, explain it, mount it
	@$(WITH_VENV) scripts/demo.sh

# file by file in their order: the quick ones are last, and no worker waits for another; one worker more than
# there are processors, as engines, mounts and browsers are waited for
BY_FILE := --numprocesses $(shell expr 1 + `nproc`) --dist loadfile --no-loadscope-reorder

test: system-test $(DEV) ## every test this machine can run; skips are counted at the end
	@$(WITH_VENV) pytest $(BY_FILE)

costs: system-test $(DEV) ## what the tests cost, by a fifth of the cases of each
	@$(WITH_VENV) python -m pytest -p tests.support.costs --every 5 $(BY_FILE)

check: system-python $(DEV) ## format, lint, types and the fast tests: half a minute, no root
	@$(WITH_VENV) ruff format --check --quiet . || { echo "run: make fix"; exit 1; }
	@$(WITH_VENV) ruff check --quiet .
	@$(WITH_VENV) mypy --no-error-summary
	@$(WITH_VENV) pytest --quiet --numprocesses auto -m "$(FAST)" tests/unit tests/property tests/test_*.py

bench: system-bench $(DEV) ## measure beside the kernel, fuse-overlayfs, Docker and Podman (root; an hour, 6 million inodes)
	@$(WITH_VENV) python -m tests.bench

screenshots: system-test $(RUNTIME) ## make the pictures of the README anew, in Chromium
	@$(WITH_VENV) scripts/screenshots.sh

fixtures: system-test $(DEV) ## record fixtures/ anew from a real Docker Engine (root)
	@$(WITH_VENV) python -m fixtures.record

fix: system-python $(DEV) ## format, and repair what the linter can
	@$(WITH_VENV) ruff check --fix --quiet . ; $(WITH_VENV) ruff format --quiet .

lock: system-python .venv/bin/python ## choose new versions for requirements/*.lock
	@$(PYTHON) -m venv .venv/lock && .venv/lock/bin/python -m pip --quiet install uv
	@cd requirements && for set in "build.in -o build.lock" "../pyproject.toml --extra explore --extra grep -o runtime.lock" \
	    "../pyproject.toml --extra dev -o dev.lock"; do \
	    ../.venv/lock/bin/uv pip compile --quiet --upgrade --universal --generate-hashes \
	        --python-version 3.11 --no-header $$set; done

clean: ## remove everything made here
	rm -rf .venv .demo .bench build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +

system-python:
	@scripts/packages.sh python3-venv

system-demo:
	@scripts/packages.sh python3-venv libfuse2 fuse3

system-bench: system-test
	@scripts/packages.sh --optional openssl
	@test -x .bench/peers/bin/ratarmount || { $(PYTHON) -m venv .bench/peers && \
	    .bench/peers/bin/python -m pip --quiet --disable-pip-version-check --no-input install ratarmount==1.3.0; } || \
	    echo "ratarmount: not to be had; the tables will say so"

system-test: system-python
	@scripts/packages.sh --optional libfuse2 fuse3 attr fuse-overlayfs docker.io docker-registry gcc libc6-dev patch rsync \
	    skopeo umoci podman buildah runc uidmap jq sleuthkit yara clamav locales zsh fish man-db chromium

.venv/bin/python: | system-python
	@$(PYTHON) -m venv .venv

$(RUNTIME): requirements/build.lock requirements/runtime.lock pyproject.toml | .venv/bin/python
	@echo "installing the locked packages in .venv"
	@$(PIP) --require-hashes -r requirements/build.lock
	@$(PIP) --no-build-isolation --require-hashes -r requirements/runtime.lock
	@$(PIP) --no-build-isolation --no-deps --editable .
	@touch $@

$(DEV): requirements/dev.lock $(RUNTIME)
	@$(PIP) --no-build-isolation --require-hashes -r requirements/dev.lock
	@touch $@
