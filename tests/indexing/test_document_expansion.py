"""Documents are found by queries that a decoder wrote for them, and shown as they are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rerank.incontext_support import decoder_folder
from typer.testing import CliRunner

from leanseek import Document, Index, Searcher
from leanseek.cli import app
from leanseek.decode import PassageQueries
from leanseek.errors import ModelError, UsageError
from leanseek.indexing.document_expansion import DocumentExpansion, ExpansionCache
from leanseek.indexing.settings import IndexSettings, SparseSettings

WRITTEN = {"owl": "nocturnal bird", "mole": "digs in gardens", "otter": "river mammal"}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """The passages that queries were written for; what is written is known, everything else is as it is."""
    passages: list[str] = []

    def write(self: PassageQueries, texts: Sequence[str]) -> list[list[str]]:
        passages.extend(texts)
        return [[WRITTEN.get(text.split()[-1].strip("."), ""), ""] for text in texts]

    monkeypatch.setattr(PassageQueries, "write", write)
    monkeypatch.setenv("LEANSEEK_CACHE", str(tmp_path / "cache"))
    return passages


@pytest.fixture
def generator(tmp_path: Path) -> str:
    """The folder of a small decoder of random weights."""
    return decoder_folder(tmp_path / "decoder")


def expanded(path: Path, generator: str) -> Index:
    return Index.create(path, encoder=None, expand_documents=2, generator=generator)


def found(path: Path, query: str) -> list[tuple[str, str]]:
    with Searcher.open(path) as searcher:
        return [(hit.id, hit.text) for hit in searcher.search(query)]


def test_documents_are_found_by_what_was_written_and_shown_without_it(
    tmp_path: Path, asked: list[str], generator: str
) -> None:
    index = expanded(tmp_path / "a.index", generator)
    index.add([Document("a", "This is an owl."), Document("b", "This is a mole."), Document("c", "A hare.")])
    assert found(index.path, "which nocturnal birds") == [("a", "This is an owl.")]
    # Later additions, replacements and merges know of it too, with the decoder that the index names.
    opened = Index.open(index.path)
    opened.add([Document("a", "This is an otter."), Document("d", "An owl.")], on_duplicate="replace")
    opened.compact()
    assert found(index.path, "nocturnal bird") == [("d", "An owl.")]
    assert found(index.path, "mammals") == [("a", "This is an otter.")]


def test_what_was_written_once_is_not_written_again(tmp_path: Path, asked: list[str], generator: str) -> None:
    documents = [Document(str(number), f"{number} owl.") for number in range(150)]
    expanded(tmp_path / "a.index", generator).add(documents)
    assert sorted(asked) == sorted(document.text for document in documents)
    expanded(tmp_path / "b.index", generator).add([*documents, Document("new", "A mole.")])
    assert len(asked) == 151 and asked[-1] == "A mole."
    expanded(tmp_path / "c.index", generator).add(documents[:3], cache=False)
    assert len(asked) == 154
    assert found(tmp_path / "b.index", "nocturnal") == found(tmp_path / "a.index", "nocturnal")


def test_a_document_that_comes_twice_is_found_by_the_later_text_alone(
    tmp_path: Path, asked: list[str], generator: str
) -> None:
    index = expanded(tmp_path / "a.index", generator)
    index.add([Document("a", "An owl."), Document("a", "A mole.")], on_duplicate="replace")
    assert found(index.path, "nocturnal") == [] and [id for id, _ in found(index.path, "garden")] == ["a"]


@given(st.lists(st.lists(st.text()), max_size=5))
@settings(deadline=None, max_examples=20)
def test_the_cache_gives_back_what_it_was_given(queries: list[list[str]]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        cache = ExpansionCache("f" * 16, Path(folder))
        passages = [f"passage {number}" for number in range(len(queries))]
        cache.put(passages, queries)
        assert cache.get([*passages, "other"]) == [*queries, None]
        cache.close()


def test_the_decoder_itself(tmp_path: Path, generator: str) -> None:
    """A small decoder of random weights: what it writes is nonsense, but the same twice."""
    expansion = DocumentExpansion(generator, 2)
    cache = ExpansionCache(expansion.settings.fingerprint, tmp_path)
    texts = ["A trial of statins.", "Moles dig."]
    once = expansion.words(texts, cache)
    assert once == expansion.words(texts) == expansion.words(texts, cache)
    assert expansion.settings == DocumentExpansion(generator, 2).settings
    assert expansion.settings.fingerprint != DocumentExpansion(generator, 1).settings.fingerprint


def test_what_cannot_be_done_is_told(tmp_path: Path, asked: list[str], generator: str) -> None:
    for queries in (0, 21):
        with pytest.raises(UsageError, match="give 1 to 20"):
            Index.create(tmp_path / "a", encoder=None, expand_documents=queries, generator=generator)
    with pytest.raises(UsageError, match="for the sparse side 'bm25' alone"):
        Index.create(tmp_path / "a", encoder=None, sparse=SparseSettings("bm25s"), expand_documents=2)
    with pytest.raises(UsageError, match="how many queries"):
        Index.create(tmp_path / "a", encoder=None, generator="x")
    with pytest.raises(ModelError):
        Index.create(tmp_path / "a", encoder=None, expand_documents=2, generator=str(tmp_path / "none"))
    assert not (tmp_path / "a").exists()


def test_the_command_and_its_index(tmp_path: Path, asked: list[str], generator: str) -> None:
    (tmp_path / "in.jsonl").write_text('{"_id": "a", "text": "This is an owl."}\n')
    run, index = CliRunner().invoke, str(tmp_path / "a.index")
    command = ["index", str(tmp_path / "in.jsonl"), "--into", index, "--dense", "none"]
    refused = run(app, [*command, "--generator", generator])
    assert refused.exit_code == 2 and "--expand-documents N" in refused.stderr
    made = run(app, [*command, "--expand-documents", "2", "--generator", generator])
    assert made.exit_code == 0, made.stderr
    assert "by 2 queries a passage" in run(app, ["info", index]).stdout
    shown = run(app, ["search", index, "nocturnal bird"]).stdout
    assert "This is an owl." in shown and "nocturnal" not in shown.replace("nocturnal bird", "")
    recorded = Index.open(index).settings
    assert IndexSettings.from_json(recorded.to_json()) == recorded and recorded.expansion is not None
