"""Settings as an index stores them; the analyser's version above all."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from leanseek import Document, Index, Searcher
from leanseek.cli import app
from leanseek.errors import UsageError
from leanseek.indexing import SparseSettings
from leanseek.indexing.catalog import read_state
from leanseek.indexing.settings import IndexSettings


def test_a_new_index_records_the_newest_rules(tmp_path: Path) -> None:
    Index.create(tmp_path / "index", encoder=None)
    sparse = read_state(tmp_path / "index").settings.sparse
    assert (
        sparse
        == SparseSettings()
        == SparseSettings(analyzer="english")
        == SparseSettings(analyzer="english@2")
    )
    assert SparseSettings(analyzer=" Lucene; stopwords=none").analyzer == "lucene;stopwords=none"
    assert json.loads(read_state(tmp_path / "index").settings.to_json())["sparse"]["analyzer"] == "english@2"


@pytest.mark.parametrize(
    ("stored", "meant"),
    [
        ("english", "english@1"),
        ("german;stopwords=none", "german@1;stopwords=none"),
        ("lucene", "lucene"),
        ("english@2", "english@2"),
    ],
)
def test_settings_without_a_version_have_the_first(stored: str, meant: str) -> None:
    values = json.loads(IndexSettings(sparse=SparseSettings()).to_json())
    values["sparse"]["analyzer"] = stored
    text = json.dumps(values, sort_keys=True)
    settings = IndexSettings.from_json(text)
    assert settings.sparse is not None and settings.sparse.analyzer == meant
    assert settings.to_json() == text


def test_an_older_index_keeps_its_rules_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "index"
    index = Index.create(path, encoder=None, sparse=SparseSettings(analyzer="english@1"))
    index.add([Document("one", "diabetes of type 1")])
    index.add([Document("two", "diabetes of type 2")])
    searcher = Searcher.open(path)
    # By the first rules a digit is no word.
    assert [hit.score for hit in searcher.search("type 2")] == [
        pytest.approx(searcher.search("type")[0].score)
    ] * 2
    shown = CliRunner().invoke(app, ["info", str(path)]).stdout
    assert "analyser english@1" in shown
    assert "made by older rules; index the sources again to change to english@2" in shown
    newer = Index.create(tmp_path / "newer", encoder=None)
    newer.add([Document("one", "diabetes of type 1"), Document("two", "diabetes of type 2")])
    assert Searcher.open(tmp_path / "newer").search("type 2")[0].id == "two"
    assert "older rules" not in CliRunner().invoke(app, ["info", str(tmp_path / "newer")]).stdout


def test_rules_of_a_newer_leanseek_are_refused(tmp_path: Path) -> None:
    state = IndexSettings(sparse=SparseSettings(analyzer="english@9"))
    assert IndexSettings.from_json(state.to_json()) == replace(state)
    with pytest.raises(UsageError, match=r"unknown version '9'.*pip install --upgrade leanseek"):
        Index.create(tmp_path / "index", encoder=None, sparse=state.sparse)


def test_a_reduction_is_stored_only_where_one_was_chosen() -> None:
    plain = IndexSettings()
    assert "reduction" not in json.loads(plain.to_json())["lean"]
    chosen = replace(plain, lean=replace(plain.lean, reduction="ood-es"))
    assert IndexSettings.from_json(chosen.to_json()) == chosen
    assert IndexSettings.from_json(plain.to_json()) == plain
