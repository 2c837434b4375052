# One command each: `make run` serves Hermes, `make demo` shows what that looks like
# without any model, `make test` runs every check.

# The first Python that Hermes and this project can use.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null \
	&& echo $$p && break; done)
# Releases of Hermes that the tests run against: the oldest and the newest.
HERMES ?= 0.14.0 0.19.0
ARGS ?=

RUN := .venv/bin
TEST := .venv-test/bin
OLDEST := .venv-oldest/bin
PIP := python -m pip --disable-pip-version-check install --quiet

.PHONY: run demo test lint types tests tests-oldest pins hermes bench clean

run: .venv/with-hermes
	$(RUN)/twistd --nodaemon --pidfile= hermes-attach $(ARGS)

demo: .venv/ready
	$(RUN)/hermes-attach demo $(ARGS)

test: lint types pins tests tests-oldest

lint: .venv-test/ready
	$(TEST)/ruff check .
	$(TEST)/ruff format --check .

types: .venv-test/ready
	$(TEST)/mypy

tests: .venv-test/ready hermes
	$(TEST)/python -m pytest $(ARGS)

# The lowest versions that pyproject.toml allows.
tests-oldest: .venv-oldest/ready
	$(OLDEST)/python -m pytest tests/unit tests/wire $(ARGS)

# Installed beside Hermes, this project changes none of Hermes' pins.
pins: .venv/with-hermes
	$(RUN)/python -m pip check

hermes: $(HERMES:%=.hermes/%/ready)

# Speed, for people to compare; `make bench ARGS="--peer-python …"` adds the peer.
bench: .venv-test/ready
	$(TEST)/$(PIP) picows
	$(TEST)/python -m bench $(ARGS)

clean:
	rm -rf .venv .venv-test .venv-oldest .hermes

.venv/bin/python .venv-test/bin/python .venv-oldest/bin/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11, 3.12 or 3.13 is needed; \
	install one, or name it: make $(MAKECMDGOALS) PYTHON=/path/to/python"; exit 1; }
	$(PYTHON) -m venv $(@:/bin/python=)

.venv/ready: .venv/bin/python pyproject.toml
	$(RUN)/$(PIP) --editable .
	touch $@

.venv/with-hermes: .venv/ready
	$(RUN)/$(PIP) --editable . hermes-agent
	touch $@

# pip learned --group in 25.1.
.venv-test/ready: .venv-test/bin/python pyproject.toml
	$(TEST)/$(PIP) --upgrade 'pip>=25.1'
	$(TEST)/$(PIP) --upgrade --editable . --group lint --group test
	touch $@

.venv-oldest/ready: .venv-oldest/bin/python pyproject.toml
	$(OLDEST)/$(PIP) --upgrade 'pip>=25.1'
	$(OLDEST)/$(PIP) --editable . --group test --group oldest
	touch $@

# aiohttp is for Hermes' API server, which the doctor has to know when it sees it.
.hermes/%/ready:
	$(PYTHON) -m venv .hermes/$*
	.hermes/$*/bin/$(PIP) hermes-agent==$* aiohttp
	touch $@
