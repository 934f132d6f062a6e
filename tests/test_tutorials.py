"""The tutorials are kept with what they printed, and what their code imports is there.

`make tutorials` runs them; that takes minutes.
"""

from __future__ import annotations

import ast
import importlib
import json
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "tutorials").glob("*.ipynb"))
LOCAL = re.compile(r"/(?:home|root|tmp|work|Users|var)/|leanseek-tutorial-")


def cells(path: Path) -> list[dict[str, Any]]:
    """A notebook's cells."""
    return list(json.loads(path.read_text("utf-8"))["cells"])


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_ran_from_top_to_bottom_without_an_error(path: Path) -> None:
    code = [cell for cell in cells(path) if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell["outputs"]]
    assert not [output for output in outputs if output["output_type"] == "error"]
    printing = [cell for cell in code if ast.parse("".join(cell["source"])).body and shows(cell)]
    assert printing and all(cell["outputs"] for cell in printing)


def shows(cell: dict[str, Any]) -> bool:
    """Whether a cell prints something or ends with a value."""
    body = ast.parse("".join(cell["source"])).body
    calls = [
        one.func.id
        for one in ast.walk(ast.Module(body, []))
        if isinstance(one, ast.Call) and isinstance(one.func, ast.Name)
    ]
    return "print" in calls or isinstance(body[-1], ast.Expr)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_its_outputs_are_of_no_machine(path: Path) -> None:
    assert not LOCAL.search(json.dumps([cell.get("outputs") for cell in cells(path)]))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_its_names_are_there_and_its_links_lead_somewhere(path: Path) -> None:
    for cell in cells(path):
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            for target in re.findall(r"\]\(([^)#:]+)\)", source):
                assert (path.parent / target).exists(), target
            continue
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "leanseek":
                module = importlib.import_module(node.module)
                assert [name.name for name in node.names if not hasattr(module, name.name)] == []


def test_the_site_and_the_documentation_list_every_one() -> None:
    site, index = (ROOT / "mkdocs.yml").read_text("utf-8"), (ROOT / "docs" / "README.md").read_text("utf-8")
    for path in NOTEBOOKS:
        assert f"tutorials/{path.stem}.md" in site
        assert f"(../tutorials/{path.name})" in index
