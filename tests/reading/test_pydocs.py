"""The documentation of the installed Python, checked against what Python itself says."""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys
from collections import Counter

import pytest

from leanseek.reading.pydocs import python_documentation
from leanseek.types import Document


@pytest.fixture(scope="module")
def documents() -> dict[str, Document]:
    return {document.id: document for document in python_documentation()}


def test_thousands_of_distinct_passages_in_order(documents: dict[str, Document]) -> None:
    assert len(documents) > 4000
    assert list(documents) == sorted(documents)
    texts = Counter(" ".join(document.text.split()) for document in documents.values())
    assert texts.most_common(1)[0][1] == 1
    assert all(len(text.split()) >= 3 for text in texts)


@pytest.mark.parametrize(
    ("id", "kind"),
    [
        ("json", "module"),
        ("json.dumps", "function"),
        ("json.JSONDecoder", "class"),
        ("json.JSONDecoder.raw_decode", "method"),
        ("pathlib.Path.glob", "method"),
        ("os.path.join", "function"),
        ("os.path.exists", "function"),
        ("os.listdir", "function"),
        ("str.split", "method"),
        ("sorted", "function"),
        ("math.sqrt", "function"),
        ("itertools.groupby", "class"),
        ("collections.deque.rotate", "method"),
        ("collections.abc.Mapping.get", "method"),
        ("asyncio.run", "function"),
        ("functools.lru_cache", "function"),
        ("datetime.timedelta.total_seconds", "method"),
        ("random.shuffle", "function"),
        ("re.sub", "function"),
        ("csv.reader", "function"),
        ("subprocess.run", "function"),
        ("threading.Thread.name", "property"),
    ],
)
def test_names_that_a_program_uses(documents: dict[str, Document], id: str, kind: str) -> None:
    document = documents[id]
    assert document.metadata["kind"] == kind
    assert document.title == id
    module = document.metadata["module"]
    assert isinstance(module, str)
    value = importlib.import_module(module)
    for name in id.removeprefix(module).strip(".").split("."):
        value = getattr(value, name) if name else value
    assert document.text == inspect.cleandoc(value.__doc__ or "").strip()


def test_nothing_private_and_nothing_from_installed_packages(documents: dict[str, Document]) -> None:
    assert not [id for id in documents if any(part.startswith("_") for part in id.split("."))]
    packages = {id.split(".")[0] for id in documents}
    assert not packages & {"pytest", "numpy", "pip", "test", "idlelib", "site-packages"}


@pytest.mark.parametrize("name", ["argparse", "collections", "decimal", "logging", "mailbox", "pathlib"])
def test_ids_are_names_that_their_modules_hold(documents: dict[str, Document], name: str) -> None:
    module = importlib.import_module(name)
    ids = [id for id, document in documents.items() if document.metadata["module"] == name and id != name]
    names = {id.removeprefix(f"{name}.").split(".")[0] for id in ids}
    assert len(names) > 3
    assert [name for name in names if not hasattr(module, name)] == []


def test_no_module_of_the_library_is_imported_for_its_sources() -> None:
    program = (
        "import sys; from leanseek.reading.pydocs import python_documentation as p; before = set(sys.modules);"
        "n = sum(1 for _ in p()); print(n > 4000, {'tkinter', 'turtle', 'smtplib'} & (set(sys.modules) - before))"
    )
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert out == "True set()\n"
