# `make run` and `make test` are all a new machine needs; each sets up what it lacks.
PYTHON ?= python3
BIN := .venv/bin
PY := $(BIN)/python
SOURCES := tools/generate.py engine/config/limits.py $(shell find _ext -name '*.pyx' -o -name '*.pxd' -o -name '*.pxi' -o -name '*.h')
# what is downloaded and what is compiled need not wait for each other
SET_UP = @$(MAKE) -s -j3 build/.compiled build/.page
PAGE := tools/page.py $(shell find engine/watch/web -type f -not -path '*/node_modules/*')

.PHONY: run install page dev test bench lint sanitize mutants mutants-ci soak clean always
run: install
	@$(PY) -m engine

install:
	$(SET_UP) .venv/run

dev:
	$(SET_UP) .venv/dev

install-%:          # the other extras of pyproject.toml: train, sequence
	$(SET_UP) .venv/$*

# made again where it is broken, was moved or lost its Python
.venv/made: always
	@command -v $(PYTHON) >/dev/null || { echo "error: no $(PYTHON) here: README.md says what to install"; exit 1; }
	@$(PYTHON) tools/environment.py made

.venv/build: .venv/made pyproject.toml
	@$(PY) tools/environment.py build

.venv/run: .venv/build
	@$(PY) tools/environment.py run

.venv/%: .venv/run
	@$(PY) tools/environment.py $*

build/.compiled: .venv/build setup.py $(SOURCES)
	@$(PY) setup.py --quiet build_ext --inplace -j $$(nproc)
	@touch $@

# says itself where it cannot be bundled: the engine runs without its page
ifeq ($(wildcard engine/watch/page/index.html),)
.PHONY: build/.page
endif
build/.page: $(PAGE) | .venv/made
	@$(PY) tools/page.py
	@mkdir -p build && touch $@

page: .venv/made
	@$(PY) tools/page.py --strict

# two files at a time: half of the time is spent waiting for processes
test: dev
	$(PY) -m pytest -q -n 2 --dist loadfile

bench: dev
	$(PY) -m pytest -q bench -p benchmark --benchmark-disable-gc --benchmark-json=build/benchmark.json

lint: dev
	$(BIN)/ruff check .
	$(BIN)/mypy
	PATH="$(CURDIR)/$(BIN):$$PATH" cython-lint --max-line-length 132 _ext
	$(PY) bench/hints.py

sanitize: .venv/dev
	$(PY) bench/sanitize.py

# mistakes put into the product one at a time, each of which a test must find; ten of them, chosen by the commit, in CI
mutants: dev
	$(PY) -m tests.mutants

mutants-ci: dev
	$(PY) -m tests.mutants --by-commit 10

soak: dev
	COUNTS=soak $(PY) -m pytest -q -n 2 --dist loadfile -m long
	$(PY) tests/feed/fuzz_wire.py -max_total_time=120
	$(PY) -m tests.trade.episodes --seed 1 --count 100000
	$(PY) -m tests.feed.daylong --keys 2500 --minutes 360 --faults 60
	$(PY) -m tests.feed.daylong --days 22 --keys 60
	for i in 1 2 3 4 5; do $(PY) -m pytest -q tests/system/test_live.py tests/system/test_virtual.py -k "kill" || exit 1; done

clean:
	rm -rf build dist .venv *.egg-info engine/watch/page && find _ext -name '*.so' -delete -o -name '*.c' -delete
