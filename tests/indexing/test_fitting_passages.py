"""Passages made to fit the encoder's window, and when documents are split by default."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import HashEncoder
from typer.testing import CliRunner

from leanseek import Chunking, Document, Index, read
from leanseek.cli import app
from leanseek.encode.base import Encoded
from leanseek.errors import UsageError
from leanseek.indexing import Snapshot, describe_index
from leanseek.indexing.settings import IndexSettings
from leanseek.types import Int32Array, content


def tokens(texts: Sequence[str]) -> list[int]:
    """Two characters a token, white space apart: long words have many."""
    return [sum((len(word) + 1) // 2 for word in text.split()) for text in texts]


class PairEncoder(HashEncoder):
    """An encoder that can count: of pairs of characters, 20 at most."""

    name = "pairs"
    max_tokens = 20

    def count_tokens(self, texts: Sequence[str]) -> Int32Array:
        return np.array(tokens(texts), dtype=np.int32)

    def encode_documents(self, texts: Sequence[str]) -> Encoded:
        return super().encode_documents(texts)._replace(tokens=self.count_tokens(texts))


WORDS = st.lists(st.text("abcdefgh", min_size=1, max_size=18), max_size=60)


@given(words=WORDS, title=st.text("abc ", max_size=8))
def test_every_passage_fits_and_nothing_is_left_out(words: list[str], title: str) -> None:
    text = " ".join(words)
    chunks = Chunking(12, 2, tokens, 20).split(text, title)
    covered = np.zeros(len(text), dtype=np.bool_)
    for chunk in chunks:
        assert text[chunk.start :].startswith(chunk.text)
        assert tokens([content(title, chunk.text)])[0] <= 20 or len(chunk.text.split()) == 1
        covered[chunk.start : chunk.start + len(chunk.text)] = True
    assert all(covered[place] or character.isspace() for place, character in enumerate(text))
    assert [chunk.start for chunk in chunks] == sorted(chunk.start for chunk in chunks)


def test_passages_that_fit_already_are_those_of_words_alone() -> None:
    text = "One two three. Four five six seven. Eight nine."
    assert Chunking(5, 2, tokens, 100).split(text) == Chunking(5, 2).split(text)


def passages(path: Path) -> list[tuple[str, str]]:
    snapshot = Snapshot.open(path)
    found = [
        (one.title, one.text) for segment in snapshot.segments for one in segment.passages.get(segment.live)
    ]
    snapshot.close()
    return found


def test_an_index_records_that_passages_fit(tmp_path: Path) -> None:
    index = Index.create(tmp_path / "i", encoder=PairEncoder(), chunk_words="auto")
    assert (index.settings.chunk_words, index.settings.chunk_overlap, index.settings.chunk_tokens) == (
        10,
        2,
        20,
    )
    long = Document("a", "extraordinarily long compoundwords everywhere " * 20, "Title")
    index.add([long], cache=False)
    again = Index.open(tmp_path / "i", encoder=PairEncoder())
    again.add([Document("b", long.text, "Other title")], cache=False)
    assert len(passages(tmp_path / "i")) > 20
    assert max(tokens([content(*passage) for passage in passages(tmp_path / "i")])) <= 20
    assert describe_index(tmp_path / "i").truncation.truncated == 0
    assert IndexSettings.from_json(index.settings.to_json()) == index.settings


def test_a_document_that_did_not_change_is_split_alike_by_a_sync(tmp_path: Path) -> None:
    path = tmp_path / "d" / "a.txt"
    path.parent.mkdir()
    path.write_text("extraordinarily long compoundwords everywhere " * 20)
    encoder = PairEncoder()
    index = Index.create(tmp_path / "i", encoder=encoder, chunk_words="auto")
    index.add(read(path.parent), cache=False)
    encoded = encoder.encoded
    index.add([Document("x", "x")], cache=False)
    index.delete(["a.txt"])
    assert index.sync(path.parent, cache=False).added == 1
    assert encoder.encoded == 2 * encoded + 1
    path.with_name("b.txt").write_text("short")
    path.touch()
    assert (index.sync(path.parent, cache=False).replaced, encoder.encoded) == (0, 2 * encoded + 2)


def test_documents_stay_whole_without_a_window(tmp_path: Path) -> None:
    index = Index.create(tmp_path / "i", encoder=None, chunk_words="auto")
    assert (index.settings.chunk_words, index.settings.chunk_tokens) == (None, None)
    with pytest.raises(UsageError, match="'auto' or None"):
        Index.create(tmp_path / "j", encoder=None, chunk_words="some")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("docs", (), 10),
        ("docs/a.txt", (), 10),
        ("docs", ("--chunk", "none"), None),
        ("docs", ("--chunk", "7", "--overlap", "1"), 7),
        ("rows.csv", (), None),
        ("beir", (), None),
    ],
)
def test_what_is_split_by_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, options: tuple[str, ...], words: int | None
) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "beir").mkdir()
    (tmp_path / "docs" / "a.txt").write_text("one two three " * 20)
    (tmp_path / "rows.csv").write_text("id,text\n1," + "one two three " * 20)
    (tmp_path / "beir" / "corpus.jsonl").write_text(json.dumps({"_id": "1", "text": "one two three " * 20}))
    monkeypatch.setattr("leanseek.indexing.creation.load_encoder", lambda name, device: PairEncoder())
    monkeypatch.setattr("leanseek.encode.prepare_queries", lambda name: True)
    command = ["index", str(tmp_path / name), "--into", str(tmp_path / "i"), "--no-cache", *options]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    assert describe_index(tmp_path / "i").settings.chunk_words == words


@pytest.mark.parametrize(
    "options", [("--chunk", "some"), ("--overlap", "3"), ("--chunk", "auto", "--overlap", "3")]
)
def test_options_of_splitting_that_cannot_be(tmp_path: Path, options: tuple[str, ...]) -> None:
    (tmp_path / "a.txt").write_text("text")
    result = CliRunner().invoke(
        app, ["index", str(tmp_path / "a.txt"), "--into", str(tmp_path / "i"), *options]
    )
    assert result.exit_code == 2 and options[0] in result.stderr
