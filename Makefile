# c100k: one line a target; each calls the command line, a playbook or a test runner.
# TEST_TIMEOUT=seconds and TEST_VERBOSE=1 are honoured; ARGS is passed on: make test-100k-load ARGS='-e c100k_hold_s=60'

VENV := .venv
BIN := $(VENV)/bin
# Debian builds its own Python with profile guidance; others on the path may be half as fast.
PYTHON ?= $(firstword $(wildcard /usr/bin/python3) python3)
SETUP_PACKAGES := python3-venv openssh-client
LAB_PACKAGES := debootstrap systemd-container nftables iproute2
# The tests start redis-server themselves: this package has the program, and no service that would start with it.
TEST_PACKAGES := redis-tools
DRAWING_PACKAGES := chromium
# The same with prometheus: its package is unpacked here.
PROMETHEUS := .cache/prometheus
READY := $(VENV)/.ready
DEVELOPMENT := $(VENV)/.development
GRAFANA := $(VENV)/.grafana
CONFORMANCE := .cache/conformance-ready
FUZZING := .cache/fuzz/ready
SCHEMA := .cache/dashboard-schema-ready
DRAWING := .cache/drawing
FUZZ_SECONDS ?= 60
ARGS ?=
.DEFAULT_GOAL := help

.PHONY: help
help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(READY): requirements/controller.txt pyproject.toml
	scripts/host-packages $(SETUP_PACKAGES)
	[ -x $(BIN)/python ] || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/controller.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

$(DEVELOPMENT): $(READY) requirements/development.txt server/pyproject.toml loadgen/pyproject.toml
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/development.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e server -e loadgen
	touch $@

# The package `ansible` is ansible-core, which is there, and collections, among them that of Grafana's makers.
$(GRAFANA): $(READY) requirements/grafana.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/grafana.txt
	touch $@

$(CONFORMANCE): $(DEVELOPMENT) tests/conformance/package-lock.json requirements/sdk-1.txt requirements/sdk-2.txt
	for line in 1 2; do \
	    $(PYTHON) -m venv --without-pip .cache/sdk/$$line && \
	    $(BIN)/pip --python .cache/sdk/$$line/bin/python install --quiet --disable-pip-version-check --require-hashes \
	        -r requirements/sdk-$$line.txt || exit 1; \
	done
	scripts/npm-ci tests/conformance
	touch $@

$(SCHEMA): $(DEVELOPMENT) dashboards/schema/package-lock.json
	scripts/npm-ci dashboards/schema
	mkdir -p $(@D)
	touch $@

$(DRAWING)/packages-ready: $(DEVELOPMENT) dashboards/drawing/package-lock.json
	scripts/host-packages $(DRAWING_PACKAGES)
	scripts/npm-ci dashboards/drawing
	mkdir -p $(@D)
	touch $@

$(DRAWING)/page.js: $(DRAWING)/packages-ready $(wildcard dashboards/drawing/*.ts* dashboards/drawing/*.html) dashboards/drawing/bundle
	dashboards/drawing/bundle $(@D)

$(FUZZING): $(READY) requirements/fuzzing.txt server/pyproject.toml
	$(PYTHON) -m venv .cache/fuzz/venv
	.cache/fuzz/venv/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/fuzzing.txt
	.cache/fuzz/venv/bin/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e server
	touch $@

.PHONY: setup lab-packages test-packages
setup: $(READY)  ## the controller's virtual environment
lab-packages:
	@scripts/host-packages $(LAB_PACKAGES)
test-packages:
	@scripts/host-packages $(TEST_PACKAGES)
	@scripts/prometheus $(PROMETHEUS)

.PHONY: test-100k test-100k-cluster test-100k-load test-100k-registry
test-100k: setup lab-packages  ## the main job: 100,000 connections on four hosts, and a verdict
	$(BIN)/c100k run all $(ARGS)
test-100k-cluster: setup lab-packages  ## hold 100,000 connections while three hosts die and return
	$(BIN)/c100k run cluster $(ARGS)
test-100k-load: setup lab-packages  ## ramp 0 to 100,000 and hold
	$(BIN)/c100k run load $(ARGS)
test-100k-registry: setup lab-packages  ## 100,000 names of sessions, looked up and changed under load
	$(BIN)/c100k run registry $(ARGS)

.PHONY: benchmark benchmark-quick benchmark-100k benchmark-full
benchmark: benchmark-quick
benchmark-quick: $(DEVELOPMENT)  ## server and generator on loopback, without a lab and without root, in half a minute
	$(BIN)/c100k benchmark quick $(ARGS)
benchmark-100k: setup lab-packages  ## the highest message rate inside the SLA at 100,000 connections, searched for and confirmed
	$(BIN)/c100k run benchmark-100k $(ARGS)
benchmark-full: setup lab-packages  ## load, ten deaths and registry, one after the other, each with its verdict
	$(BIN)/c100k run benchmark-full $(ARGS)

.PHONY: lab-up lab-down
lab-up: setup lab-packages  ## four Debian hosts on this machine
	$(BIN)/c100k lab up
lab-down: setup  ## remove them and all that came with them
	$(BIN)/c100k lab down

.PHONY: grafana
grafana: $(GRAFANA)  ## a Grafana that shows the runs, on the hosts of the group monitoring; not run so far
	$(BIN)/ansible-playbook playbooks/grafana.yml $(ARGS)

.PHONY: swarm-init swarm-deploy swarm-monitor
swarm-init: setup lab-packages  ## a Redis Cluster over the hosts of the group state
	$(BIN)/ansible-playbook playbooks/lab-up.yml playbooks/swarm-init.yml $(ARGS)
swarm-deploy: setup lab-packages  ## this release to all hosts
	$(BIN)/ansible-playbook playbooks/lab-up.yml playbooks/swarm-deploy.yml $(ARGS)
swarm-monitor: setup  ## what servers and generators count, each second
	$(BIN)/ansible-playbook playbooks/swarm-monitor.yml $(ARGS)

# What fails is run once more, alone: beside others a test can be late on a machine of two cores. What fails twice fails.
again = || { [ $$? -eq 1 ] && $(BIN)/pytest --last-failed --last-failed-no-failures none $(1) $(ARGS); }

# What is installed, built or only computes goes two at a time. What is timed comes after it, and has the machine to itself.
.PHONY: test lint unit sanity collection-test conformance lab-image lab-test lab-test-long
test:  ## the whole gate
	$(MAKE) --jobs=1 test-packages lab-packages
	$(MAKE) --jobs=2 --output-sync=target lab-image lint sanity collection-test $(SCHEMA) $(CONFORMANCE)
	$(MAKE) --jobs=1 unit conformance lab-test
lint: $(DEVELOPMENT)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy src server/src loadgen/src dashboards/source dashboards/drawing
	PATH=$(CURDIR)/$(BIN):$$PATH $(BIN)/ansible-lint --offline
unit: $(DEVELOPMENT) $(SCHEMA) test-packages
	$(BIN)/pytest tests/unit --numprocesses=3 --dist=loadfile --no-loadscope-reorder $(ARGS) $(call again,tests/unit)
sanity: $(DEVELOPMENT)
	tests/collection.sh sanity
collection-test: $(DEVELOPMENT) test-packages  ## the unit and integration tests that the collection carries with it
	tests/collection.sh units
	tests/collection.sh integration
conformance: $(DEVELOPMENT) $(CONFORMANCE)  ## the official conformance suite, SDKs and Inspector against the server
	$(BIN)/pytest tests/conformance $(ARGS)
# Without root there is no lab, and its tests are skipped.
lab-image: setup lab-packages
	[ $$(id -u) -ne 0 ] || $(BIN)/c100k lab image
lab-test: $(DEVELOPMENT) lab-packages test-packages
	$(BIN)/pytest tests/lab -m 'not long' $(ARGS) $(call again,tests/lab -m 'not long')
lab-test-long: $(DEVELOPMENT) lab-packages test-packages  ## those that take minutes, which are too long for the gate
	$(BIN)/pytest tests/lab -m long $(ARGS)

.PHONY: dashboards dashboard-pictures
dashboards: $(DEVELOPMENT)  ## write dashboards/*.json from their source
	cd dashboards && ../$(BIN)/python -m source
dashboard-pictures: $(DRAWING)/page.js  ## draw them over a run: ARGS='--prometheus URL --run RUN'
	cd dashboards && ../$(BIN)/python -m drawing --page ../$(DRAWING) --output ../docs/images/dashboards $(ARGS)

.PHONY: fuzz
fuzz: $(FUZZING)  ## fuzz each input of the server for FUZZ_SECONDS
	PYTHONPATH=tests .cache/fuzz/venv/bin/python -m fuzz $(FUZZ_SECONDS) .cache/fuzz $(ARGS)

.PHONY: clean-100k-data clean-all distclean
clean-100k-data:  ## remove the runs
	rm -rf runs
clean-all: clean-100k-data distclean  ## remove the runs and what was built
distclean:  ## remove what was built
	rm -rf $(VENV) .cache dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
