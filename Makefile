# The commands of this repository. `make` alone lists them.
SHELL := /bin/bash
PYTHON ?= python3
# Twice the processors of a small machine: tests wait a fifth of their time, and with three a tenth was left idle.
PYTEST_OPTIONS ?= -n 4 --dist loadgroup

VENV := .venv
BIN := $(VENV)/bin
DEMO := $(BIN)/flowlet demo
# Bytecode is kept even if the caller's environment says otherwise: the tests start hundreds of processes, and each of
# them would compile every module that it imports.
unexport PYTHONDONTWRITEBYTECODE
# Without --no-compile pip would compile every module of every package, of which most are never imported.
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --constraint constraints.txt

# What pyproject.toml names, and the Python of the documentation.
CHECK_TYPES := ( \
  { $(BIN)/python tools/doc_blocks.py && $(BIN)/mypy --strict --no-error-summary flowlet tests demo build/doc_blocks; } & \
  mypy=$$!; status=0; \
  PYRIGHT_PYTHON_IGNORE_WARNINGS=1 $(BIN)/pyright --pythonpath $(BIN)/python || status=1; \
  wait $$mypy && exit $$status )

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help demo test soak bench lint style format client reference pictures constraints clean databases browser newman

help: ## List the commands.
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' Makefile

demo: $(VENV)/.flowlet ## Serve the demo, in an environment of its own, until Ctrl-C.
	@$(DEMO)

# What the system lacks is downloaded while the packages are installed. The types are checked while the first tests run,
# as these wait for databases; what is wrong is shown after the tests.
test: $(VENV)/bin/python ## Check and test everything, as .ci/run does.
	@.ci/prepare databases browser newman & prepared=$$!; status=0; \
	  $(MAKE) --no-print-directory style || status=1; \
	  wait $$prepared || status=1; \
	  exit $$status
	@echo "== pytest, and the types at the same time"
	@$(CHECK_TYPES) > $(VENV)/types.log 2>&1 & types=$$!; status=0; \
	  TMPDIR="$${TMPDIR:-$$(.ci/memory)}" $(BIN)/python -m pytest $(PYTEST_OPTIONS) || status=$$?; \
	  wait $$types || { status=1; echo "== the types are wrong"; cat $(VENV)/types.log; }; \
	  exit $$status

soak: $(VENV)/.dev databases ## Kill and freeze executors and databases for minutes each, and judge the rest.
	@$(BIN)/python -m tests.chaos.soak $(SOAK_OPTIONS)

bench: $(VENV)/.dev databases ## Print this machine's throughput in one table, beside other libraries.
	@PYTHONPATH=$(CURDIR) $(BIN)/python benchmarks/bench.py $(BENCH_OPTIONS)

lint: style ## Check format, style and types.
	@echo "== mypy --strict, and pyright at the same time"
	@$(CHECK_TYPES)

style: $(VENV)/.dev
	@echo "== ruff format --check"
	@$(BIN)/ruff format --quiet --check --output-format concise .
	@echo "== ruff check"
	@$(BIN)/ruff check --quiet --output-format concise .

format: $(VENV)/.dev ## Put the source into shape.
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

client: $(VENV)/.dev ## Make the synchronous client of the asynchronous one.
	@$(BIN)/python tools/unasync.py

reference: $(VENV)/.dev ## Make the reference pages of Python objects of their docstrings.
	@$(BIN)/python tools/reference.py

pictures: $(VENV)/.dev browser ## Take the pictures of the console that the documents show.
	@$(BIN)/python tools/pictures.py

constraints: ## Pin the newest versions that pyproject.toml allows.
	@rm -rf $(VENV)
	@PYTHON=$(PYTHON) .ci/prepare venv
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@{ head -n 1 constraints.txt; $(BIN)/python -m pip freeze --exclude-editable; } > constraints.new
	@mv constraints.new constraints.txt

clean: ## Remove the environment and everything made.
	@rm -rf $(VENV) dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

databases browser:
	@.ci/prepare $@

newman: $(VENV)/bin/python
	@.ci/prepare newman

$(VENV)/bin/python:
	@PYTHON=$(PYTHON) .ci/prepare venv
	@echo "== making $(VENV)"
	@$(PYTHON) -m venv --clear $(VENV)

# The rule is the same for what a user and what a developer needs.
$(VENV)/.flowlet: TARGET := .[mysql,postgres]
$(VENV)/.dev: TARGET := .[dev]
$(VENV)/.flowlet $(VENV)/.dev: $(VENV)/bin/python pyproject.toml constraints.txt
	@echo "== installing $(TARGET) into $(VENV)"
	@$(PIP_INSTALL) --editable '$(TARGET)'
	@touch $@
