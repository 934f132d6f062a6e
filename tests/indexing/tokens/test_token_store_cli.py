"""`leanseek tokens`, and searches that read what it has stored, with a tiny bi-encoder of random weights."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from rerank.late_interaction_support import WORDS, write_biencoder, write_colbert
from typer.testing import CliRunner

from leanseek import Searcher
from leanseek.cli import app
from leanseek.encode.token_model import TorchTokenModel
from leanseek.errors import ExitCode
from leanseek.indexing.tokens.store import TokenStore
from leanseek.rerank import load_reranker
from leanseek.rerank.lateinteraction.stored_tokens import StoredTokens
from leanseek.types import Document

pytest.importorskip("sentence_transformers")


def call(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def documents() -> list[Document]:
    return [Document(f"d{n}", " ".join(WORDS[n % 7 : n % 7 + 2 + n % 9]), f"wing {n}") for n in range(30)]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with documents, their sparse index, and a bi-encoder."""
    folder = tmp_path_factory.mktemp("tokens")
    write_biencoder(folder)
    records = [{"_id": one.id, "title": one.title, "text": one.text} for one in documents()]
    (folder / "documents.jsonl").write_text("\n".join(map(json.dumps, records)))
    made = call("index", folder / "documents.jsonl", "--into", folder / "index", "--dense", "none")
    assert made.exit_code == 0, made.output
    return folder


@pytest.fixture
def index(place: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(place / "index", tmp_path / "index"))


def searched(index: Path, name: str) -> list[tuple[str, float]]:
    done = call("search", index, "wing boundary layer", "-k", "30", "--json", "--rerank", name)
    assert done.exit_code == 0, done.output
    return [(hit["id"], hit["score"]) for hit in map(json.loads, done.stdout.splitlines())]


WARMING_UP = "a passage"
"""What a model reads when it is loaded, so that its first run is no measure of its pace."""


def test_stored_followed_used_and_removed(place: Path, index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"late-interaction:torch:{place / 'model'}"
    fresh = searched(index, name)
    done = call("tokens", index, "--model", f"torch:{place / 'model'}", "--bits", "8")
    assert done.exit_code == 0, done.output
    assert "30 passages read" in done.stdout and "32 dimensions, 8 bits" in done.stdout
    assert f"--rerank late-interaction:torch:{place / 'model'}" in done.stdout
    reading = TorchTokenModel.passages
    read: list[str] = []

    def counted(self: TorchTokenModel, texts: list[str]) -> Any:
        read.extend(text for text in texts if text != WARMING_UP)
        return reading(self, texts)

    monkeypatch.setattr(TorchTokenModel, "passages", counted)
    found = searched(index, name)
    assert read == []
    assert dict(found) == pytest.approx(dict(fresh), abs=0.1) and dict(found) != dict(fresh)
    (index.parent / "more.jsonl").write_text('{"_id": "new", "text": "boundary layer wing orbit"}')
    assert call("add", index, index.parent / "more.jsonl").exit_code == 0
    assert call("delete", index, "d1", "d2").exit_code == 0
    described = call("info", index)
    assert "8 bits" in described.stdout and "1 passage missing" in described.stdout
    assert "new" in dict(searched(index, name)) and read == ["boundary layer wing orbit"]
    done = call("tokens", index, "--json")
    report = json.loads(done.stdout)
    assert (report["added"], report["dropped"], report["passages"], report["bits"]) == (1, 2, 29, 8)
    assert json.loads(call("info", index, "--json").stdout)["tokens"]["lacking"] == 0
    assert call("verify", index).exit_code == 0
    done = call("tokens", index, "--remove")
    assert done.exit_code == 0 and "removed" in done.stdout and TokenStore.open(index) is None
    assert json.loads(call("tokens", index, "--remove", "--json").stdout) == {"removed": False}
    assert "rerank" not in call("info", index).stdout


def test_every_way_to_name_the_re_ranker_reads_what_is_stored(place: Path, index: Path) -> None:
    assert call("tokens", index, "--model", f"torch:{place / 'model'}", "--dims", "16").exit_code == 0
    name = f"late-interaction:torch:{place / 'model'}"
    by_hand = load_reranker(name, index=index)
    assert isinstance(by_hand._model, StoredTokens)  # type: ignore[attr-defined]
    assert by_hand.fingerprint != load_reranker(name).fingerprint
    with Searcher.open(index, reranker=name) as searcher, Searcher.open(index) as plain:
        wanted = by_hand.rerank("wing shock", plain.search("wing shock", 30))
        assert [hit.score for hit in searcher.search("wing shock", 30)] == [hit.score for hit in wanted]


def test_a_checkpoint_of_colberts_kind_is_stored_too(index: Path, tmp_path: Path) -> None:
    write_colbert(tmp_path / "colbert")
    name = f"late-interaction:{tmp_path / 'colbert'}"
    fresh = searched(index, name)
    done = call("tokens", index, "--model", tmp_path / "colbert", "--bits", "8")
    assert done.exit_code == 0, done.output
    assert "8 dimensions, 8 bits" in done.stdout
    found = searched(index, name)
    assert dict(found) == pytest.approx(dict(fresh), abs=0.1) and dict(found) != dict(fresh)


def test_what_cannot_be_is_told(place: Path, index: Path) -> None:
    model = f"torch:{place / 'model'}"
    for arguments, told, code in (
        ((index, "--model", model, "--dims", "33"), "it must be from 1 to 32", ExitCode.USAGE),
        ((index, "--model", model, "--bits", "5"), "4 or 8 bits", ExitCode.USAGE),
        ((index, "--remove", "--bits", "4"), "--remove removes all that is stored", ExitCode.USAGE),
        ((index.parent / "absent",), "does not exist", ExitCode.INDEX),
        ((index, "--model", index.parent / "absent"), "absent", ExitCode.MODEL),
    ):
        done = call("tokens", *arguments)
        assert done.exit_code == code and told in done.output
    assert not (index / "tokens").exists()
