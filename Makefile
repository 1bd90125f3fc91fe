# `make run` starts the product, `make test` runs every check. Both install what they need.

PYTHON ?= python3.11
PORT ?= 8000
PY := .venv/bin/python
PIP := $(PY) -m pip --quiet --disable-pip-version-check --no-input

export BYOM_SIMULATOR ?= on
export PORT

.PHONY: run setup test lint test-sqlite test-postgres clients browser lock clean

run: setup
	@$(PY) manage.py welcome
	@$(PY) -m byom.serve byom.asgi:application --host 127.0.0.1 --port $(PORT) --no-server-header \
		--timeout-graceful-shutdown 5

setup: .venv/.installed
	@$(PY) manage.py migrate --verbosity 0

.venv/bin/python:
	@command -v $(PYTHON) >/dev/null 2>&1 && $(PYTHON) -m venv .venv || python3 -m venv .venv
	@$(PY) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
		{ echo "BYOM needs Python 3.11 to 3.13: make PYTHON=/path/to/python3.11 run"; rm -rf .venv; exit 1; }

.venv/.installed: requirements.txt | .venv/bin/python
	@echo "Installing requirements.txt into .venv (once, about a minute) ..."
	@$(PIP) install --require-hashes --requirement requirements.txt
	@touch $@

.venv/.installed-dev: requirements-dev.txt .venv/.installed
	@echo "Installing requirements-dev.txt into .venv ..."
	@$(PIP) install --require-hashes --requirement requirements-dev.txt
	@touch $@

# The linters run beside the tests: both cores are busy all the time.
test: .venv/.installed-dev browser
	@$(MAKE) --no-print-directory --jobs 2 --output-sync=target lint test-sqlite test-postgres

lint: .venv/.installed-dev
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy .
	DJANGO_SETTINGS_MODULE=byom.testing $(PY) manage.py makemigrations --check --dry-run
	$(PY) .ci/check_deploy.py

test-sqlite: .venv/.installed-dev browser
	$(PY) -m pytest -n 2 --quiet -m 'not proof'

# What depends on the database, once more on PostgreSQL, when one answers.
POSTGRES_TEST_URL ?= postgres://postgres@127.0.0.1:5432/postgres
test-postgres: .venv/.installed-dev
	@if $(PY) -c "import psycopg; psycopg.connect('$(POSTGRES_TEST_URL)', connect_timeout=3).close()" 2>/dev/null; \
	then set -x; TEST_DATABASE_URL=$(POSTGRES_TEST_URL) $(PY) -m pytest -n 2 --quiet -m 'integration and not slow' \
		agents credentials gateway usage; \
	else echo "No PostgreSQL at 127.0.0.1:5432: tests ran on SQLite only."; fi

# The snippets of docs/howto/use-with-….md, in environments of their own (some minutes and a gigabyte, once).
clients: .venv/.installed-dev
	$(PY) -m pytest gateway/tests/clients -m clients --quiet

# What takes minutes to show: servers killed under load, on SQLite and PostgreSQL. It prints what it saw.
proofs: .venv/.installed-dev
	$(PY) -m pytest --quiet --capture no -m proof

# The browser tests drive Debian's Chromium; without one they are skipped, and say so.
browser:
	@command -v chromium >/dev/null 2>&1 || command -v google-chrome >/dev/null 2>&1 || \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; \
	then echo "Installing Chromium ..."; apt-get update -qq && apt-get install -y -qq chromium >/dev/null; \
	else echo "No Chromium: the browser tests will be skipped (apt-get install chromium)."; fi

lock: .venv/.installed-dev
	UV_CUSTOM_COMPILE_COMMAND="make lock" $(PY) -m uv pip compile -q --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --no-strip-extras requirements.in -o requirements.txt
	UV_CUSTOM_COMPILE_COMMAND="make lock" $(PY) -m uv pip compile -q --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --no-strip-extras requirements-otel.in -o requirements-otel.txt
	UV_CUSTOM_COMPILE_COMMAND="make lock" $(PY) -m uv pip compile -q --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --no-strip-extras requirements-dev.in -o requirements-dev.txt

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache
