# Every target makes the checkout ready first; once it is, that costs nothing and needs no network.
# ARGS passes options on: make demo ARGS="--help"

PYTHON ?= python3
RUN := .venv/bin/python
READY := .venv/.ready

.DEFAULT_GOAL := help
.PHONY: help demo up env down secrets test check bench kill-loop clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(READY): requirements/dev.txt requirements/uv.txt devstack/kafka-jars.sha256
	@$(PYTHON) -m devstack.bootstrap

demo: $(READY) ## start everything, book, watch the line move
	@$(RUN) -m devstack demo $(ARGS)

up: $(READY) ## start everything and leave it running
	@$(RUN) -m devstack up $(ARGS)

env: $(READY) ## what commands need to look after that: eval "$(make -s env)"
	@$(RUN) -m devstack env

down: $(READY) ## stop what `up` started
	@$(RUN) -m devstack down $(ARGS)

secrets: $(READY) ## make .env, which compose.yaml reads its secrets from
	@$(RUN) -m waiting_room secrets --out .env

test: $(READY) ## all tests, with real Kafka and PostgreSQL; two at a time, each with servers of its own
	@$(RUN) -m pytest $(or $(ARGS),-n 2 --dist loadfile)

check: $(READY) ## style, types, imports, SQL, rules, Dockerfile, compose.yaml, manifests
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy .
	@.venv/bin/lint-imports
	@.venv/bin/sqlfluff lint waiting_room/store
	@.venv/bin/hadolint Dockerfile
	@$(RUN) -m dashboards.promtool
	@$(RUN) -m tests.support.deployable

bench: $(READY) ## list the benchmarks; run one: make bench B=NAME
	@$(RUN) -m loadtest bench $(B) $(ARGS)

kill-loop: $(READY) ## kill -9 one part after another, for long, and reconcile
	@$(RUN) -m loadtest kill-loop $(ARGS)

clean: ## remove .venv, data, logs and caches of the tools
	-@test ! -x $(RUN) || $(RUN) -m devstack down
	rm -rf .venv .run .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
