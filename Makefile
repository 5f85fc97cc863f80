# The project's commands; `make` lists them. README.md explains the main ones, CONTRIBUTING.md the development loop.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The tests run the bundle with this interpreter: as on Lambda, it has only the runtime client and boto3.
LAMBDA := .lambda
# Stamps name the Python version, so that `make … PYTHON=python3.12` makes a new environment.
PYTHON_VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)
INSTALLED := $(VENV)/.installed-$(PYTHON_VERSION)
LAMBDA_INSTALLED := $(LAMBDA)/.installed-$(PYTHON_VERSION)
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check
# For `command || $(HINT)`: a hint after the error message of pip, npm or apt.
HINT = { echo "If a registry cannot be reached: PIP_INDEX_URL, npm_config_registry and PLAYWRIGHT_DOWNLOAD_HOST name mirrors," \
	"https_proxy and http_proxy a proxy." >&2; exit 2; }
# $(call patiently,WORDS,COMMAND): run COMMAND, and print every ten seconds that WORDS is still going on. Ctrl-C ends
# only the shell, so the loop checks whether its shell is alive.
patiently = { while sleep 10 > /dev/null 2>&1 && kill -0 $$$$ 2> /dev/null; do echo "  still $(1)"; done & ticker=$$!; \
	$(2); status=$$?; kill $$ticker; wait $$ticker 2> /dev/null; [ $$status = 0 ]; }
NODE_VERSION = $(shell node --version 2>/dev/null)
REQUIRE_NODE = ( case "$(NODE_VERSION)" in v[2-9][0-9].*|v[1-9][0-9][0-9].*) ;; *) \
	echo "Node.js 20 or newer is needed, but node is $(or $(NODE_VERSION),not found)." \
	     "Install it, or put it first on PATH."; exit 2;; esac; \
	command -v npm > /dev/null || { echo "npm is needed, which belongs to Node.js, but was not found."; exit 2; } )
# Keep compiled modules even if the environment forbids it, because the tests start hundreds of Python processes.
PYTEST := PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest
# Each test process starts an emulated AWS and a mock platform of its own. The tests of a file share one process. The files
# of tests/deployed take longest, so they begin first (in the order of collection).
PARALLEL := -n 4 --dist loadfile --no-loadscope-reorder
SOURCES := app.py chalicelib infra redeemctl sandbox

.PHONY: help python node stage install bundle miniprogram screenshots deploy rollback destroy demo serve check test nightly \
	bench format release lock

help:
	@echo "make demo         run the whole service on this machine and show a customer's list"
	@echo "make serve        the same, and keep it running with the preview in a browser (needs node);"
	@echo "                  PROGRAM=<folder>: with your own built mini-program"
	@echo "make test         everything (needs node; installs a Chromium where there is none)"
	@echo "make check        after an edit: format, lint, types, unit tests (40 s)"
	@echo "make miniprogram  build the sample mini-program for Douyin's IDE: miniprogram/dist (needs node)"
	@echo "make deploy       deploy to AWS: make deploy STAGE=dev [DRY_RUN=1] [NO_PLATFORM=1]"
	@echo "make rollback     bring back the former code: make rollback STAGE=dev [TO=<commit>] [DRY_RUN=1]"
	@echo "make destroy      delete the deployment, keep table and secret: make destroy STAGE=dev"
	@echo
	@echo "make test T=...   only these tests: a path, or an expression as for pytest -k"
	@echo "make format       format the code"
	@echo "make screenshots  picture the states of the preview: build/screenshots"
	@echo "make bench        measure speed against a naive implementation (two minutes)"
	@echo "make nightly      more examples for random tests, known vulnerabilities, upgrade, benchmarks (20 minutes)"
	@echo "make install      install everything into .venv and .lambda (the other commands do it when they need it)"
	@echo "make bundle       build the Lambda bundle that chalice deploy uploads"
	@echo "make release      the files of a release: build/release"
	@echo "make lock         update the pinned versions in constraints.txt and requirements-bundle.txt"

python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Python 3.11 or newer is needed, but $(PYTHON) is $(or $(PYTHON_VERSION),not found)." \
	       "Name another one, for example: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 2; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
	  echo "$(PYTHON) has no venv module. On Debian or Ubuntu: apt-get install python$(PYTHON_VERSION)-venv"; exit 2; }

node:
	@$(REQUIRE_NODE)

stage:
	@test -n "$(STAGE)" || { echo "usage: make $(MAKECMDGOALS) STAGE=dev $(OPTIONS)"; exit 2; }

install: $(INSTALLED) $(LAMBDA_INSTALLED)

$(INSTALLED): requirements.txt requirements-bundle.txt requirements-dev.txt constraints.txt pyproject.toml | python
	@echo "installing into $(VENV) (some minutes the first time)"
	@[ -e $@ ] || rm -rf $(VENV)
	@$(call patiently,installing packages,$(PYTHON) -m venv $(VENV) && \
	  $(BIN)/python $(PIP_INSTALL) --no-compile -r requirements-dev.txt && \
	  $(BIN)/python $(PIP_INSTALL) --no-deps --editable . && \
	  $(BIN)/python -W ignore -m compileall -q -j 0 $(VENV)/lib) || $(HINT)
	@touch $@

$(LAMBDA_INSTALLED): constraints.txt | python
	@echo "installing into $(LAMBDA)"
	@[ -e $@ ] || rm -rf $(LAMBDA)
	@$(call patiently,installing packages,$(PYTHON) -m venv $(LAMBDA) && \
	  $(LAMBDA)/bin/python $(PIP_INSTALL) -c constraints.txt awslambdaric boto3) || $(HINT)
	@touch $@

bundle: build/.bundled-$(PYTHON_VERSION)

# `find` also names the folders, because only a folder's time changes when a file in it is removed.
build/.bundled-$(PYTHON_VERSION): $(INSTALLED) requirements-bundle.txt infra/bundle.py infra/sdkdata.py app.py \
		$(shell find chalicelib -not -path '*/__pycache__*')
	@echo "building the Lambda bundle"
	@$(call patiently,building the Lambda bundle,$(BIN)/python -m infra.bundle) || $(HINT)
	@mkdir -p build && rm -f build/.bundled-* && touch $@

# The stamp is npm's own record of the packages that it has installed.
NPM_INSTALLED := miniprogram/node_modules/.package-lock.json
NPM := npm --prefix miniprogram --silent

miniprogram: miniprogram/build/.built

$(NPM_INSTALLED): miniprogram/package.json miniprogram/package-lock.json | node
	@echo "installing into miniprogram/node_modules"
	@$(call patiently,installing packages,npm --prefix miniprogram --loglevel=error ci) || $(HINT)
	@touch $@

miniprogram/build/.built: $(NPM_INSTALLED) $(shell find miniprogram/src miniprogram/preview -type f) miniprogram/tsconfig.json \
		miniprogram/tsconfig.client.json miniprogram/client-package.mjs chalicelib/__init__.py
	@echo "building the mini-program"
	@rm -rf miniprogram/dist miniprogram/build
	@$(call patiently,building the mini-program,$(NPM) run build) && touch $@
	@echo "written: miniprogram/dist"

# $(call flags,NAMES): the option of each variable that has a value other than those in NO: --dry-run for DRY_RUN=1.
NO := 0 n N no No NO f F false False FALSE off Off OFF
flags = $(foreach name,$(1),$(if $(filter-out $(NO),$($(name))),$(OPTION_$(name))))
OPTION_DRY_RUN := --dry-run
OPTION_NO_PLATFORM := --no-platform

deploy: OPTIONS := [DRY_RUN=1] [NO_PLATFORM=1] (stages: infra/stages)
deploy: stage $(INSTALLED)
	@$(BIN)/python -m infra.deploy $(STAGE) $(call flags,DRY_RUN NO_PLATFORM)

# A rollback is made in an emergency. So it builds nothing, and uses an existing .venv, even one of another commit. In a
# fresh clone, it installs only the packages that it needs; the next `make install` installs all.
rollback: OPTIONS := [TO=<commit>] [DRY_RUN=1] [NO_PLATFORM=1]
rollback: stage
	@[ -x $(BIN)/python ] || $(MAKE) python
	@[ -x $(BIN)/python ] || $(call patiently,installing packages,$(PYTHON) -m venv $(VENV) && \
	  $(BIN)/python $(PIP_INSTALL) -c constraints.txt -r requirements.txt chalice) || { rm -rf $(VENV); $(HINT); }
	@$(BIN)/python -m infra.rollback $(STAGE) $(if $(TO),--to $(TO)) $(call flags,DRY_RUN NO_PLATFORM)

destroy: stage $(INSTALLED)
	@$(BIN)/python -m infra.destroy $(STAGE)

demo: bundle
	@$(BIN)/python -m sandbox.demo

serve: node bundle miniprogram
	@$(BIN)/python -m sandbox.demo --serve $(if $(PROGRAM),--program "$(PROGRAM)")

# For `make check` and `make test`: all tools run, then FAIL names those that have failed.
LINT = failed=; \
	$(BIN)/ruff format --check . || failed="$$failed format"; \
	$(BIN)/ruff check . || failed="$$failed lint"; \
	( $(call patiently,checking types,$(BIN)/mypy) ) || failed="$$failed types"; \
	$(BIN)/lint-imports --no-logo --no-cache || failed="$$failed imports"
FAIL = [ -z "$$failed" ] || { echo "failed:$$failed" >&2; exit 1; }

# The mini-program is checked only if its packages are installed, and newer than package-lock.json.
check: $(INSTALLED)
	@$(LINT); \
	$(PYTEST) tests/unit || failed="$$failed tests"; \
	if [ $(NPM_INSTALLED) -nt miniprogram/package-lock.json ] && $(REQUIRE_NODE); then \
	  ( $(call patiently,checking the mini-program,$(NPM) run check) ) || failed="$$failed miniprogram"; \
	  else echo "not checked: miniprogram (make miniprogram installs what this needs)"; fi; \
	$(FAIL)

ifdef T
# Refuse a T that looks like a path but does not exist: pytest would use it as an expression, which matches no test.
test: install
	@case "$(T)" in *.py|*.py::*|tests/*) [ -e "$(firstword $(subst ::, ,$(T)))" ] || { \
	  echo "make test T=: $(firstword $(subst ::, ,$(T))) does not exist" >&2; exit 2; };; esac
	$(PYTEST) $(if $(wildcard $(firstword $(subst ::, ,$(T)))),"$(T)",-k "$(T)")
else
test: node install bundle miniprogram
	@$(BIN)/python -m sandbox.browser || $(HINT)
	@$(LINT); $(FAIL)
	$(BIN)/cfn-lint --regions us-east-1 cn-north-1 cn-northwest-1 -- infra/template.yaml
	$(BIN)/zizmor --offline --quiet .github
	$(BIN)/bandit --quiet --recursive -ll $(SOURCES)
	@$(call patiently,checking the mini-program,$(NPM) run check)
	$(PYTEST) -n 2 --cov --cov-report=term tests/unit
	$(PYTEST) $(PARALLEL) tests/deployed tests/service
endif

screenshots: node install bundle miniprogram
	PICTURES=1 $(PYTEST) tests/deployed/test_screenshots.py
	@echo "written: build/screenshots"

nightly: node install bundle miniprogram
	HYPOTHESIS_PROFILE=nightly $(PYTEST) tests/unit tests/service tests/deployed/test_first_deployment.py \
	  tests/deployed/test_upgrade.py
	@mkdir -p build && { grep -oE '^[A-Za-z][^ ]+==[^ ]+' requirements-bundle.txt; grep '^chalice==' constraints.txt; } \
	  > build/bundled.txt
	$(BIN)/pip-audit --strict --requirement build/bundled.txt --no-deps --disable-pip --progress-spinner off
	$(BIN)/python -m benchmarks

bench: install bundle
	@$(call patiently,measuring,$(BIN)/python -m benchmarks)

format: node $(INSTALLED) $(NPM_INSTALLED)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(NPM) run format

VERSION = $(shell sed -n 's/^__version__ = "\(.*\)"$$/\1/p' chalicelib/__init__.py)

# CONTRIBUTING.md, "Release", says how these files are published. `awk` prints the version's section of CHANGELOG.md.
release: miniprogram
	@rm -rf build/release && mkdir -p build/release/files
	@npm pack ./miniprogram/build/client --silent --pack-destination build/release/files
	@cp docs/openapi.yaml build/release/files
	@cd build/release/files && sha256sum * > SHA256SUMS
	@awk '/^## / { inside = $$2 == "$(VERSION)"; next } inside' CHANGELOG.md > build/release/notes.md
	@echo "written: build/release"

# The Lambda runtime has boto3, and what only boto3 needs. A second botocore (20 MB) would shadow that of the runtime.
IN_RUNTIME := boto3 botocore s3transfer python-dateutil six

lock: | python
	@rm -rf build/lock && $(PYTHON) -m venv build/lock
	@sed '/^-c /d; s|^-r |-r ../|' requirements-dev.txt > build/lock.in
	@build/lock/bin/python $(PIP_INSTALL) -r build/lock.in || $(HINT)
	@{ echo '# The pinned version of every package that `make install` installs. Written by `make lock`.'; \
	  build/lock/bin/python -m pip freeze --all --exclude pip; } > constraints.txt
	@build/lock/bin/python $(PIP_INSTALL) uv || $(HINT)
	@{ echo '# The packages in the Lambda bundle, with hashes. Written by `make lock`.'; \
	  build/lock/bin/uv pip compile --quiet --no-header --no-annotate --universal --python-version 3.11 \
	    --generate-hashes --constraint constraints.txt $(patsubst %,--no-emit-package %,$(IN_RUNTIME)) requirements.txt; \
	} > requirements-bundle.txt
	@rm -rf build/lock build/*.in
