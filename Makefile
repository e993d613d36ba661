# `make demo` and `make test` need nothing but Python >= 3.10, gcc and cmake: the rest is set up on the first call.
SHELL := /bin/bash

# Nodes of tests and demo talk on this machine only (Humble has another name for that), in a domain of their own; a set
# ROS_DOMAIN_ID is kept.
in_environment = . tools/env.sh \
	&& export $(if $(filter humble,$(ROS_DISTRO)),ROS_LOCALHOST_ONLY=1,ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST) \
	ROS_DOMAIN_ID=$${ROS_DOMAIN_ID:-$$(($$$$ % 100 + 1))} \
	&&

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
	@$(in_environment) python -m qdtrack_ros.demo $(if $(VIDEO),--video '$(VIDEO)') $(if $(WEIGHTS),--weights '$(WEIGHTS)')

# With the field check, messages refuse values of the wrong type instead of taking them silently.
test: setup
	@$(in_environment) ROS_PYTHON_CHECK_FIELDS=1 python -m pytest test $(PYTEST)

clean:
	rm -rf .venv build install log qdtrack.egg-info
