# `make demo` and `make test` need nothing but Python >= 3.10, gcc and cmake: the rest is set up on the first call.
SHELL := /bin/bash

# Nodes of tests and demo talk on this machine only (Humble has another name for that).
in_environment = . tools/env.sh \
	&& export $(if $(filter humble,$(ROS_DISTRO)),ROS_LOCALHOST_ONLY=1,ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST) &&

.PHONY: help setup demo test clean

help:
	@echo 'make demo    synthesize a street, track it over ROS 2, report in build/demo/report.html'
	@echo '             make demo VIDEO=path/to/video.mp4 WEIGHTS=plaza   takes a recording and other weights'
	@echo 'make test    all tests, lint and types; PYTEST="-k node" chooses'
	@echo 'make setup   only what both do first: .venv and install/'
	@echo 'make clean   remove everything made here, .venv included'

setup:
	@tools/setup.sh

demo: setup
	@$(in_environment) export ROS_DOMAIN_ID=$${ROS_DOMAIN_ID:-$$(($$$$ % 100 + 1))} && \
	python -m qdtrack_ros.demo $(if $(VIDEO),--video '$(VIDEO)') $(if $(WEIGHTS),--weights '$(WEIGHTS)')

# A process of tests for every core, each of which needs a gigabyte, and one more: tests of the node wait for messages
# more than they compute. The next test goes to whoever is idle first.
test: setup
	@$(in_environment) python -m pytest test --numprocesses $$(($$(nproc) < 8 ? $$(nproc) + 1 : 8)) \
	--dist worksteal --durations 10 $(PYTEST)

clean:
	rm -rf .venv build dist install log qdtrack.egg-info
