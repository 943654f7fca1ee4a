# make run     the daemon with the embedded model, and a first clip (ONCE=1 ends after it)
# make install-cluster   Ray as well, for --cluster and its tests
# make test    the tests; make test-heavy: the rest of them (minutes, fluidsynth, DAW hosts: see .ci/run)
# make test-numeric   those that compare computed numbers, as a CPU without AVX, and as one with AVX2 on two threads
# make check   formatting, lint, types, generated code; make check-workflows: .github/workflows, by linters from PyPI
# make tables  what follows from the table of settings, after a change of acestep/request.py
# make pins    requirements.txt anew, after a change of pyproject.toml or constraints.txt
# make bench   benchmarks: ratios measured side by side in one run

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# Where torch comes from; empty is pip's default. Name a wheel index to choose a CPU or CUDA build.
TORCH_INDEX ?=
# Who installs: uv, or pip. Without a word uv does, and pip where uv cannot be had.
INSTALLER ?=
CPP := $(wildcard plugin_bridge/vst/*/*.cpp plugin_bridge/vst/*/*.hpp plugin_bridge/vst/*/*.h plugin_bridge/vst/*/*.mm) $(wildcard tests/support/hosts/native/*.c tests/support/hosts/native/*.h plugin_bridge/examples/c/*.c)
UV := $(BIN)/uv pip install -q --python $(BIN)/python
PIP := $(BIN)/python -m pip install -q

# Tests run beside each other, one file in one process, which computes on one core.
WORKERS ?= auto
PYTEST := $(BIN)/python -m pytest -n $(WORKERS) --maxprocesses 4 --dist loadfile

# A CPU's vector instructions (torch's name for them) and a number of threads.
AS_OTHERS := numeric-default-1 numeric-avx2-2
BLAS_default := Nehalem
BLAS_avx2 := Haswell

export PIP_DISABLE_PIP_VERSION_CHECK := 1
# uv reads none of pip's settings: where packages come from is said to both.
comma := ,
space := $(subst ,, )
ifdef PIP_FIND_LINKS
export UV_FIND_LINKS ?= $(subst $(space),$(comma),$(strip $(PIP_FIND_LINKS)))
endif
ifdef PIP_INDEX_URL
export UV_DEFAULT_INDEX ?= $(PIP_INDEX_URL)
endif
ifdef PIP_EXTRA_INDEX_URL
export UV_INDEX ?= $(PIP_EXTRA_INDEX_URL)
endif

.PHONY: install-cluster run test test-heavy test-numeric $(AS_OTHERS) check check-workflows format tables protos pins bench bench-fit \
	install clean

install: $(INSTALLED)

# Every file is checked against its hash in requirements.txt. Not so torch, and what only torch needs: builds of
# one version differ by index (CPU, each CUDA), and so do their hashes.
define INSTALL
$(1) --require-hashes --no-deps -r requirements.txt && \
$(1) -c constraints.txt $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) torch && \
$(1) --no-deps --no-build-isolation -e .
endef

$(INSTALLED): pyproject.toml constraints.txt requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 1; }
	@case "$(INSTALLER)" in ""|uv|pip) ;; *) echo "INSTALLER=$(INSTALLER): expected uv or pip"; exit 1;; esac
	@echo "installing what is pinned into $(VENV); that takes a minute or some"
	@$(PYTHON) -m venv $(VENV)
ifneq ($(INSTALLER),pip)
	@{ sed -n '/^uv==/,/[^\\]$$/p' requirements.txt >$(VENV)/uv.txt && \
	$(PIP) --require-hashes --no-deps -r $(VENV)/uv.txt && \
	$(call INSTALL,$(UV)); } $(if $(INSTALLER),,|| { echo "uv did not manage; pip goes on"; $(call INSTALL,$(PIP)); })
else
	@$(call INSTALL,$(PIP))
endif
	@touch $@

# Ray, for daemons on a cluster and their tests: 80 MB that nobody else needs.
install-cluster: $(VENV)/.cluster

$(VENV)/.cluster: requirements-cluster.txt $(INSTALLED)
	$(UV) --require-hashes --no-deps -r requirements-cluster.txt
	@touch $@

run: $(INSTALLED)
	@$(BIN)/python -m server.demo $(if $(ONCE),--once)

test test-heavy: export OMP_NUM_THREADS ?= 1

test: $(INSTALLED)
	$(PYTEST) -m 'not heavy and not hosts'

test-heavy: $(INSTALLED)
	$(PYTEST) --durations 20 -m 'heavy or hosts'

test-numeric: $(AS_OTHERS)

$(AS_OTHERS): numeric-%: $(INSTALLED)
	ATEN_CPU_CAPABILITY=$(firstword $(subst -, ,$*)) OPENBLAS_CORETYPE=$(BLAS_$(firstword $(subst -, ,$*))) \
		OMP_NUM_THREADS=$(lastword $(subst -, ,$*)) \
		$(PYTEST) $(if $(filter %-2,$*),-n 0) -q -p no:cacheprovider -m 'numeric and not heavy and not hosts'

check: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m server.tables --check
	$(BIN)/python -m protos.generate --check
	@$(BIN)/clang-format --dry-run -Werror $(CPP)

# The checkers of workflow files, in an environment of their own: they need other versions of some packages.
$(VENV)/workflows/.installed: Makefile
	@$(PYTHON) -m venv $(VENV)/workflows
	@$(VENV)/workflows/bin/python -m pip install -q zizmor==1.32.0 check-jsonschema==0.39.0
	@touch $@

check-workflows: $(INSTALLED) $(VENV)/workflows/.installed
	$(VENV)/workflows/bin/zizmor --offline --no-progress .github/workflows
	$(VENV)/workflows/bin/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml

format: $(INSTALLED)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/clang-format -i $(CPP)

tables: $(INSTALLED)
	$(BIN)/python -m server.tables
	$(BIN)/python -m protos.generate

protos: $(INSTALLED)
	$(BIN)/python -m protos.generate

pins:
	@test -x $(BIN)/uv || { $(PYTHON) -m venv $(VENV) && $(PIP) uv; }
	@echo "torch ; sys_platform == 'none'" | $(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes \
		--no-annotate --custom-compile-command 'make pins' --no-emit-package torch --no-emit-package sympy \
		--no-emit-package mpmath --no-emit-package networkx --extra dev -c constraints.txt --overrides /dev/stdin \
		pyproject.toml -o requirements.txt
	@echo "torch ; sys_platform == 'none'" | $(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes \
		--no-annotate --custom-compile-command 'make pins' --no-emit-package torch --no-emit-package sympy \
		--no-emit-package mpmath --no-emit-package networkx $$(sed -n 's/^\([^ ]*\)==.*/--no-emit-package \1/p' requirements.txt) \
		--extra cluster -c constraints.txt --overrides /dev/stdin pyproject.toml -o requirements-cluster.txt

bench: $(INSTALLED)
	@for name in engine daemon fit; do $(BIN)/python -m tests.benchmarks.$$name || exit 1; done

bench-fit: $(INSTALLED)
	@$(BIN)/python -m tests.benchmarks.fit

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
