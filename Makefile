# make demo    sets everything up and measures a compressed model on this machine
# make test    sets everything up and passes the tests
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PROJECTS := protos converters coordinator agent
SOURCES := protos converters coordinator agent tests

.PHONY: help setup demo test bench recipes check lint types contracts breaking format protos lock wheels clean

help: ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | expand -t 14

setup: $(STAMP) ## .venv from constraints.txt, with the four distributions

$(STAMP): constraints.txt $(PROJECTS:%=%/pyproject.toml)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "edgemeter needs Python 3.11 or newer: \
	  make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation \
	  $(PROJECTS:%=-e %)
	@touch $@

demo: setup ## train, compress, dispatch, measure: the whole way on this machine
	$(BIN)/edgemeter demo

# Where a neighbour on the other core would change what is measured, nothing runs beside.
ALONE := tests/integration/agent tests/faults
TOGETHER := tests/acceptance tests/unit $(filter-out tests/integration/agent,$(wildcard tests/integration/*))

test: setup ## every test, the slow ones too
	@failed=0; \
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile $(TOGETHER) || failed=1; \
	$(BIN)/python -m pytest $(ALONE) || failed=1; \
	exit $$failed

bench: setup ## our figures beside their peers', in one run; writes docs/benchmarks.md
	$(BIN)/python tests/benchmarks/run.py

recipes: setup ## every recipe on real networks, measured here; writes docs/recipes.md
	$(BIN)/python tests/benchmarks/recipes_table.py

check: lint types contracts breaking ## everything but the tests

lint: setup
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	cd protos && ../$(BIN)/buf lint && ../$(BIN)/buf format --diff --exit-code
	$(BIN)/python protos/generate.py --check

types: setup
	$(BIN)/mypy protos/src converters/src coordinator/src agent/src tests

contracts: setup
	$(BIN)/lint-imports

breaking: setup ## does the contract still serve yesterday's agents?
	@against=$$(git describe --tags --abbrev=0 2>/dev/null || git rev-parse --verify --quiet HEAD~1) || exit 0; \
	echo "buf breaking against $$against"; \
	cd protos && ../$(BIN)/buf breaking --against "../.git#ref=$$against,subdir=protos"

format: setup ## ruff and buf
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)
	cd protos && ../$(BIN)/buf format -w

protos: setup ## generate the code of the contract
	$(BIN)/python protos/generate.py

# uv resolves in seconds what pip backtracks over for minutes; pip installs. PyPI's torch asks for gigabytes of
# CUDA, which no conversion uses.
lock: setup ## constraints.txt from the pyprojects
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-header --no-annotate --upgrade \
	  requirements-dev.in | grep -vE '^(-e|nvidia-|cuda-|triton=)' > constraints.new
	mv constraints.new constraints.txt

wheels: setup ## dist/*.whl
	for project in $(PROJECTS); do $(BIN)/python -m build --wheel --no-isolation --outdir dist $$project; done

clean: ## what make made, but not what the demo fetched
	rm -rf $(VENV) dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis
