# make run     the daemon with the embedded model, and a first clip (ONCE=1 ends after it)
# make test    the tests; make test-heavy: the rest of them (minutes, fluidsynth, DAW hosts: see .ci/run)
# make test-numeric   those that compare computed numbers, as CPUs without AVX or with AVX2, on one or two threads
# make check   formatting, lint, types, generated code
# make pins    requirements.txt anew, after a change of pyproject.toml or constraints.txt
# make bench   benchmarks: ratios measured side by side in one run

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# Where torch comes from; empty is pip's default. Name a wheel index to choose a CPU or CUDA build.
TORCH_INDEX ?=

# A CPU's vector instructions (torch's name for them) and a number of threads.
AS_OTHERS := numeric-default-1 numeric-avx2-1 numeric-default-2 numeric-avx2-2
BLAS_default := Nehalem
BLAS_avx2 := Haswell

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: run test test-heavy test-numeric $(AS_OTHERS) check format protos pins bench bench-fit install clean

install: $(INSTALLED)

# Every file is checked against its hash in requirements.txt. Not so torch, and what only torch needs: builds of
# one version differ by index (CPU, each CUDA), and so do their hashes.
$(INSTALLED): pyproject.toml constraints.txt requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --require-hashes --no-deps -r requirements.txt
	$(BIN)/python -m pip install -q -c constraints.txt $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) torch
	$(BIN)/python -m pip install -q --no-deps --no-build-isolation -e .
	@touch $@

run: $(INSTALLED)
	@$(BIN)/python -m server.demo $(if $(ONCE),--once)

test: $(INSTALLED)
	$(BIN)/python -m pytest -m 'not heavy and not hosts'

test-heavy: $(INSTALLED)
	$(BIN)/python -m pytest -m 'heavy or hosts'

test-numeric: $(AS_OTHERS)

$(AS_OTHERS): numeric-%: $(INSTALLED)
	ATEN_CPU_CAPABILITY=$(firstword $(subst -, ,$*)) OPENBLAS_CORETYPE=$(BLAS_$(firstword $(subst -, ,$*))) \
		OMP_NUM_THREADS=$(lastword $(subst -, ,$*)) \
		$(BIN)/python -m pytest -q -p no:cacheprovider -m 'numeric and not heavy and not hosts'

check: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m protos.generate --check

format: $(INSTALLED)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

protos: $(INSTALLED)
	$(BIN)/python -m protos.generate

pins:
	@command -v uv >/dev/null || { echo "uv is needed once: python3 -m pip install uv"; exit 1; }
	@echo "torch ; sys_platform == 'none'" | uv pip compile -q --universal --python-version 3.11 --generate-hashes \
		--no-annotate --custom-compile-command 'make pins' --no-emit-package torch --no-emit-package sympy \
		--no-emit-package mpmath --no-emit-package networkx --extra dev -c constraints.txt --overrides /dev/stdin \
		pyproject.toml -o requirements.txt

bench: $(INSTALLED)
	@for name in engine daemon fit; do $(BIN)/python -m tests.benchmarks.$$name || exit 1; done

bench-fit: $(INSTALLED)
	@$(BIN)/python -m tests.benchmarks.fit

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
