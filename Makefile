# `make demo` and `make test` do their own set-up; `make help` lists the rest.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CORES ?= $(shell nproc 2>/dev/null || echo 2)
.DEFAULT_GOAL := help
.PHONY: help bundle setup setup-dev demo test test-slow test-campaign test-cluster test-kill check format docs notebook bench bench-gpu dag lock envs schema wheel clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

# A stamp newer than the lock file means that the environment is what the lock says.
$(VENV)/.run: envs/run.lock
	@$(PYTHON) envs/check_python.py
	@echo "setting up $(VENV) (a few minutes, once)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r envs/run.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check torch==2.13.0
	@touch $@

$(VENV)/.dev: $(VENV)/.run envs/dev.lock
	@echo "adding the tools that tests and benchmarks need"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r envs/dev.lock
	@touch $@

bundle:  ## make what the pages take from npm again: report/gallery/dist (needs npm)
	cd report/gallery && mkdir -p dist && npm ci --loglevel=error && npm run --silent build
	@$(BIN)/python -m tests.report.bundle

setup: $(VENV)/.run  ## make the virtual environment (.venv) from the lock file
setup-dev: $(VENV)/.dev  ## the same plus test and benchmark tools

demo: $(VENV)/.run  ## the whole product on generated furniture: results/report.html
	@PATH="$(CURDIR)/$(BIN):$$PATH" snakemake --cores $(CORES)
	@echo "look at results/report.html and results/samples/*/gallery.html; try the network in results/runs/*/try.html"

test: $(VENV)/.dev  ## every test but the slow ones
	@$(BIN)/python -m tests.warm
	@PATH="$(CURDIR)/$(BIN):$$PATH" python -m pytest -n auto --dist loadfile --no-loadscope-reorder

test-slow: $(VENV)/.dev  ## the slow tests too
	@PATH="$(CURDIR)/$(BIN):$$PATH" python -m pytest -n auto --dist loadfile --no-loadscope-reorder -m "not cluster"

test-campaign: $(VENV)/.dev  ## the whole of what some tests sample: kills, pairs of changes, longer trainings
	@PATH="$(CURDIR)/$(BIN):$$PATH" python -m pytest -n auto --dist loadfile --no-loadscope-reorder -m campaign

test-cluster: $(VENV)/.dev  ## a real SLURM of one node (root, slurm-wlm, munge), and jobs that share no folder (rsync; S3)
	@PATH="$(CURDIR)/$(BIN):$$PATH" python -m pytest -m cluster tests/cluster

test-kill: $(VENV)/.dev  ## kill -9 at 50 moments of the small world; writes the table in docs/cluster.md
	@PATH="$(CURDIR)/$(BIN):$$PATH" python -m benchmarks.kills

check: $(VENV)/.dev  ## linters and types
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/snakefmt --check Snakefile pipeline/rules && $(BIN)/mypy
	@PATH="$(CURDIR)/$(BIN):$$PATH" sh -c 'said=$$(snakemake --lint 2>&1) || { echo "$$said"; exit 1; }'

format: $(VENV)/.dev  ## rewrite the code in house style
	@$(BIN)/ruff check --fix . && $(BIN)/ruff format . && $(BIN)/snakefmt Snakefile pipeline/rules

# What people import; every public name of these has a docstring (tests/test_api.py).
API := pipeline.conventions pipeline.errors pipeline.formats.binvox pipeline.meshes.mesh pipeline.meshes.load \
	pipeline.meshes.normalise pipeline.meshes.surface pipeline.meshes.export pipeline.pictures.camera \
	pipeline.shards.read pipeline.shards.index voxelize.options voxelize.engines.builtin render.scene render.cameras \
	render.lights render.buffers render.backends.choose render.backends.raster training.data.shapes \
	training.data.sampler training.data.loader training.data.batches training.data.dataset training.inference.model \
	training.inference.photograph training.inference.reconstruct training.inference.shapes training.inference.export \
	training.inference.hub training.metrics.voxels

docs: $(VENV)/.dev  ## pages of every function that people import: docs/api/index.html
	@PDOC_ALLOW_EXEC=1 $(BIN)/python -m pdoc -o docs/api $(API)
	@echo "look at docs/api/index.html"

notebook: $(VENV)/.dev  ## run the notebooks again and keep what they show
	@$(BIN)/python -m tests.notebooks notebooks/*.ipynb

bench: $(VENV)/.dev  ## each stage beside its peers; writes the tables in docs/
	@PATH="$(CURDIR)/$(BIN):$$PATH" sh -c 'for b in voxelizer renderer sources loader trainer workflow metrics; do python -m benchmarks.$$b || exit 1; done'

bench-gpu: $(VENV)/.dev  ## the trainer on a GPU beside the roofline; says so where there is none
	@PATH="$(CURDIR)/$(BIN):$$PATH" python -m benchmarks.trainer.gpu

dag: $(VENV)/.run  ## draw the rule graph in README.md (mermaid, which GitHub draws)
	@PATH="$(CURDIR)/$(BIN):$$PATH" snakemake --forceall --rulegraph mermaid-js 2>/dev/null | \
	sed '/^---$$/d; /^title:/d; /^\tstyle /d; s/^\t/    /' > README.graph
	@awk '/^```mermaid/ {print; while ((getline line < "README.graph") > 0) print line; skip = 1; next} /^```$$/ {skip = 0} !skip' \
	README.md > README.new && mv README.new README.md && rm README.graph && echo "drew the graph in README.md"

lock:  ## resolve envs/*.in again into the lock files (needs uv)
	uv pip compile -q envs/run.in --override envs/overrides.txt --generate-hashes --no-emit-index-url --universal --python-version 3.11 -o envs/run.lock
	cd envs && uv pip compile -q dev.in --override overrides.txt --generate-hashes --no-emit-index-url --universal --python-version 3.11 -o dev.lock
	$(MAKE) envs

envs: $(VENV)/.run  ## write envs/*.yaml (conda) from the lock file
	@$(BIN)/python envs/generate.py

schema: $(VENV)/.run  ## write the JSON schema of config.yaml, by which editors complete and check it, and docs/config.md
	@$(BIN)/python -m pipeline config --schema > pipeline/settings/config.schema.json.new
	@mv pipeline/settings/config.schema.json.new pipeline/settings/config.schema.json
	@$(BIN)/python -m pipeline config --page > docs/config.md.new && mv docs/config.md.new docs/config.md

wheel: $(VENV)/.dev  ## build the application that `pipx install` takes: dist/*.whl
	@$(BIN)/python -m hatchling build -t wheel

clean:  ## remove what was made (results/), keep the environment
	rm -rf results .snakemake
