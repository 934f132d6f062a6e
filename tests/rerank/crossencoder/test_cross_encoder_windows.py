"""Passages longer than the model reads: windows, what counts of them, extracts, and that nothing is cut silently."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rerank.cross_encoder_support import CountingModel, build_model, hits_of, texts

from leanseek.encode.batches import Deadline
from leanseek.encode.tokenizer import TextTokenizer, Tokens
from leanseek.rerank.crossencoder import CrossEncoderReranker
from leanseek.rerank.crossencoder.extracts import FLOOR, Extractor, select, term_weights
from leanseek.rerank.crossencoder.windows import combine, spans
from leanseek.types import Float64Array, Hit

pytest.importorskip("torch")


@pytest.fixture(scope="module")
def definition(tmp_path_factory: pytest.TempPathFactory) -> str:
    return (build_model(tmp_path_factory.mktemp("model")) / "tokenizer.json").read_text()


@given(query=st.integers(0, 300), passage=st.integers(0, 3000), room=st.integers(2, 512))
def test_windows_cover_the_passage_and_fit(query: int, passage: int, room: int) -> None:
    found = spans(query, passage, room)
    assert all(span.query + span.end - span.start <= room for span in found)
    if query + passage <= room:
        assert found == [(query, 0, passage)]
        return
    assert found[0].start == 0 and found[-1].end == passage
    assert len({span.query for span in found}) == 1
    assert found[0].query >= min(query, room // 2)
    for before, after in pairwise(found):
        assert before.start < after.start <= before.end
        if room - found[0].query >= 4:
            assert before.end - after.start >= (room - found[0].query) // 4 - 1
    assert spans(query, passage, room, first=True) == found[:1]
    assert spans(query, passage, None) == [(query, 0, passage)]


def test_windows_worked_out_by_hand() -> None:
    assert spans(4, 30, 24) == [(4, 0, 20), (4, 10, 30)]
    assert spans(4, 36, 24) == [(4, 0, 20), (4, 8, 28), (4, 16, 36)]
    assert spans(20, 10, 24) == [(14, 0, 10)]
    assert spans(20, 40, 24, first=True) == [(12, 0, 12)]


def test_what_counts_of_windows() -> None:
    scores = np.array([1.0, 5.0, 3.0])
    assert combine(scores, "maxp") == 5.0
    assert combine(scores, "top2") == 4.0
    assert combine(scores[:1], "top2") == combine(scores[:1], "firstp") == 1.0


def by_hand(model: CountingModel, query: str, passage: str, long: str) -> float:
    tokenizer = TextTokenizer(model.definition, None, special=False)
    [q, p] = tokenizer([query, passage]).ids
    room = 64 - 3
    scores = [
        float(model.logits([model.layout.join(q[: span.query], p[span.start : span.end])])[0])
        for span in spans(len(q), len(p), room)
    ]
    if long == "firstp":
        return scores[0]
    return max(scores) if long == "maxp" else sum(sorted(scores)[-2:]) / min(2, len(scores))


@pytest.mark.parametrize("long", ["maxp", "firstp", "top2"])
def test_long_passages_count_as_said(long: str, definition: str) -> None:
    passages = texts(12, 300)
    model = CountingModel(definition)
    reranker = CrossEncoderReranker(model, long=long, cache=False)
    [judged] = reranker.judge(["what is a statin"], [hits_of(passages)])
    wanted = [by_hand(model, "what is a statin", passage, long) for passage in passages]
    assert np.allclose(judged.scores, wanted, atol=1e-5)
    lengths = TextTokenizer(definition, None, special=False)(passages).lengths
    assert reranker.report.passages == 12
    assert reranker.report.long == int((lengths > 61 - 4).sum()) > 0
    assert reranker.report.tokens == int(lengths.sum())
    lost = int(np.maximum(lengths - 57, 0).sum()) if long == "firstp" else 0
    assert reranker.report.tokens - reranker.report.read == lost
    [note] = reranker.notes
    assert (f"{lost:,} of {lengths.sum():,} tokens were not read" in note) == (long == "firstp")


def test_a_query_that_leaves_no_room_is_cut_and_told(definition: str) -> None:
    model = CountingModel(definition)
    reranker = CrossEncoderReranker(model, cache=False)
    reranker.judge([" ".join(["statin"] * 200), "glucose"], [hits_of(texts(3, 100)), hits_of(["heart"])])
    assert "1 query was cut" in reranker.notes[-1]
    assert max(max(batch) for batch in model.batches) <= 64


def test_a_model_without_limit_reads_all(definition: str) -> None:
    model = CountingModel(definition, max_tokens=None)
    reranker = CrossEncoderReranker(model, cache=False)
    reranker.judge(["glucose"], [hits_of([" ".join(["heart"] * 900)])])
    assert model.batches == [[904]] and reranker.notes == ()


def test_the_choice_of_sentences_worked_out_by_hand() -> None:
    sentences = [frozenset("ab"), frozenset("abc"), frozenset("c"), frozenset("d"), frozenset()]
    weights = {"a": 2.0, "b": 1.0, "c": 1.5, "d": 1.0}
    # abc: 4.5; then a, b, c count half: ab 1.5, d 1.0, c .75; then ab counts a fourth.
    assert select(sentences, [5] * 5, weights, 5) == [1]
    assert select(sentences, [5] * 5, weights, 10) == [0, 1]
    assert select(sentences, [5] * 5, weights, 15) == [0, 1, 3]
    assert select(sentences, [5, 50, 5, 5, 5], weights, 10) == [0, 2]
    assert select(sentences, [50, 60, 70, 80, 90], weights, 10) == [1]
    assert select(sentences, [5] * 5, weights, 10, kept=[4]) == [1, 4]
    assert select(sentences, [50, 60, 70, 80, 9], weights, 10, kept=[4]) == [1, 4]
    assert select(sentences, [5] * 5, {}, 10) == [0, 1]
    assert select([], [], weights, 10) == []
    # Nearness is added and stays: abc 4.5, ab 3.9; then d 3.0, the last 2.5, ab 2.4.
    near = np.array([0.9, 0.0, 0.0, 2.0, 2.5])
    assert select(sentences, [5] * 5, weights, 5, near=near) == [1]
    assert select(sentences, [5] * 5, weights, 15, near=near) == [1, 3, 4]
    assert select(sentences, [5] * 5, {}, 10, near=near) == [3, 4]
    assert select(sentences, [5] * 5, weights, 5, near=near + 1.7 * (near == 0.9)) == [0]


def test_terms_weigh_by_how_many_candidates_have_them() -> None:
    weights = term_weights(["a", "b"], [frozenset("a"), frozenset("ab"), frozenset("a")])
    assert weights == {"a": math.log(1 + 0.5 / 3.5), "b": math.log(1 + 2.5 / 1.5)}


def test_extracts_keep_the_title_and_the_answer_in_a_third_of_the_tokens(definition: str) -> None:
    filler = ["Wing and shock wave of the boundary layer."] * 40
    filler[31] = "The statin is compared with placebo in a trial."
    hit = Hit(1, "d", 1.0, "Library index", " ".join(filler), {})
    tokenizer = TextTokenizer(definition, None, special=False)
    [[placed]] = Extractor(tokenizer, "english").rounds(["statin against placebo"], [[hit]], None)
    extract = placed.extract
    assert extract.text.startswith("Library index Wing and shock")
    assert "statin is compared with placebo" in extract.text
    [length, whole] = tokenizer([extract.text, hit.text]).lengths
    assert length <= extract.tokens / 3 and extract.tokens >= whole
    assert extract.kept == length


class Nearest:
    """The similarity of a sentence is how often it has a word, which need not be the query's."""

    fingerprint = "nearest"

    def __init__(self, word: str) -> None:
        self.word = word
        self.asked: list[tuple[str, list[str]]] = []

    def __call__(
        self, query: str, hits: Sequence[Hit], sentences: Sequence[Sequence[tuple[int, int]]]
    ) -> list[Float64Array]:
        self.asked.append((query, [hit.id for hit in hits]))
        return [
            np.array([float(hit.text[start:end].count(self.word)) for start, end in some])
            for hit, some in zip(hits, sentences, strict=True)
        ]


def test_what_is_near_without_the_querys_words_is_extracted(definition: str) -> None:
    filler = ["Wing and shock wave of the boundary layer."] * 40
    filler[31] = "The drug is compared with placebo in a trial."
    long = Hit(1, "long", 1.0, "Library index", " ".join(filler), {})
    short = Hit(2, "short", 1.0, "Library index", filler[31], {})
    tokenizer = TextTokenizer(definition, None, special=False)
    by_words = Extractor(tokenizer, "english")
    nearest = Nearest("placebo")
    by_both = Extractor(tokenizer, "english", nearest)  # type: ignore[arg-type]
    texts_of = {}
    for name, extractor in (("words", by_words), ("both", by_both)):
        [round_] = extractor.rounds(["statin"], [[long, short]], None)
        texts_of[name] = [placed.extract.text for placed in round_]
    assert "placebo" not in texts_of["words"][0] and "placebo" in texts_of["both"][0]
    assert texts_of["both"][0].startswith("Library index") and texts_of["words"][1] == texts_of["both"][1]
    assert nearest.asked == [("statin", ["long"])]


def test_a_query_of_common_words_is_asked_for_nearness_too(definition: str) -> None:
    tokenizer = TextTokenizer(definition, None, special=False)
    text = " ".join([*["Wing and shock wave."] * 40, "The heart is placebo."])
    for query in ("the", "wing", ""):
        [[placed]] = Extractor(tokenizer, "english", Nearest("placebo")).rounds(
            [query], [hits_of([text])], None
        )  # type: ignore[arg-type]
        assert "placebo" in placed.extract.text


def test_short_passages_are_extracted_whole_and_something_is_read_of_every_one(definition: str) -> None:
    tokenizer = TextTokenizer(definition, None, special=False)
    short, none = hits_of([" ".join(["Heart."] * (FLOOR // 2 - 1)), ""], title="Statin trial")
    endless = Hit(1, "d", 1.0, "Statin trial", " ".join(["zzzz"] * 192), {})
    [round_] = Extractor(tokenizer, "english").rounds(["heart"], [[short, none, endless]], 101)
    extracts = [extract for _, _, extract in round_]
    assert extracts[0] == (f"Statin trial {short.text}", FLOOR, FLOOR)
    assert extracts[1] == ("Statin trial", 2, 2)
    assert extracts[2].text == "Statin trial" + " zzzz" * 24 and extracts[2].tokens == 770


def test_extracting_is_an_option_of_the_re_ranker_and_told(definition: str, tmp_path: Path) -> None:
    model = CountingModel(definition)
    reranker = CrossEncoderReranker(model, long="extract", cache=False)
    passages = [". ".join(texts(20, 8, seed)) for seed in range(4)]
    [judged] = reranker.judge(["glucose and insulin"], [hits_of(passages)])
    assert np.isfinite(judged.scores).all()
    assert reranker.report.long == 4 and reranker.report.read <= max(reranker.report.tokens / 3, 4 * FLOOR)
    assert "sentences nearest the query" in reranker.notes[0]


def test_an_extract_is_never_longer_than_what_is_read_or_that_is_told(definition: str) -> None:
    tokenizer = TextTokenizer(definition, None, special=False)
    passages = hits_of([" ".join(["statin"] * 60), " ".join(["zzzz"] * 24), " ".join(["Heart."] * 28)])
    [round_] = Extractor(tokenizer, "english").rounds(["heart " * 8], [passages], 61)
    kept = [(extract.kept, extract.tokens) for _, _, extract in round_]
    assert kept == [(48, 60), (53, 96), (52, 56)]
    model = CountingModel(definition)
    reranker = CrossEncoderReranker(model, long="extract", cache=False)
    reranker.judge(["heart " * 8], [passages[:1]])
    assert max(max(batch) for batch in model.batches) <= 64
    assert reranker.notes == (
        "of 1 of 1 passages the sentences nearest the query were read: 12 of 60 tokens were not read",
    )


def test_extracts_under_a_deadline_are_those_without_and_stop_with_it(definition: str) -> None:
    tokenizer = TextTokenizer(definition, None, special=False)
    hits = [hits_of([". ".join(texts(20, 8, seed + 50 * row)) for seed in range(20)]) for row in range(2)]
    extractor = Extractor(tokenizer, "english")
    [wanted] = extractor.rounds(["statin", "wing"], hits, 61)
    rounds = list(extractor.rounds(["statin", "wing"], hits, 61, Deadline(60.0)))
    assert [len(one) for one in rounds] == [16, 16, 8]
    assert sorted((one for some in rounds for one in some), key=lambda one: (one.row, one.column)) == wanted
    for looks in range(6):
        ticks = iter([0.0, *[0.0] * looks, *[2.0] * 99])
        found = list(extractor.rounds(["statin", "wing"], hits, 61, Deadline(1.0, lambda: next(ticks))))  # noqa: B023
        assert found == []


def test_long_texts_are_read_only_while_there_is_time(definition: str) -> None:
    class Slow(TextTokenizer):
        seconds = 0.0

        def __call__(self, given_: Sequence[str]) -> Tokens:
            self.seconds += len(given_)
            return super().__call__(given_)

    hits = hits_of([f"{n} " + " ".join(texts(10, 30, n)) for n in range(100)])
    for long, reached, read in (("maxp", 24, 32), ("extract", 0, 50)):
        model = CountingModel(definition)
        reranker = CrossEncoderReranker(model, long=long, cache=False)
        slow = Slow(definition, None, special=False)
        reranker._tokenizer = slow
        reranker._extractor = Extractor(slow, "english") if long == "extract" else None
        clock = functools.partial(getattr, slow, "seconds")
        [found] = reranker.rerank_batch(["statin"], [hits], deadline=Deadline(30.0, clock))
        assert found.reached == reached and slow.seconds <= read
