"""Documents of other packages put into a better order and shortened, by themselves and through each adapter."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest
from rerank.late_interaction_support import write_biencoder

from leanseek.errors import UsageError
from leanseek.integrations.refinement import Refinement, shown
from leanseek.rerank import ByScore, Judged
from leanseek.rerank.lateinteraction.sentence_similarity import load_similarity
from leanseek.text.sentences import split_sentences
from leanseek.types import Hit

pytest.importorskip("sentence_transformers", reason="needs leanseek[encode]")

QUERY = "statin trial against placebo"
TEXT = "Wing and shock wave. A statin was compared with placebo in a trial. Orbit of a rocket. The heart."
OTHER = "Library index of a term."


class ByLength(ByScore):
    """Shorter texts first."""

    name = fingerprint = "by-length"
    notes = ()

    def judge(self, queries: Any, hits: Any, *, progress: Any = None, deadline: Any = None) -> list[Judged]:
        return [Judged(np.array([-float(len(hit.text)) for hit in one])) for one in hits]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("tiny")
    write_biencoder(folder)
    return f"torch:{folder / 'model'}"


def test_of_a_document_the_nearest_sentences_are_kept(encoder: str) -> None:
    [long, short] = Refinement(None, compress=0.4, encoder=encoder)(QUERY, [("", TEXT), ("Heart", OTHER)])
    [near] = load_similarity(encoder)(QUERY, [Hit(1, "d", 0.0, "", TEXT, {})], [split_sentences(TEXT)])
    start, end = split_sentences(TEXT)[int(np.argmax(near - 0.04 * np.log1p(np.arange(4))))]
    assert any(first <= start and end <= last for first, last in long.said["kept"])
    assert len(long.text.split()) < 0.7 * len(TEXT.split())
    assert [TEXT[start:end] for start, end in long.said["kept"]] == [
        part.strip() for part in long.text.split("…") if part.strip()
    ]
    assert short.text == OTHER and short.said["kept"] == [[0, len(OTHER)]]
    assert (long.place, short.place) == (0, 1) and long.score is short.score is None


def test_all_that_is_kept_is_the_text_itself(encoder: str) -> None:
    [one] = Refinement(None, compress=1, encoder="no such model")(QUERY, [("", TEXT)])
    assert one.text == TEXT and one.said["kept"] == [[0, len(TEXT)]]
    assert shown("a b  c d ", [(0, 3), (5, 8)]) == "a b  c d"
    assert shown("a b. c d. e", [(0, 4), (10, 11)]) == "a b. … e"
    assert shown("a b. c d. e", [(5, 9)]) == "c d. …"
    assert Refinement(None, compress=0.5, encoder=encoder)(QUERY, []) == []


def test_there_is_something_to_do() -> None:
    with pytest.raises(UsageError, match="nothing to do"):
        Refinement(None)
    for share in (0, 1.5, True):
        with pytest.raises(UsageError, match="compress"):
            Refinement(None, compress=share)


def check(texts: list[str], kept: list[Any], scores: list[float]) -> None:
    """What each adapter makes of `OTHER` and `TEXT`, by length and shortened."""
    assert scores == [-len(OTHER), -len(TEXT)] and texts[0] == OTHER and kept[0] == [[0, len(OTHER)]]
    assert texts[1] == shown(TEXT, kept[1]) != TEXT


def test_through_langchain(encoder: str) -> None:
    pytest.importorskip("langchain_core", reason="needs leanseek[langchain]")
    from langchain_core.documents import Document

    from leanseek.integrations.langchain import LeanseekCompressor

    given = [Document(page_content=text, metadata={"leanseek": {"start": 7}}) for text in (TEXT, OTHER)]
    compressor = LeanseekCompressor(reranker=ByLength(), compress=0.4, encoder=encoder)
    found = compressor.compress_documents(given, QUERY)
    check(
        [one.page_content for one in found],
        [one.metadata["leanseek"]["kept"] for one in found],
        [one.metadata["relevance_score"] for one in found],
    )
    assert found[0].metadata["leanseek"]["start"] == 7 and given[0].page_content == TEXT
    assert asyncio.run(compressor.acompress_documents(given, QUERY)) == found
    alone = LeanseekCompressor(reranker=None, top_n=1, compress=0.4, encoder=encoder)
    [first] = alone.compress_documents(given, QUERY)
    assert first.page_content == found[1].page_content and "relevance_score" not in first.metadata
    with pytest.raises(ValueError, match="nothing to do"):
        LeanseekCompressor(reranker=None)


def test_through_llamaindex(encoder: str) -> None:
    pytest.importorskip("llama_index.core", reason="needs leanseek[llamaindex]")
    from llama_index.core.schema import NodeWithScore, TextNode

    from leanseek.integrations.llamaindex import LeanseekPostprocessor

    given = [NodeWithScore(node=TextNode(text=text), score=0.5) for text in (TEXT, OTHER)]
    found = LeanseekPostprocessor(reranker=ByLength(), compress=0.4, encoder=encoder).postprocess_nodes(
        given, query_str=QUERY
    )
    check(
        [one.text for one in found],
        [one.metadata["leanseek"]["kept"] for one in found],
        [one.score or 0.0 for one in found],
    )
    alone = LeanseekPostprocessor(reranker=None, compress=0.4, encoder=encoder)
    [first, _] = alone.postprocess_nodes(given, query_str=QUERY)
    assert first.text == found[1].text and first.score == 0.5 and given[0].text == TEXT


def test_through_haystack(encoder: str) -> None:
    pytest.importorskip("haystack", reason="needs leanseek[haystack]")
    from haystack import Document

    from leanseek.integrations.haystack import LeanseekRanker

    given = [Document(content=text, score=0.5) for text in (TEXT, OTHER)]
    found = LeanseekRanker(ByLength(), compress=0.4, encoder=encoder).run(QUERY, given)["documents"]
    check(
        [one.content for one in found],
        [one.meta["leanseek"]["kept"] for one in found],
        [one.score for one in found],
    )
    alone = LeanseekRanker(None, compress=0.4, encoder=encoder)
    [first, blob] = alone.run(QUERY, [given[0], Document(content=None)])["documents"]
    assert first.content == found[1].content and first.id == given[0].id and first.score == 0.5
    assert blob.content is None and alone.to_dict()["init_parameters"]["compress"] == 0.4
    with pytest.raises(UsageError, match="compress"):
        LeanseekRanker(compress=2)
