# The front door. Every target sets up what it needs; CI runs the same ones.

PYTHON ?=
PORT ?= 8000
PYTEST_ARGS ?=
DEPLOY_ARGS ?=
BENCH_ARGS ?=
# How long the long counts run; CI runs them with FAIRWAY_SOAK=1.
FAIRWAY_SOAK ?= 20

BIN := .venv/bin
SETUP := python3 tools/environment.py .venv $(if $(PYTHON),--python $(PYTHON))
SYSTEM := python3 tools/system_packages.py
# Only when the lock is newer than what it installed.
NPM_CI := cd clients/js && { test node_modules/.package-lock.json -nt package-lock.json || npm ci --no-audit --no-fund --loglevel=error; }

.DEFAULT_GOAL := help
.PHONY: help setup demo liveblog progress board deploy-demo test lint format coverage client client-build conformance soak bench docs wheel-test test-all clean

help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

setup: ## set .venv up with everything that development needs
	@$(SETUP) --group test --group lint --group docs

demo: ## run the chat of examples/chat on 127.0.0.1, PORT=8000
	@$(SETUP)
	@cd examples/chat && ../../$(BIN)/python manage.py migrate --verbosity 0
	@cd examples/chat && exec ../../$(BIN)/python manage.py runserver 127.0.0.1:$(PORT)

liveblog: ## run the live blog of examples/liveblog on 127.0.0.1, PORT=8000
	@$(SETUP)
	@cd examples/liveblog && ../../$(BIN)/python manage.py migrate --verbosity 0
	@cd examples/liveblog && ../../$(BIN)/python manage.py demo
	@cd examples/liveblog && exec ../../$(BIN)/python manage.py runserver 127.0.0.1:$(PORT)

progress: ## run the import with a bar of examples/progress on 127.0.0.1, PORT=8000
	@$(SETUP) --group tasks
	@cd examples/progress && ../../$(BIN)/python manage.py migrate --verbosity 0
	@cd examples/progress && exec ../../$(BIN)/python manage.py runserver 127.0.0.1:$(PORT)

board: ## run the shared to-do board of examples/board on 127.0.0.1, PORT=8000
	@$(SETUP)
	@cd examples/board && ../../$(BIN)/python manage.py migrate --verbosity 0
	@cd examples/board && ../../$(BIN)/python manage.py demo
	@cd examples/board && exec ../../$(BIN)/python manage.py runserver 127.0.0.1:$(PORT)

deploy-demo: ## watch 1,000 conversations go on while workers are reloaded and killed (DEPLOY_ARGS="--seconds 60")
	@$(SETUP)
	@exec $(BIN)/python examples/deploy/demo.py $(DEPLOY_ARGS)

test: ## run the tests (PYTEST_ARGS="-k gate" narrows them)
	@$(SETUP) --group test
	@$(SYSTEM) --optional chromium openssl postgresql redis-server
	@$(BIN)/python -m pytest -n auto -m "not soak and not conformance" $(PYTEST_ARGS)

coverage: ## run the tests and hold the gates: 95 % of branches, and a test file for each module
	@$(SETUP) --group test
	@$(SYSTEM) --optional chromium openssl postgresql redis-server
	@$(BIN)/python -m pytest -n auto -m "not soak and not conformance" --cov --cov-report=term $(PYTEST_ARGS)
	@$(BIN)/python tools/module_tests.py

lint: ## ruff, mypy strict, import contracts, module sizes
	@$(SETUP) --group lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tools/module_size.py

format: ## let ruff put the code into shape
	@$(SETUP) --group lint
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

client: ## check and test the browser client, types and all
	@$(SYSTEM) nodejs npm
	@$(NPM_CI)
	@cd clients/js && npm run --silent check && npm run --silent test

client-build: ## build the browser client, and put it where staticfiles finds it
	@$(SYSTEM) nodejs npm
	@$(NPM_CI)
	@cd clients/js && npm run --silent build

conformance: ## run the Autobahn WebSocket suite against Fairway (AUTOBAHN_CASES="9.* 12.*" narrows it)
	@$(SETUP) --group test
	@python3 tools/environment.py .venvs/conformance $(if $(PYTHON),--python $(PYTHON)) --group conformance
	@$(BIN)/python -m pytest -m conformance --timeout 1800 -s tests/conformance $(PYTEST_ARGS)

soak: ## run the long counts, and look for new inputs (FAIRWAY_SOAK=1 is the short form that CI runs)
	@$(SETUP) --group test
	@$(SYSTEM) --optional chromium openssl postgresql redis-server
	@FAIRWAY_SOAK=$(FAIRWAY_SOAK) $(BIN)/python -m pytest -n auto -m "soak or hypothesis" --timeout 3000 $(PYTEST_ARGS)

bench: ## compare with the bare event loop, Channels 4 and WSGI servers, and write the tables
	@$(SETUP) --group bench
	@$(SYSTEM) postgresql redis-server wrk
	@$(BIN)/python -m bench $(BENCH_ARGS)

docs: ## build the documentation in docs/_build; a warning is an error
	@$(SETUP) --group docs
	@$(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet docs docs/_build
	@echo "documentation: docs/_build/index.html"

wheel-test: ## build the wheel and use it in an environment of its own
	@$(SETUP)
	@$(BIN)/python tools/wheel_test.py

test-all: ## run the tests on every supported Python that this machine has
	@$(SYSTEM) --optional chromium openssl postgresql redis-server
	@python3 tools/test_all.py $(PYTEST_ARGS)

clean: ## remove what runs and builds have left, and the environments
	rm -rf .venv .venvs .cache docs/_build dist clients/js/node_modules clients/js/dist .coverage .coverage.* htmlcov .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
