# Two commands matter: `make book` builds the site, `make test` tests the package.
# Both need Python >= 3.11, git and make, and set up .venv themselves.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help book test test-site serve lab notebooks bench record pins clean

help:  ## list these commands
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

book: $(READY)  ## execute every notebook and build the site into _build/html
	$(BIN)/python -m tools.build

test: $(READY)  ## run the tests of the package, the notebooks and the ledger
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal

test-site: $(READY)  ## open every page of the built site in headless Chromium
	$(BIN)/python -m pytest tests/site

serve: book  ## build, then serve the site at http://localhost:8000
	$(BIN)/python -m http.server 8000 --bind 127.0.0.1 --directory _build/html

lab: $(READY)  ## open the chapters in JupyterLab
	$(BIN)/jupyter lab --notebook-dir=chapters

notebooks: $(READY)  ## write chapters/*.ipynb from chapters/*.md
	$(BIN)/python -m tools.notebooks

# `make bench NAME` and `make record NAME` pass NAME on; the empty rule keeps make from
# building it.
ifneq (,$(filter bench record,$(firstword $(MAKECMDGOALS))))
NAMES := $(wordlist 2,$(words $(MAKECMDGOALS)),$(MAKECMDGOALS))
$(if $(NAMES),$(eval $(NAMES):;@:))
endif

bench: $(READY)  ## measure speed, everything or one: make bench activations
	$(BIN)/python -m benchmarks $(NAMES)

record: $(READY)  ## run an experiment at full size: make record born_dead
	$(BIN)/python -m tools.record $(or $(NAMES),--list)

pins: ## resolve the environment anew and rewrite requirements.txt
	rm -rf $(VENV)-pins
	$(PYTHON) -m venv $(VENV)-pins
	$(VENV)-pins/bin/python -m pip install -e '.[book]'
	# torch pins what it needs for a GPU itself, and not on every system
	{ sed '/^-e/q' requirements.txt; $(VENV)-pins/bin/python -m pip freeze \
	  --exclude-editable | sed 's/+c.*$$//' | grep -vE '^(cuda|nvidia|triton)'; \
	} > requirements.new
	mv requirements.new requirements.txt
	rm -rf $(VENV)-pins

clean:  ## remove what was built; keep .venv
	rm -rf _build .pytest_cache
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

$(READY): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and \
	  "relubook needs Python 3.11 or later; this is " + sys.version.split()[0] + \
	  ". Name another with: make PYTHON=python3.12")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -r requirements.txt
	touch $@
