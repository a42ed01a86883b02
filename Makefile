# `make demo` and `make test` set themselves up.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
SBOM_EXTRAS ?=

.DEFAULT_GOAL := help
.PHONY: bench-upload locks-azure help install demo test test-fast lint types rooms bench bench-serve protocols docs sbom lock format clean

help: ## Show the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-11s %s\n", $$1, $$2}'

$(STAMP): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	touch $(STAMP)

install: $(STAMP) ## Create the virtual environment and install everything

demo: $(STAMP) ## Every step: a phantom study, a trained network, a tissue map
	$(BIN)/gliomap demo --out gliomap-demo --overwrite
	@echo "The gliomap command is available after: source $(BIN)/activate"

test: lint types rooms ## Every check: lint, types, rooms, tests, coverage
	$(BIN)/coverage erase
	$(BIN)/python -m pytest -n 2 --dist worksteal --cov --cov-report=term

test-fast: $(STAMP) ## The quick tests only
	$(BIN)/python -m pytest -n 2 -m "not slow"

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

rooms: $(STAMP)
	$(BIN)/lint-imports --no-cache

bench: $(STAMP) ## Speed and memory, as ratios to the machine's limit
	$(BIN)/python -m benchmarks

bench-serve: $(STAMP) ## The service against its targets: latency, streams, crowds, memory
	$(BIN)/python -m benchmarks.serving

bench-upload: $(STAMP) ## Upload to Azurite, compared with a plain copy
	$(BIN)/python -m benchmarks.upload

AZURE_LOCK = $(BIN)/uv pip compile --quiet --upgrade --python-version 3.11 --python-platform linux --no-annotate --no-header \
  --output-file src/gliomap/deploy/azure/locks/
locks-azure: $(STAMP) ## Lock the packages of the Azure environments to today's releases
	echo "azureml-mlflow>=1.62,<1.63" | $(AZURE_LOCK)train.txt --extra train --extra track pyproject.toml -
	echo "azureml-inference-server-http>=1.5,<2" | $(AZURE_LOCK)score.txt --extra serve pyproject.toml -

protocols: $(STAMP) ## Models × protocols on the realistic phantom: what each promises; can be resumed
	$(BIN)/python -m benchmarks.protocols

docs: $(STAMP) ## Build the documentation site in site/
	$(BIN)/mkdocs build --strict

sbom: $(STAMP) ## Write the software bill of materials (CycloneDX) of the runtime to sbom.json
	rm -rf build/sbom
	$(BIN)/python -m venv --without-pip build/sbom
	$(BIN)/python -m pip --python build/sbom/bin/python install --quiet ".$(SBOM_EXTRAS)"
	$(BIN)/cyclonedx-py environment --pyproject pyproject.toml --mc-type application --short-PURLs --output-reproducible --output-file sbom.json build/sbom/bin/python
	@echo "sbom.json: CycloneDX, the installation that runs bundles (SBOM_EXTRAS='[train]' adds the training stack)"

lock: $(STAMP) ## Lock a container image's packages to today's releases, in deploy/docker/requirements.txt
	$(BIN)/uv pip compile --quiet --upgrade --extra serve --python-version 3.11 --python-platform linux --generate-hashes \
	  --no-annotate --custom-compile-command "make lock" --output-file deploy/docker/requirements.txt pyproject.toml

format: $(STAMP) ## Rewrite the code in the project's style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## Remove everything that can be made again
	rm -rf $(VENV) build site gliomap-demo sbom.json .coverage* .pytest_cache .mypy_cache .ruff_cache
