"""The learned side of an index: added to, deleted from, merged, verified and opened as the other sides are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support import HashEncoder, HashExpander, make_documents

from leanseek import Document, Index, Searcher
from leanseek.encode.learned_vectors import LearnedCache, LearnedVectors
from leanseek.errors import IndexDamagedError, ModelError, UsageError
from leanseek.indexing import describe_index, intake, verify
from leanseek.indexing.catalog import read_state

QUERIES = ("statin trial", "wing boundary layer", "kinase receptor query")


def searched(path: Path, **options: object) -> list[list[tuple[str, float]]]:
    with Searcher.open(path, encoder=HashEncoder(), learned=HashExpander()) as searcher:
        return [
            [(hit.id, hit.score) for hit in hits]
            for hits in searcher.search_batch(QUERIES, 20, mode="learned", **options)  # type: ignore[arg-type]
        ]


def made(path: Path, documents: list[Document], **options: object) -> Index:
    index = Index.create(path, encoder=HashEncoder(), learned=HashExpander(), **options)  # type: ignore[arg-type]
    index.add(documents)
    return index


def test_searches_are_the_same_after_any_history(tmp_path: Path) -> None:
    documents = make_documents(300)
    made(tmp_path / "whole", documents)
    index = made(tmp_path / "parts", documents[:150])
    for start in range(150, 300, 30):
        index.add(documents[start : start + 30])
    index.add(make_documents(40, 5, prefix="gone"))
    index.delete([f"gone{number}" for number in range(40)])
    index.add([documents[3]], on_duplicate="replace")
    expected = searched(tmp_path / "whole")
    assert searched(tmp_path / "parts") == expected
    assert all(len(hits) == 20 for hits in expected)
    index.close(patience=None)
    index.compact()
    assert searched(tmp_path / "parts") == expected
    assert verify(tmp_path / "parts").sound
    # A score depends on nothing but the passage and the query.
    fewer = searched(tmp_path / "whole", filter="year >= 2000")
    scores = [dict(hits) for hits in expected]
    for hits, known in zip(fewer, scores, strict=True):
        assert hits
        assert all(known.get(identifier, score) == score for identifier, score in hits)


def test_passages_in_several_segments_of_one_add(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    documents = make_documents(120)
    made(tmp_path / "whole", documents)
    monkeypatch.setattr(intake, "BATCH", 20)
    monkeypatch.setattr(intake, "SEGMENT_PASSAGES", 40)
    made(tmp_path / "parts", documents)
    assert len(read_state(tmp_path / "parts").segments) > 1
    assert searched(tmp_path / "parts") == searched(tmp_path / "whole")


def test_what_was_encoded_is_not_encoded_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEANSEEK_CACHE", str(tmp_path / "cache"))
    documents = [Document(f"a{number}", f"statin trial {number}") for number in range(30)]
    expander = HashExpander()
    plain = {"encoder": None, "learned": expander}
    Index.create(tmp_path / "one", **plain).add(documents)  # type: ignore[arg-type]
    seen = expander.encoded
    Index.create(tmp_path / "two", **plain).add(documents)  # type: ignore[arg-type]
    probes = seen - len(documents)  # by which an index's steps are chosen
    assert expander.encoded - seen == probes
    cache = LearnedCache(expander.fingerprint)
    rows = cache.get("document", [document.text for document in documents])
    expected = expander.encode_documents([document.text for document in documents])
    for place, row in enumerate(rows):
        assert row is not None
        assert row.terms.tolist() == expected.row(place).terms.tolist()
        assert row.weights.tobytes() == expected.row(place).weights.tobytes()


def test_what_is_cut_off_is_reported(tmp_path: Path) -> None:
    report = Index.create(tmp_path / "x", encoder=None, learned=HashExpander()).add(
        [Document("a", "wing " * 9), Document("b", "wing")]
    )
    assert report.learned_truncation is not None
    assert (report.learned_truncation.truncated, report.learned_truncation.tokens_lost) == (1, 3)


def test_info_counts_the_side(tmp_path: Path) -> None:
    index = made(tmp_path / "x", make_documents(50), learned_terms=4)
    found = describe_index(index.path)
    assert found.settings.learned is not None and found.settings.learned.terms == 4
    assert found.learned_bytes > 0
    everything = sum(file.size for segment in read_state(index.path).segments for file in segment.files)
    assert found.total_bytes == everything


def test_damage_is_found(tmp_path: Path) -> None:
    index = made(tmp_path / "x", make_documents(50))
    [file] = (index.path / "segments").glob("*/learned/learned.arrays")
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    assert any("learned.arrays" in problem for problem in verify(index.path).problems)
    file.write_bytes(content[:-8])
    with pytest.raises(IndexDamagedError, match=r"learned\.arrays"):
        Searcher.open(index.path)


def test_another_encoder_is_refused_by_name(tmp_path: Path) -> None:
    class Other(HashExpander):
        name = "other"
        fingerprint = "0" * 64
        vocabulary = 7

    index = made(tmp_path / "x", make_documents(5))
    with pytest.raises(ModelError, match=r"'other' .* vocabulary of 7 terms instead of .*test-hash-expander"):
        Index.open(index.path, learned=Other())
    with pytest.raises(ModelError, match="index again"):
        Searcher.open(index.path, learned=Other())
    Index.create(tmp_path / "plain", encoder=None)
    with pytest.raises(UsageError, match="no learned side"):
        Index.open(tmp_path / "plain", learned=HashExpander())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"learned": HashExpander(), "sparse": None}, "beside BM25, not in its place"),
        ({"learned_terms": 5}, "learned_terms goes with a learned side"),
        ({"learned": HashExpander(), "learned_terms": 0}, "at least 1"),
        ({"learned": "bert"}, "'bert' is no learned sparse encoder; give splade:MODEL"),
        ({"learned": "splade:"}, "splade:MODEL"),
    ],
)
def test_what_cannot_be_made_is_refused(options: dict[str, object], message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message):
        Index.create(tmp_path / "x", encoder=HashEncoder(), **options)  # type: ignore[arg-type]
    assert not (tmp_path / "x").exists()


def test_an_encoder_without_weights_is_refused(tmp_path: Path) -> None:
    class Mute(HashExpander):
        def encode_queries(self, texts: object) -> LearnedVectors:
            return LearnedVectors.of([])

    class Broken(HashExpander):
        def encode_queries(self, texts: list[str]) -> LearnedVectors:  # type: ignore[override]
            found = super().encode_queries(texts)
            return found._replace(weights=np.full_like(found.weights, np.nan))

    for encoder, message in ((Mute(), "no weights"), (Broken(), "NaN")):
        with pytest.raises(ModelError, match=message):
            Index.create(tmp_path / "x", encoder=None, learned=encoder)
