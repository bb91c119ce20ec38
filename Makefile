# `make run` and `make test` are all a new machine needs; each sets up what it lacks.
PYTHON ?= python3
BIN := .venv/bin
PY := $(BIN)/python
SOURCES := $(shell find _ext -name '*.pyx' -o -name '*.pxd' -o -name '*.h')

.PHONY: run install test bench lint sanitize mutants mutants-ci soak clean
run: install
	$(PY) -m engine

install: build/.compiled

build/.installed: pyproject.toml
	@$(PYTHON) -c 'import sys; assert (3, 11) <= sys.version_info < (3, 14), "Python 3.11 to 3.13 is needed: make PYTHON=python3.12"'
	test -x $(PY) || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --upgrade pip
	SPIKE_BUILD=none $(BIN)/pip install --quiet --disable-pip-version-check -e '.[dev]'
	@mkdir -p build && touch $@

build/.compiled: build/.installed setup.py $(SOURCES)
	$(PY) setup.py --quiet build_ext --inplace -j2
	@touch $@

# two files at a time: half of the time is spent waiting for processes
test: install
	$(PY) -m pytest -q -n 2 --dist loadfile

bench: install
	$(PY) -m pytest -q bench -p benchmark --benchmark-disable-gc --benchmark-json=build/benchmark.json

lint: install
	$(BIN)/ruff check .
	$(BIN)/mypy
	PATH="$(CURDIR)/$(BIN):$$PATH" cython-lint --max-line-length 132 _ext
	$(PY) bench/hints.py

sanitize: build/.installed
	$(PY) bench/sanitize.py

# mistakes put into the product one at a time, each of which a test must find; ten of them, chosen by the commit, in CI
mutants: install
	$(PY) -m tests.mutants

mutants-ci: install
	$(PY) -m tests.mutants --by-commit 10

soak: install
	$(PY) tests/feed/fuzz_wire.py -max_total_time=120
	$(PY) -m tests.trade.episodes --seed 1 --count 100000
	$(PY) -m tests.feed.daylong --keys 2500 --minutes 360 --faults 60
	$(PY) -m tests.feed.daylong --days 22 --keys 60
	for i in 1 2 3 4 5; do $(PY) -m pytest -q tests/system/test_live.py tests/system/test_virtual.py -k "kill" || exit 1; done

clean:
	rm -rf build dist .venv *.egg-info && find _ext -name '*.so' -delete -o -name '*.c' -delete
