"""What fits into the context is read as published; what does not in windows, in pieces or cut, never beyond it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from rerank.incontext_support import SIZES, configuration, decoder, passages, slow_scores, tokenizer
from support import COPYING_DECODER, HashEncoder
from typer.testing import CliRunner

from leanseek import Document, Index
from leanseek.cli import app
from leanseek.errors import UsageError
from leanseek.rerank import InContextReranker
from leanseek.rerank.incontext import reader as reading
from leanseek.rerank.incontext.listing import in_pieces, sliding

QUERY = "does a statin lower cholesterol?"


def reranker(tokens: int | None = None, family: str = "Llama", **options: Any) -> InContextReranker:
    """The tiny decoder, or one that reads so many tokens."""
    model = decoder(family)
    if tokens is not None:
        more = {"max_position_embeddings": tokens}
        config = configuration("GPT2") if family == "GPT2" else transformers.LlamaConfig(**SIZES | more)
        config.max_position_embeddings = tokens
        torch.manual_seed(2)
        model = transformers.AutoModelForCausalLM.from_config(config).eval()
    return InContextReranker((model, tokenizer()), prompt_prefix="", prompt_suffix="", **options)


def lengths(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The lengths of the prompts that will be read."""
    seen: list[int] = []
    real = reading.check_length

    def watching(found: dict[int, int], context: int | None) -> None:
        real(found, context)
        seen.extend(found.values())

    monkeypatch.setattr(reading, "check_length", watching)
    return seen


def test_a_long_passage_that_fits_beside_the_others_gets_the_published_score() -> None:
    documents = [*passages(2), passages(1, words=500)[0]]
    judge = reranker()
    assert len(tokenizer()(documents[2])["input_ids"]) > 1024  # more than half of the context
    found = judge.score(QUERY, documents)
    assert found == pytest.approx(slow_scores(decoder(), tokenizer(), QUERY, documents), rel=1e-3)
    assert judge.notes == ()


def test_a_prompt_as_long_as_the_context_is_read_whole_and_one_a_token_longer_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    documents = passages(12, words=10)
    seen = lengths(monkeypatch)
    expected = reranker().score(QUERY, documents)
    (length,) = set(seen)
    exact, short = (reranker(), reranker())
    for judge, context in ((exact, length), (short, length - 1)):
        monkeypatch.setattr(type(judge._decoder), "context", property(lambda _, context=context: context))
        seen.clear()
        scores = judge.score(QUERY, documents)
        assert max(seen) <= context
        assert (scores == pytest.approx(expected, rel=1e-6)) == (judge is exact)
        assert bool(judge.notes) == (judge is short)


@pytest.mark.parametrize("apart", [None, 0])
@pytest.mark.parametrize(
    "documents",
    [
        passages(1, words=900),
        passages(80),
        ["é中" * 400, "𝄞" * 300, "x1y2z3" * 150],
        [" " * 1500, "heart", "\n \t" * 700],
        [" \n" * 900],
        ["a  \n\n" * 60, "- [1] \n" * 90] * 3,
    ],
)
def test_no_prompt_is_longer_than_the_context(
    documents: list[str], apart: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Positions that are learned end with the context: beyond it this model has none."""
    seen = lengths(monkeypatch)
    scores = reranker(512, "GPT2", block_memory=apart).score(QUERY, documents)
    assert len(scores) == len(documents) and np.isfinite(scores).all()
    assert apart == 0 or max(seen) <= 512


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(st.sampled_from("aé中𝄞 \n1"), max_size=120), max_size=5), st.integers(14, 40))
def test_pieces_have_the_sizes_they_tell(documents: list[str], room: int) -> None:
    pieces = in_pieces(tokenizer(), documents, "\n\n", room)
    for piece in pieces:
        text = f"\n\n[{len(documents)}] {piece.text}"
        assert piece.tokens == len(tokenizer()(text, add_special_tokens=False)["input_ids"]) <= room
    for owner, document in enumerate(documents):
        own = [piece for piece in pieces if piece.owner == owner]
        assert own
        covered = {place for one in own for place in range(one.start, one.start + len(one.text))}
        assert not "".join(char for place, char in enumerate(document) if place not in covered).strip()


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 60), st.integers(2, 12), st.integers(2, 30), st.data())
def test_windows_overlap_where_fewer_fit_than_asked(
    count: int, fit: int, window: int, data: st.DataObject
) -> None:
    """So the relevant document rises to the top from wherever it stood."""
    stride = data.draw(st.integers(1, window - 1))
    relevant = data.draw(st.integers(0, count - 1))
    steps = sliding([100] * count, 100 * fit + 50, window, stride)
    inside = next(steps)
    try:
        while True:
            before = inside
            inside = steps.send([10.0 if place == relevant else 1.0 for place in inside])
            assert len(before) == min(fit, window) and set(before) & set(inside)
            if fit >= window:
                assert len(set(inside) - set(before)) <= stride
    except StopIteration as end:
        assert end.value.argmax() == relevant


@pytest.mark.parametrize(
    ("fit", "window", "stride", "moves"),
    [(8, 8, 4, 4), (4, 8, 4, 2), (4, 8, 2, 1), (6, 8, 4, 3), (2, 8, 7, 1), (5, 8, None, 2)],
)
def test_a_smaller_window_moves_in_proportion(fit: int, window: int, stride: int | None, moves: int) -> None:
    steps = sliding([100] * 20, 100 * fit + 50, window, stride)
    first = next(steps)
    second = steps.send([float(place) for place in first])
    assert first == list(range(fit)) and second[-1] == fit + moves - 1


def test_windows_smaller_than_asked_are_said() -> None:
    documents = passages(30, words=20)
    judge = reranker(512, window=20, stride=10)
    judge.score(QUERY, documents)
    assert judge.notes == ("fewer than 20 documents fit into one prompt, so the windows were smaller",)
    judge = reranker(window=20, stride=10)
    judge.score(QUERY, documents)
    assert judge.notes == ()


def test_a_query_too_long_is_cut_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = lengths(monkeypatch)
    judge = reranker(256)
    scores = judge.score("statin " * 300, ["heart trial", "index"])
    assert len(scores) == 2 and max(seen) <= 256
    assert judge.notes == ("queries too long for the model's context of 256 tokens were cut",)
    assert scores == judge.score("statin " * 400, ["heart trial", "index"])  # the beginning counts
    assert judge.score("statin " * 300, []) == []
    with pytest.raises(UsageError, match="the instruction alone"):
        reranker(48).score("statin", ["heart"])


def test_a_long_query_that_fits_beside_the_documents_is_not_cut() -> None:
    documents, query = passages(3), passages(1, words=650)[0]
    judge = reranker()
    expected = slow_scores(decoder(), tokenizer(), query, documents)
    assert judge.score(query, documents) == pytest.approx(expected, rel=1e-3)
    assert judge.notes == ()


def test_characters_that_no_encoding_holds_are_read_as_question_marks() -> None:
    found = reranker().score("\ud800 heart", ["a \udfff b", "c"])
    assert found == reranker().score("? heart", ["a ? b", "c"])


def test_one_long_query_does_not_end_a_run(tmp_path: Path) -> None:
    texts = passages(5, words=8)
    documents = [Document(f"d{number}", text) for number, text in enumerate(texts)]
    Index.create(tmp_path / "index", encoder=HashEncoder(), dense="none").add(documents)
    queries = [{"_id": "short", "text": texts[0]}, {"_id": "long", "text": f"{texts[1]} " * 400}]
    (tmp_path / "queries.jsonl").write_text("\n".join(map(json.dumps, queries)))
    out = tmp_path / "run.trec"
    arguments = ["run", tmp_path / "index", tmp_path / "queries.jsonl", "--out", out]
    arguments += ["--rerank", f"in-context:{COPYING_DECODER}"]
    ran = CliRunner().invoke(app, [str(one) for one in arguments])
    assert ran.exit_code == 0, ran.output
    assert {line.split()[0] for line in out.read_text().splitlines()} == {"short", "long"}
