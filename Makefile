# `make demo` and `make test` set up everything that they need in .venv: Python >= 3.10 and a C++ compiler are enough.
PYTHON ?= python3
EPOCHS ?= 30
WORKERS ?= 2
VENV := .venv
BIN := $(VENV)/bin
CMAKE := $(BIN)/cmake
# A CPU build of torch, where the index offers one: make PIP_ARGS="--index-url URL"
PIP := $(BIN)/pip install --quiet --constraint constraints.txt $(PIP_ARGS)
SOURCES := $(shell find csrc src _build -type f ! -name '*.pyc') pyproject.toml CMakeLists.txt README.md
LINTED := docs src tests _build

.PHONY: demo test lint pytest timm develop native sanitize neon conformance edge-shapes clean

demo: $(VENV)/.demo
	$(BIN)/convlayers train digits --epochs $(EPOCHS) --out runs/digits
	$(BIN)/convlayers predict runs/digits runs/digits/samples/*.png
	$(BIN)/convlayers explain runs/digits -o runs/digits/report.html

# What keeps one core busy runs side by side.
test: $(VENV)/.test
	$(MAKE) --jobs 2 lint native
	$(MAKE) pytest

lint: $(VENV)/.test
	$(BIN)/ruff check $(LINTED)
	$(BIN)/ruff format --check $(LINTED)
	$(BIN)/mypy

pytest: $(VENV)/.test
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder

# Networks of others, for tests that look for them here: aside, since torchvision without torch's operators of its release
# breaks what imports it where it finds it.
timm: | $(BIN)/pip
	$(BIN)/pip install --quiet --no-deps --target build/timm torchvision==0.28.0 timm

# An editable install, for work on the code.
develop: $(VENV)/.torch | $(CMAKE)
	$(PIP) --no-build-isolation --editable ".[test]"

# --- the kernels by themselves ----------------------------------------------------------------------------------------

# The package's own objects, linked to their test: compiled once.
native: $(VENV)/.built
	$(CMAKE) --build build/package --target test_kernels --parallel
	build/package/test_kernels 500

sanitize: $(CMAKE)
	$(CMAKE) -S . -B build/sanitize -DCONVLAYERS_TORCH=OFF -DCONVLAYERS_SANITIZE=ON -DCMAKE_BUILD_TYPE=Debug
	$(CMAKE) --build build/sanitize --target test_kernels --parallel
	build/sanitize/test_kernels 300

neon: $(CMAKE)
	$(CMAKE) -S . -B build/neon -DCONVLAYERS_TORCH=OFF -DCMAKE_BUILD_TYPE=Release -DCMAKE_SYSTEM_NAME=Linux \
	  -DCMAKE_SYSTEM_PROCESSOR=aarch64 -DCMAKE_CXX_COMPILER=aarch64-linux-gnu-g++
	$(CMAKE) --build build/neon --target test_kernels --parallel
	qemu-aarch64 -L /usr/aarch64-linux-gnu build/neon/test_kernels 200

# --- other people's cases: torch's, Keras's, ONNX's -------------------------------------------------------------------

conformance: $(VENV)/.test
	$(BIN)/python -m tests.conformance.report

edge-shapes: $(VENV)/.test
	$(BIN)/python -m tests.conformance.report --suite "edge shapes"

# --- installation: built once, and then a stamp an extra, renewed when the sources change -----------------------------

$(BIN)/pip:
	$(PYTHON) -m venv $(VENV)

# What builds the kernels.
$(CMAKE): | $(BIN)/pip
	$(PIP) "scikit-build-core>=0.11" cmake ninja

$(VENV)/.torch: constraints.txt | $(BIN)/pip
	$(PIP) torch
	touch $@

$(VENV)/.built: $(VENV)/.torch $(SOURCES) | $(CMAKE)
	rm -rf build/wheel
	$(BIN)/pip wheel --quiet --no-deps --no-build-isolation --config-settings build-dir=build/package \
	  --wheel-dir build/wheel .
	$(PIP) --force-reinstall --no-deps build/wheel/*.whl
	touch $@

$(VENV)/.demo: $(VENV)/.built
	$(PIP) "$$(echo build/wheel/*.whl)[train]"
	touch $@

$(VENV)/.test: $(VENV)/.built
	$(PIP) "$$(echo build/wheel/*.whl)[test]"
	touch $@

clean:
	rm -rf $(VENV) build dist
