# The commands of the project; README.md says what they are for.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Where tests run the packaged bundle: as on Lambda, nothing but the runtime client and boto3 beside it.
LAMBDA := .lambda

.PHONY: help install bundle miniprogram deploy destroy demo serve test bench load format lock clean

help:
	@echo "make demo    everything from nothing to a customer's list, in a sandbox on this machine"
	@echo "make serve   the same, and stay, with the mini-program in a browser (needs node)"
	@echo "make test    format, lint, types, all tests, coverage (needs node)"
	@echo "make bundle  what chalice deploy sends to Lambda beside the app"
	@echo "make miniprogram  the sample mini-program, for Douyin's IDE: miniprogram/dist (needs node)"
	@echo "make deploy  everything to AWS: make deploy STAGE=dev [DRY_RUN=1] [ALARM_EMAIL=...]"
	@echo "make destroy take it down; table and secret stay: make destroy STAGE=dev"
	@echo "make bench   how fast it is, next to two yardsticks (five minutes)"
	@echo "make load    what the whole sandbox does under load (three minutes)"
	@echo "make format  let the formatter have its way"
	@echo "make lock    pin anew what make install brings"
	@echo "make clean   remove what the commands above have made"

install: $(VENV)/.installed $(LAMBDA)/.installed

$(VENV)/.installed: requirements.txt requirements-dev.txt constraints.txt pyproject.toml
	@echo "installing into $(VENV) (a minute the first time)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -r requirements-dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

$(LAMBDA)/.installed: constraints.txt
	@echo "installing into $(LAMBDA)"
	@$(PYTHON) -m venv $(LAMBDA)
	@$(LAMBDA)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt awslambdaric boto3
	@touch $@

bundle: build/.bundled

build/.bundled: $(VENV)/.installed requirements.txt infra/bundle.py infra/sdkdata.py app.py $(wildcard chalicelib/*.py)
	@echo "making the Lambda bundle"
	@$(BIN)/python -m infra.bundle
	@mkdir -p build && touch $@

# npm's own record of what it installed is the stamp.
MODULES := miniprogram/node_modules/.package-lock.json
NPM := npm --prefix miniprogram --silent

miniprogram: miniprogram/build/.built

$(MODULES): miniprogram/package.json miniprogram/package-lock.json
	@command -v npm > /dev/null || { echo "the mini-program is built with node 20 or newer, which is not there"; exit 2; }
	@echo "installing into miniprogram/node_modules"
	@$(NPM) ci && touch $@

miniprogram/build/.built: $(MODULES) $(shell find miniprogram/src miniprogram/preview -type f) miniprogram/tsconfig.json
	@echo "building the mini-program"
	@rm -rf miniprogram/dist miniprogram/build
	@$(NPM) run build && touch $@

build/.browser: $(VENV)/.installed
	@$(BIN)/python -m sandbox.browser && mkdir -p build && touch $@

deploy: bundle
	@test -n "$(STAGE)" || { echo "make deploy STAGE=dev, prod or cn"; exit 2; }
	@$(BIN)/python -m infra.deploy $(STAGE) $(if $(DRY_RUN),--dry-run) $(if $(ALARM_EMAIL),--alarm-email $(ALARM_EMAIL))

destroy: $(VENV)/.installed
	@test -n "$(STAGE)" || { echo "make destroy STAGE=dev, prod or cn"; exit 2; }
	@$(BIN)/python -m infra.destroy $(STAGE) $(if $(DATA),--data $(DATA)) $(if $(REALLY),--really $(REALLY))

demo: bundle
	@$(BIN)/python -m sandbox.demo

serve: bundle miniprogram
	@$(BIN)/python -m sandbox.demo --serve

test: install bundle miniprogram build/.browser
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/cfn-lint infra/template.yaml
	$(NPM) run check
	$(BIN)/bandit --quiet --recursive -ll app.py chalicelib infra redeemctl sandbox
	$(BIN)/pip-audit --requirement requirements.txt --no-deps --disable-pip --progress-spinner off
	$(BIN)/coverage run -m pytest
	$(BIN)/coverage report

bench: install bundle
	@$(BIN)/python -m benchmarks

load: bundle
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r benchmarks/requirements.txt
	@$(BIN)/python -m benchmarks.load

format: $(VENV)/.installed $(MODULES)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(NPM) run format

lock:
	@rm -rf build/lock && $(PYTHON) -m venv build/lock
	@sed '/^-c /d; s|^-r |-r ../|' requirements-dev.txt benchmarks/requirements.txt > build/lock.in
	@build/lock/bin/python -m pip install --quiet --disable-pip-version-check -r build/lock.in
	@{ echo '# Every package that `make install` may bring, pinned; kept by `make lock`.'; \
	  build/lock/bin/python -m pip freeze --exclude pip --exclude setuptools; } > constraints.txt
	@rm -rf build/lock build/lock.in

clean:
	rm -rf miniprogram/node_modules miniprogram/dist miniprogram/build
	rm -rf $(VENV) $(LAMBDA) vendor build *.egg-info .chalice/deployments .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache
