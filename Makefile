# make demo         install into .venv and trace this machine for three seconds
# make test         install into .venv and run every check that this machine can run
# make test-deps    install what the tests need beside Python packages (apt, as root)
# make guest        boot a Debian kernel under QEMU and run something in it:
#                   make guest KERNEL=6.12 RUN="pytrace -e '...'"; or SCRIPT=file instead of RUN
# make lint         ruff and mypy alone
# make clean        remove what builds and tests leave behind; .venv stays
#
# PYTHON chooses the interpreter; both demo and test use the one environment in .venv.
# ARGS goes to pytest: make test ARGS='tests/unit -k layers'

PYTHON ?= python3
VENV := .venv
ARGS ?=
KERNEL ?= 6.12

.PHONY: demo test test-deps guest lint clean

demo: $(VENV)/.installed
	@$(VENV)/bin/python3 scripts/demo.py $(VENV)/bin/pytrace

test: lint
	@$(VENV)/bin/python3 -m pytest -q $(ARGS)

lint: $(VENV)/.installed-dev
	@$(VENV)/bin/ruff check -q .
	@$(VENV)/bin/mypy --no-error-summary

test-deps:
	@scripts/test-deps $(PYTHON)
	@$(MAKE) --no-print-directory $(VENV)/.installed-dev

# What is to be run goes through the environment as it was written: make expands no $ in it.
guest: export GUEST_RUN := $(value RUN)
guest: export GUEST_SCRIPT := $(value SCRIPT)
guest: $(VENV)/.installed
	@$(VENV)/bin/python3 -m tests.vm $(KERNEL)

# The launcher is copied at installation, so a change of it installs again.
$(VENV)/.installed: pyproject.toml bin/pytrace | $(VENV)/bin/python3
	@echo "Installing pytrace into $(VENV)"
	@$(VENV)/bin/python3 -m pip install -q --disable-pip-version-check -e .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml bin/pytrace | $(VENV)/bin/python3
	@echo "Installing pytrace and what its tests need into $(VENV)"
	@$(VENV)/bin/python3 -m pip install -q --disable-pip-version-check -e '.[dev]'
	@touch $@ $(VENV)/.installed

$(VENV)/bin/python3:
	@scripts/check-python $(PYTHON)
	@$(PYTHON) -m venv $(VENV)

clean:
	rm -rf build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
