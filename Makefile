# make demo         install into .venv and trace this machine for three seconds
# make test         install into .venv and run every check that this machine can run
# make test-deps    install what the tests need beside Python packages (apt, as root)
# make lint         ruff and mypy alone
# make clean        remove what builds and tests leave behind; .venv stays
#
# PYTHON chooses the interpreter; both demo and test use the one environment in .venv.
# ARGS goes to pytest: make test ARGS='tests/unit -k layers'

PYTHON ?= python3
VENV := .venv
ARGS ?=

.PHONY: demo test test-deps lint clean

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
