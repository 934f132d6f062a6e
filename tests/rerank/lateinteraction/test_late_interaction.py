"""Late interaction over bi-encoders: its vectors, its scores, and what is done when time or memory runs out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rerank.late_interaction_support import (
    VOCABULARY,
    WORDS,
    slow_maxsim,
    slowly,
    unit,
    write_biencoder,
)

from leanseek.encode import TruncationReport
from leanseek.encode.batches import Deadline
from leanseek.encode.token_model import TokenVectors
from leanseek.errors import ModelError, UsageError
from leanseek.numbers import zscore
from leanseek.rerank import Interpolated, RerankOptions, load_reranker
from leanseek.rerank.lateinteraction import LateInteractionReranker, Mix, load
from leanseek.rerank.lateinteraction.similarity import maxsim
from leanseek.types import Hit

PASSAGES = [
    "statin trial heart",
    "wing slipstream, boundary layer shock wave.",
    "",
    "statin cholesterol heart trial placebo",
    "library index query term document ranking vector matrix",
    " ".join(WORDS),
]


def hits_of(passages: Sequence[str], title: str = "") -> list[Hit]:
    return [Hit(i, f"d{i}", 1.0 / i, title, text, {}) for i, text in enumerate(passages, 1)]


def ids_of(text: str, max_tokens: int = 64) -> list[int]:
    for mark in ",.":
        text = text.replace(mark, f" {mark} ")
    return [2, *[VOCABULARY[word] for word in text.split()][: max_tokens - 2], 3]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, object]:
    folder = tmp_path_factory.mktemp("biencoder")
    return folder / "model", write_biencoder(folder)


@pytest.mark.parametrize("backend", ["torch", "onnx"])
def test_scores_are_those_of_a_slow_reading_in_float64(tiny: tuple[Path, object], backend: str) -> None:
    folder, transformer = tiny
    reranker = load(RerankOptions(f"{backend}:{folder}", mix=Mix()))
    queries = ["statin heart", "query vector matrix trial"]
    measured = reranker.measure(queries, [hits_of(PASSAGES), hits_of(PASSAGES[:3], title="wing")])
    for query, texts, found in zip(
        queries, [PASSAGES, [f"wing {text}".strip() for text in PASSAGES[:3]]], measured, strict=True
    ):
        states = slowly(transformer, ids_of(query))
        asked, whole = unit(states)[1:-1], unit(states.mean(axis=0))
        for text, tokens, cosine in zip(texts, found.maxsim, found.cosine, strict=True):
            read = slowly(transformer, ids_of(text))
            wanted = slow_maxsim(asked, unit(read)[1:-1]) if text else -1.0
            assert tokens == pytest.approx(wanted, abs=2e-5)
            assert cosine == pytest.approx(whole @ unit(read.mean(axis=0)), abs=2e-5)


def test_a_passage_alone_has_the_score_that_it_has_among_others(tiny: tuple[Path, object]) -> None:
    reranker = load(RerankOptions(f"torch:{tiny[0]}", mix=Mix()))
    [together] = reranker.measure(["statin trial"], [hits_of(PASSAGES)])
    for place, text in enumerate(PASSAGES):
        [alone] = reranker.measure(["statin trial"], [hits_of([text])])
        assert alone.maxsim[0] == pytest.approx(together.maxsim[place], abs=1e-5)


def test_a_passage_too_long_is_cut_and_that_is_said(tiny: tuple[Path, object]) -> None:
    reranker = load(RerankOptions(f"torch:{tiny[0]}", mix=Mix()))
    long, cut = " ".join(WORDS * 4), " ".join((WORDS * 4)[:62])
    found = reranker.rerank("statin", hits_of([long, cut]))
    assert found[0].score == pytest.approx(found[1].score, abs=1e-6)
    assert "1 of 2 passages were longer than the model's 64 tokens" in reranker.notes[0]


@pytest.mark.parametrize("backend", ["torch", "onnx"])
def test_a_query_too_long_is_cut_and_that_is_said(tiny: tuple[Path, object], backend: str) -> None:
    reranker = load(RerankOptions(f"{backend}:{tiny[0]}", mix=Mix()))
    queries = ["heart " * 62, "heart " * 62 + "wing", "  "]
    fits, cut, _ = reranker.measure(queries, [hits_of(PASSAGES)] * 3)
    assert fits.maxsim == pytest.approx(cut.maxsim, abs=1e-5)
    told = "1 query was longer than the model's 64 tokens; what follows these was not read"
    assert reranker.notes == (told,)


def test_a_blank_query_leaves_the_hits_as_they_are(tiny: tuple[Path, object]) -> None:
    reranker = load(RerankOptions(f"torch:{tiny[0]}"))
    hits = hits_of(PASSAGES)
    [blank, asked] = reranker.rerank_batch(["  ", "statin"], [hits, hits])
    assert blank.reached == 0 and [hit.id for hit in blank.hits] == [hit.id for hit in hits]
    assert asked.reached == len(hits)
    assert reranker.rerank("statin", []) == []


def test_the_better_passage_comes_first(tiny: tuple[Path, object]) -> None:
    found = load(RerankOptions(f"torch:{tiny[0]}", mix=Mix())).rerank("wing slipstream", hits_of(PASSAGES))
    assert found[0].text == PASSAGES[1]
    assert found[0].history[0].by == "search" and found[0].history[-1].by.startswith("late-interaction:")


def test_without_a_mix_the_search_counts_too(tiny: tuple[Path, object]) -> None:
    hits = hits_of(PASSAGES)
    search = np.array([hit.score for hit in hits])
    for model in (load(RerankOptions(f"torch:{tiny[0]}")), LateInteractionReranker(Words())):
        texts = hits_of(PASSAGES) if model.name != "late-interaction:words" else hits_of(WORDS[:6])
        [measured] = model.measure(["statin wing"], [texts])
        [judged] = model.judge(["statin wing"], [texts])
        parts = [(0.3, measured.maxsim), (0.1, measured.cosine), (0.6, search)]
        if measured.cosine is None:
            parts = [(0.4, measured.maxsim), (0.6, search)]
        assert judged.scores == pytest.approx(sum(weight * zscore(part) for weight, part in parts))


def test_interpolated_counts_the_search_once(tiny: tuple[Path, object]) -> None:
    hits = hits_of(PASSAGES)
    search = np.array([hit.score for hit in hits])
    default = load(RerankOptions(f"torch:{tiny[0]}"))
    [measured] = default.measure(["statin wing"], [hits])
    assert measured.cosine is not None
    own = load(RerankOptions(f"torch:{tiny[0]}", mix=Mix(maxsim=1, cosine=2, search=3)))
    for reranker, part in (
        (default, measured.maxsim),
        (own, (zscore(measured.maxsim) + 2 * zscore(measured.cosine)) / 3),
        (Interpolated(default), measured.maxsim),
    ):
        [judged] = Interpolated(reranker, 0.4).judge(["statin wing"], [hits])
        assert judged.scores == pytest.approx(0.6 * zscore(search) + 0.4 * zscore(part), abs=1e-6)
    named = load_reranker(f"interpolated:{default.name}")
    assert named.fingerprint == Interpolated(default).fingerprint
    assert named.name == f"interpolated:{default.name}"
    alone = load(RerankOptions(f"torch:{tiny[0]}", mix=Mix(maxsim=1, cosine=1)))
    assert Interpolated(alone).reranker is alone


def test_no_mix_with_a_cosine_that_there_is_not(tiny: tuple[Path, object]) -> None:
    with pytest.raises(UsageError, match="leave the cosine out"):
        LateInteractionReranker(Words(), mix=Mix(cosine=1.0))
    with pytest.raises(UsageError, match="must be 0 or more"):
        Mix(maxsim=0.0, search=1.0)


class Words:
    """A model whose token vectors are one-hot words; it tells its batches, and may run out of memory or time."""

    name = fingerprint = "words"
    whole = False
    passage_tokens = None

    def __init__(self, budget: int = 8, most: int = 1 << 30) -> None:
        self.budget, self.most = budget, most
        self.batches: list[int] = []
        self.clock = self.clock_ahead = 0.0

    def lengths(self, passages: Sequence[str]) -> np.ndarray:
        return np.array([len(text.split()) for text in passages], dtype=np.int32)

    def cut_queries(self, texts: Sequence[str]) -> TruncationReport:
        return TruncationReport.of([len(text.split()) for text in texts], None)

    def queries(self, texts: Sequence[str]) -> TokenVectors:
        eye = np.eye(len(WORDS), dtype=np.float32)
        return TokenVectors([eye[[WORDS.index(word) for word in text.split()]] for text in texts], None)

    def passages(self, texts: Sequence[str]) -> TokenVectors:
        longest = max(1, *self.lengths(texts)) if len(texts) > 1 else max(1, int(self.lengths(texts)[0]))
        if longest * len(texts) > self.most:
            raise RuntimeError("CUDA out of memory")
        self.batches.append(len(texts))
        self.clock += longest * len(texts) + self.clock_ahead
        self.clock_ahead = 0.0
        return self.queries(texts)


def test_a_passage_of_several_queries_is_read_once() -> None:
    model = Words(budget=1000)
    reranker = LateInteractionReranker(model, mix=Mix())
    texts = ["statin heart", "wing", "statin wing orbit"]
    found = reranker.measure(["statin", "wing orbit", "rocket"], [hits_of(texts)] * 3)
    assert model.batches == [3]
    assert [list(one.maxsim) for one in found] == [[1, 0, 1], [0, 0.5, 1], [0, 0, 0]]


def test_batches_are_halved_where_memory_runs_out_and_that_is_said() -> None:
    model = Words(budget=64, most=10)
    reranker = LateInteractionReranker(model, mix=Mix())
    texts = [" ".join(WORDS[i : i + 4]) for i in range(9)]
    assert reranker.rerank("statin", hits_of(texts))[0].text == texts[0]
    assert sum(model.batches) == 9 and max(model.batches) == 2
    assert "memory ran out" in reranker.notes[-1]
    with pytest.raises(ModelError, match="single passage of 12 tokens"):
        reranker.rerank("statin", hits_of([" ".join(WORDS[:12])]))


@pytest.mark.parametrize("seconds", [0.0, 5.0, 20.0, 1000.0])
def test_a_deadline_is_kept_and_the_first_hits_are_judged_first(seconds: float) -> None:
    model = Words(budget=8)
    reranker = LateInteractionReranker(model, mix=Mix())
    texts = [WORDS[i % len(WORDS)] for i in range(20)]
    deadline = Deadline(seconds, clock=lambda: model.clock)
    [found] = reranker.rerank_batch(["statin"], [hits_of(texts)], deadline=deadline)
    assert model.clock <= seconds
    assert found.asked == 20 and sorted(hit.id for hit in found.hits) == sorted(
        f"d{i + 1}" for i in range(20)
    )
    assert found.reached == min(20, seconds)
    if 0 < found.reached < 8:
        judged = [hit for hit in found.hits if hit.history[-1].by == reranker.name]
        assert all(int(hit.id[1:]) <= 8 for hit in judged)


def test_one_slow_moment_does_not_cost_later_queries_their_time() -> None:
    model = Words(budget=8)
    model.clock_ahead = 500.0  # the first batch alone
    reranker = LateInteractionReranker(model, mix=Mix())
    texts = [WORDS[i % len(WORDS)] for i in range(20)]
    reached = []
    for _ in range(3):
        deadline = Deadline(30.0, clock=lambda: model.clock)
        [found] = reranker.rerank_batch(["statin"], [hits_of(texts)], deadline=deadline)
        reached.append(found.reached)
    assert reached == [1, 20, 20]


def test_what_is_always_too_slow_is_tried_with_one_short_piece() -> None:
    model = Words(budget=8)
    reranker = LateInteractionReranker(model, mix=Mix())
    texts = [" ".join(WORDS[:length]) for length in (5, 2, 7)]
    for _ in range(3):
        began = model.clock
        deadline = Deadline(1.0, clock=lambda: model.clock)
        [found] = reranker.rerank_batch(["statin"], [hits_of(texts)], deadline=deadline)
        assert found.reached == 1
    assert model.clock - began == 2


def test_passages_are_measured_only_while_there_is_time() -> None:
    class Slow(Words):
        def lengths(self, passages: Sequence[str]) -> np.ndarray:
            self.clock += 1.0 * len(passages)
            return super().lengths(passages)

        def passages(self, texts: Sequence[str]) -> TokenVectors:
            return self.queries(texts)

    model = Slow()
    reranker = LateInteractionReranker(model, mix=Mix())
    deadline = Deadline(30.0, clock=lambda: model.clock)
    reranker.rerank_batch(
        ["statin"], [hits_of(["wing"] + [f"wing {word}" for word in WORDS] * 9)], deadline=deadline
    )
    assert model.clock <= 30.0 + 1


def test_progress_counts_every_hit() -> None:
    told: list[tuple[int, int | None]] = []
    LateInteractionReranker(Words(), mix=Mix()).rerank_batch(
        ["statin"] * 70,
        [hits_of(["wing", "orbit"])] * 70,
        progress=lambda _, done, of: told.append((done, of)),
    )
    assert told[-1] == (140, 140)
    assert [done for done, _ in told] == sorted(done for done, _ in told)


def test_vectors_that_are_not_finite_are_refused() -> None:
    model = Words()
    model.passages = lambda texts: TokenVectors([np.full((1, 3), np.nan, np.float32) for _ in texts], None)
    with pytest.raises(ModelError, match="not finite"):
        LateInteractionReranker(model).rerank("statin", hits_of(["wing"]))


counts = st.lists(st.integers(1, 5), min_size=1, max_size=4)


@settings(max_examples=60, deadline=None)
@given(counts, st.integers(0, 6), st.integers(0, 2**32 - 1))
def test_maxsim_is_its_definition(lengths: list[int], tokens: int, seed: int) -> None:
    draw = np.random.default_rng(seed)
    queries = [unit(draw.normal(size=(length, 4))).astype(np.float32) for length in lengths]
    passage = unit(draw.normal(size=(tokens, 4))).astype(np.float32)
    wanted = [slow_maxsim(query, passage) if tokens else -1.0 for query in queries]
    found = maxsim(queries, passage)
    assert found == pytest.approx(wanted, abs=1e-6)
    assert (np.abs(found) <= 1 + 1e-6).all()
    if tokens:
        more = np.concatenate([passage, unit(draw.normal(size=(2, 4))).astype(np.float32)])
        assert (maxsim(queries, more) >= found - 1e-6).all()
    assert len(maxsim([], passage)) == 0


values = st.lists(st.floats(-5, 5, width=16), min_size=1, max_size=12)


@settings(max_examples=60, deadline=None)
@given(values, st.floats(0.5, 4), st.floats(-3, 3), st.integers(0, 99))
def test_a_mix_does_not_see_how_its_parts_are_scaled(
    first: list[float], scale: float, shift: float, seed: int
) -> None:
    maxsim_ = np.array(first)
    search = np.random.default_rng(seed).normal(size=len(first))
    mix = Mix(maxsim=1.0, search=3.0)
    found = mix.scores(maxsim_, None, search)
    assert mix.scores(maxsim_ * scale + shift, None, search * 2 - 1) == pytest.approx(found, abs=1e-6)
    wanted = (zscore(maxsim_) + 3 * zscore(search)) / 4
    assert found == pytest.approx(wanted, abs=1e-9)


def test_hits_not_read_stay_without_a_score_in_a_mix() -> None:
    found = Mix(search=1.0).scores(np.array([0.5, np.nan, 0.1]), None, np.array([1.0, 9.0, 2.0]))
    assert np.isnan(found[1]) and found[[0, 2]] == pytest.approx([0, 0], abs=1e-9)
    assert list(Mix().scores(np.array([0.5, 0.1]), None, np.array([1.0, 9.0]))) == [0.5, 0.1]
