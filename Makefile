# nefstudy: `make study` runs a study from nothing; `make help` lists the rest.

SHELL := /usr/bin/env bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VENV      := .venv
BIN       := $(VENV)/bin
ROOT      ?= $(or $(NEFSTUDY_ROOT),runs)
export ROOT   # recipes read it from their environment, whatever characters it holds
PORT      ?= 8000
MLFLOW_PORT ?= 5000
PIP_FLAGS ?=
PYTEST_ARGS ?=

# Tests that need seconds, a service or a second process; everything else is the fast lane. Those that start Ray run two
# at a time: each waits for the start of its processes for most of its time.
HEAVY := slow or postgres or mlflow or browser or prometheus or fault or compiled
FAST  := not slow and not ray and not postgres and not mlflow and not browser and not prometheus and not fault and not compiled
# Shapes are checked where tensors are; beartype cannot read some hints of the packages beyond (Self, SQLAlchemy's).
TENSOR_PACKAGES := signals evaluation fields inits fitting neural_dataset classifiers
comma := ,
SHAPES := --jaxtyping-packages=$(subst $() ,$(comma),$(TENSOR_PACKAGES:%=nefstudy.%)),beartype.beartype
# Packages that tests start for real; SKIP_SYSTEM=1 leaves their tests out, in the open.
SYSTEM_TESTS := $(if $(SKIP_SYSTEM),and not postgres and not browser and not prometheus)

# One thread a process (Ray and xdist bring the parallelism), no phoning home, and a short
# temporary directory, for a Unix socket's path holds about a hundred characters.
TEST_ENV = OMP_NUM_THREADS=1 RAY_USAGE_STATS_ENABLED=0 MLFLOW_DISABLE_TELEMETRY=true TMPDIR="$$short"
define in_short_tmp
short=$$(mktemp -d /tmp/nt.XXXXXX); trap 'rm -rf "$$short"' EXIT
endef
SLOWEST := --durations=20 --durations-min=5
# Keep a failure for the end. Where PYTEST_ARGS narrow the run, a part may match no test (pytest's exit code 5).
KEEP = || { rc=$$?; $(if $(PYTEST_ARGS),[ "$$rc" -eq 5 ] ||) failed=$$rc; }

# Debian's package with 70,000 real images of 28 x 28, and the folder where nefstudy looks for it.
FASHION_PACKAGE := dataset-fashion-mnist
FASHION_FOLDER  := /usr/share/datasets/fashion-mnist
HAS_APT := [ "$$(id -u)" -eq 0 ] && command -v apt-get >/dev/null 2>&1
APT_INSTALL := DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends

.PHONY: help install install-dev study data test faults check fuzz lint format serve system vendor clean

help: ## list what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "  settings: ROOT=$(ROOT) PORT=$(PORT) MLFLOW_PORT=$(MLFLOW_PORT) PYTHON=... PIP_FLAGS=... PYTEST_ARGS=..."

install: $(VENV)/.installed ## create .venv and install nefstudy from the pinned constraints
install-dev: $(VENV)/.installed-dev ## the same with what the tests need

$(BIN)/python:
	@found=""; tried=""; \
	for candidate in $(or $(PYTHON),python3 python3.13 python3.12 python3.11 python); do \
	  command -v "$$candidate" >/dev/null 2>&1 || continue; \
	  tried="$$tried $$candidate=$$("$$candidate" -c 'import platform; print(platform.python_version())')"; \
	  if "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then found="$$candidate"; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
	  echo "error: nefstudy needs Python 3.11 or newer; found$${tried:- none}; install one, or name it: make study PYTHON=/path/to/python3.12" >&2; exit 2; \
	fi; \
	"$$found" -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet $(PIP_FLAGS) -c constraints.txt -e .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet $(PIP_FLAGS) -c constraints.txt -e '.[dev]'
	@touch $(VENV)/.installed $@

study: $(VENV)/.installed ## both phases of a small study on real digits, minutes on two cores
	RAY_USAGE_STATS_ENABLED=0 $(BIN)/python studies/smoke.py --root "$$ROOT"

data: ## install Fashion-MNIST, 70,000 real images, from Debian's packages (as root; else print how)
	@if [ -d $(FASHION_FOLDER) ]; then \
	  echo "Fashion-MNIST is in $(FASHION_FOLDER)"; \
	elif $(HAS_APT); then \
	  apt-get update -qq </dev/null; \
	  $(APT_INSTALL) $(FASHION_PACKAGE) </dev/null >/dev/null; \
	  echo "Fashion-MNIST is installed in $(FASHION_FOLDER)"; \
	else \
	  echo "error: installing Fashion-MNIST needs root and apt-get; run: sudo apt-get install $(FASHION_PACKAGE)" >&2; \
	  echo "  or download its four IDX files and name their folder: --data fashion-mnist=PATH" >&2; \
	  exit 2; \
	fi

# Tests of Fashion-MNIST itself skip where it is missing, so it is installed only where that needs no question.
system:
	@missing=(); \
	command -v initdb >/dev/null 2>&1 || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || missing+=(postgresql); \
	command -v pgbouncer >/dev/null 2>&1 || ls /usr/sbin/pgbouncer >/dev/null 2>&1 || missing+=(pgbouncer); \
	command -v chromium >/dev/null 2>&1 || command -v chromium-browser >/dev/null 2>&1 || command -v google-chrome >/dev/null 2>&1 || missing+=(chromium); \
	command -v prometheus >/dev/null 2>&1 && command -v promtool >/dev/null 2>&1 || missing+=(prometheus); \
	if $(HAS_APT) && [ ! -d $(FASHION_FOLDER) ]; then missing+=($(FASHION_PACKAGE)); fi; \
	if [ "$${#missing[@]}" -eq 0 ] || [ -n "$(SKIP_SYSTEM)" ]; then exit 0; fi; \
	if $(HAS_APT); then \
	  apt-get update -qq </dev/null; \
	  $(APT_INSTALL) "$${missing[@]}" </dev/null >/dev/null; \
	else \
	  echo "error: the tests start these for real and they are missing: $${missing[*]}" >&2; \
	  echo "  install them (Debian: sudo apt-get install $${missing[*]}), or leave their tests out: make test SKIP_SYSTEM=1" >&2; \
	  exit 2; \
	fi

test: system $(VENV)/.installed-dev ## every test: fast ones with shapes checked, heavy ones file by file, then Ray's
	$(in_short_tmp); failed=0; \
	$(TEST_ENV) $(BIN)/python -m pytest -q $(SLOWEST) -n auto --maxprocesses=4 $(SHAPES) -m "$(FAST)" $(PYTEST_ARGS) $(KEEP); \
	$(TEST_ENV) $(BIN)/python -m pytest -q $(SLOWEST) -n auto --maxprocesses=4 --dist loadfile \
	  -m "($(HEAVY)) and not ray and not nightly $(SYSTEM_TESTS)" $(PYTEST_ARGS) $(KEEP); \
	$(TEST_ENV) $(BIN)/python -m pytest -q $(SLOWEST) -n auto --maxprocesses=2 --dist loadfile \
	  -m "ray and not nightly $(SYSTEM_TESTS)" $(PYTEST_ARGS) $(KEEP); \
	exit $$failed

# Their time limits only end a hang: pauses before kills grow with the load of the machine.
faults: system $(VENV)/.installed-dev ## every fault: killed drivers, workers and nodes, full disks, torn files; nearly two hours
	$(in_short_tmp); failed=0; \
	$(TEST_ENV) $(BIN)/python -m pytest -q --timeout=1500 -n auto --maxprocesses=4 --dist loadfile \
	  -m "fault and not ray $(SYSTEM_TESTS)" $(PYTEST_ARGS) $(KEEP); \
	$(TEST_ENV) $(BIN)/python -m pytest -q --timeout=1500 -m "fault and ray $(SYSTEM_TESTS)" $(PYTEST_ARGS) $(KEEP); \
	exit $$failed

check: lint ## format, lint, types, import contracts and the fast tests, under two minutes
	$(in_short_tmp); $(TEST_ENV) $(BIN)/python -m pytest -q -n auto --maxprocesses=4 -m "$(FAST)" $(PYTEST_ARGS)

fuzz: $(VENV)/.installed-dev ## a hundred thousand hostile requests, and 300 examples of each REST operation
	$(in_short_tmp); NEFSTUDY_FUZZ=100000 NEFSTUDY_EXAMPLES=300 $(TEST_ENV) \
	  $(BIN)/python -m pytest -q -s tests/service/test_hostile.py tests/service/test_schema.py $(PYTEST_ARGS)

lint: $(VENV)/.installed-dev ## format, lint, types and import contracts, without tests
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.installed-dev ## rewrite the sources in the project's format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

serve: $(VENV)/.installed ## status service and MLflow UI on the last study, on loopback
	@if [ -z "$${NEFSTUDY_LEDGER:-}" ] && [ ! -e "$$ROOT/ledger.db" ]; then \
	  echo "error: no ledger at $$ROOT/ledger.db; run 'make study' first, or name a root: make serve ROOT=/path/to/root" >&2; exit 2; \
	fi
	@echo "status  http://127.0.0.1:$(PORT)/"; echo "MLflow  http://127.0.0.1:$(MLFLOW_PORT)/"; \
	store=$$($(BIN)/python -c 'import os; from nefstudy.study.locations import resolve_locations as locations; \
	print(locations(os.environ["ROOT"], environment=os.environ).mlflow)') || exit 2; \
	MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false MLFLOW_ALLOW_PICKLE_DESERIALIZATION=false MLFLOW_DISABLE_TELEMETRY=true \
	  $(BIN)/mlflow server --host 127.0.0.1 --port $(MLFLOW_PORT) --workers 1 \
	  --backend-store-uri "$$store" >"$$ROOT/mlflow-ui.log" 2>&1 & \
	mlflow=$$!; trap 'kill $$mlflow 2>/dev/null || true' EXIT INT TERM; \
	$(BIN)/nefstudy serve --root "$$ROOT" --port $(PORT)

vendor: ## copy Observable Plot and d3 of dashboards/package-lock.json into the study page (needs npm)
	@scratch=$$(mktemp -d); trap 'rm -rf "$$scratch"' EXIT; \
	cp dashboards/package.json dashboards/package-lock.json "$$scratch"; \
	(cd "$$scratch" && npm ci --ignore-scripts --no-audit --no-fund --silent); \
	modules="$$scratch/node_modules"; page=dashboards/page/vendor; mkdir -p "$$page"; \
	cp "$$modules/d3/dist/d3.min.js" "$$page/d3.min.js"; \
	cp "$$modules/@observablehq/plot/dist/plot.umd.min.js" "$$page/plot.min.js"; \
	for name in d3 @observablehq/plot interval-tree-1d binary-search-bounds isoformat; do \
	  echo "$$name $$(node -p "require('$$modules/$$name/package.json').version")"; echo; cat "$$modules/$$name/LICENSE"; echo; \
	done > "$$page/LICENSES.txt"

clean: ## remove caches; studies under ROOT and .venv stay
	rm -rf .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis dist
	find nefstudy studies tests -name __pycache__ -type d -prune -exec rm -rf {} +
