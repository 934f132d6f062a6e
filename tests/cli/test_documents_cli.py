"""Documents like a document on the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support import HashEncoder
from typer.testing import CliRunner

from leanseek import Document, Index
from leanseek.cli import app

TEXT = "wing wing wing. shock shock shock. orbit orbit orbit."
DOCUMENTS = [
    Document("a", TEXT, "Wings", {"year": 2001}),
    Document("b", "heart heart heart. orbit orbit orbit. trial trial trial.", "Hearts", {"year": 2002}),
    Document("c", "kinase insulin. statin placebo.", metadata={"year": 2003}),
]


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("leanseek.searcher.request.recorded_encoder", lambda *_, **__: HashEncoder())
    monkeypatch.chdir(tmp_path)
    index = Index.create(tmp_path / "i", encoder=HashEncoder(), chunk_words=3)
    index.add(DOCUMENTS, cache=False)
    return index.path


def invoke(*words: object, code: int = 0) -> Any:
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == code, result.output
    return result


def ids(*words: object) -> list[str]:
    return [json.loads(line)["id"] for line in invoke("similar", "--json", *words).stdout.splitlines()]


def test_documents_like_one_of_the_index(path: Path) -> None:
    assert ids(path, "a") == ["b", "c"]
    assert ids(path, "a", "-k", 1) == ["b"]
    assert ids(path, "a", "--filter", "year > 2002") == ["c"]
    shown = invoke("similar", path, "a", "-k", 1).stdout
    assert "b  Hearts  (part 2 of 3)" in shown and "orbit orbit orbit." in shown


def test_documents_like_a_file(path: Path, tmp_path: Path) -> None:
    (tmp_path / "my.txt").write_text(TEXT)
    assert ids(path, "my.txt", "-k", 1) == ["a"]
    # An id goes before a file of the same name.
    (tmp_path / "a").write_text("kinase insulin.")
    assert ids(path, "a", "-k", 1) == ["b"]
    (tmp_path / "blank.txt").write_text("\n")
    assert "it holds 0 documents" in invoke("similar", path, "blank.txt", code=3).output


def test_what_cannot_be_compared(path: Path, tmp_path: Path) -> None:
    assert "neither the id of a document" in invoke("similar", path, "nowhere", code=2).output
    (tmp_path / "two.jsonl").write_text('{"id": "x", "text": "one"}\n{"id": "y", "text": "two"}\n')
    assert "it holds 2 documents" in invoke("similar", path, "two.jsonl", code=3).output
    assert "k is 0" in invoke("similar", path, "a", "-k", 0, code=2).output
    Index.create(tmp_path / "words", encoder=None).add(DOCUMENTS)
    assert "has none" in invoke("similar", tmp_path / "words", "a", code=2).output
    invoke("similar", tmp_path / "missing", "a", code=4)


def test_duplicates(path: Path, tmp_path: Path) -> None:
    assert "No near-duplicates." in invoke("duplicates", path).stdout
    index = Index.open(path, encoder=HashEncoder())
    index.add([Document("copy", TEXT.upper()), Document("more", f"{TEXT} Orbit.")], cache=False)
    shown = invoke("duplicates", path).stdout
    assert "a  Wings\n     1.000  copy\n     0.833  more\n" in shown
    assert "1 group: 2 documents" in shown and f"leanseek delete {path} ID" in shown
    found = invoke("duplicates", path, "--least", 0.9, "--json")
    assert json.loads(found.stdout) == {
        "id": "a",
        "title": "Wings",
        "duplicates": [{"id": "copy", "likeness": 1.0}],
    }
    assert json.loads(found.stderr) == {"groups": 1, "duplicates": 1}
    assert invoke("duplicates", path, "--filter", "year > 2000").stdout == "No near-duplicates.\n"
    assert "from 0.5" in invoke("duplicates", path, "--least", 0.2, code=2).output
    invoke("duplicates", tmp_path / "missing", code=4)
