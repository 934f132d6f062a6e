"""What a decoder looked at, from the re-ranker to the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from rerank.incontext_support import SIZES, passages, tokenizer
from support import COPYING_DECODER, HashEncoder
from typer.testing import CliRunner

from leanseek import Document, Hit, Index, Searcher
from leanseek.cli import app
from leanseek.rerank import InContextReranker
from leanseek.rerank.incontext import AttentionExplanation, TokenAttention
from leanseek.rerank.incontext.explanation import cut_to
from leanseek.types import Explanation, Snippet

MODEL = COPYING_DECODER
QUERY = "fenek"
DOCUMENTS = [
    Document("right", "is new glass old fenek quaha light", "paper box"),
    Document("wrong", "large an over light fenet stygu river", "river"),
    Document("third", "fenek is not in the fenan rhoce stores"),
    Document("other", "old gimek styli from is blue red", "a <b> & c"),
]


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("explained") / "index"
    Index.create(path, encoder=HashEncoder()).add(DOCUMENTS)
    return path


@pytest.fixture(scope="module")
def judge() -> InContextReranker:
    return InContextReranker(MODEL)


def search(index: Path, **options: Any) -> list[Hit]:
    with Searcher.open(index, encoder=HashEncoder(), relevance=None, **options) as searcher:
        return searcher.search(QUERY, 4, explain=True)


def explanation(hit: Hit) -> AttentionExplanation:
    assert isinstance(hit.explanation, AttentionExplanation)
    return hit.explanation


def test_a_search_explains_by_both_stages(index: Path, judge: InContextReranker) -> None:
    plain = search(index)
    before = {hit.id: hit.explanation for hit in plain}
    prompt = plain[::-1]
    texts = [f"{hit.title}\n{hit.text}" if hit.title else hit.text for hit in prompt]
    looked = {
        hit.id: (text, found)
        for hit, text, found in zip(prompt, texts, judge.explain(QUERY, texts), strict=True)
    }
    found = search(index, reranker=judge)
    assert {hit.id for hit in found} == {one.id for one in DOCUMENTS}
    for hit in found:
        said, was = explanation(hit), before[hit.id]
        assert was is not None and (said.sparse, said.dense, said.terms) == (was.sparse, was.dense, was.terms)
        text, expected = looked[hit.id]
        assert hit.score == pytest.approx(expected.score)
        shown = [(hit.title[one.start : one.end], one.attention) for one in said.title]
        shown += [(hit.text[one.start : one.end], one.attention) for one in said.text]
        assert shown == [
            (text[one.start : one.end].strip("\n"), pytest.approx(one.attention))
            for one in expected.tokens
            if text[one.start : one.end] != "\n"
        ]
        best = max(said.text, key=lambda one: one.attention)
        marked = [said.snippet.text[start:end] for start, end in said.snippet.highlights]
        assert hit.text[best.start : best.end].strip() in " ".join(marked)


def test_what_was_looked_at_outlives_the_next_re_ranker(index: Path, judge: InContextReranker) -> None:
    other = InContextReranker(MODEL, "QA")
    found = search(index, reranker=[judge, other], rerank_depth=[4, 2])
    alone = {hit.id: explanation(hit) for hit in search(index, reranker=judge)}
    assert all(explanation(hit) != alone[hit.id] for hit in found[:2])
    assert all(explanation(hit) == alone[hit.id] for hit in found[2:])


def test_hits_that_were_not_read_are_explained_by_the_search(index: Path, judge: InContextReranker) -> None:
    plain = {hit.id: hit.explanation for hit in search(index)}
    [first, second, *rest] = search(index, reranker=judge, rerank_depth=2)
    assert explanation(first).text and explanation(second).text
    assert [hit.explanation for hit in rest] == [plain[hit.id] for hit in rest]
    late = search(index, reranker=judge, rerank_budget=0.0)
    assert {hit.id: hit.explanation for hit in late} == plain
    with Searcher.open(index, encoder=HashEncoder(), relevance=None, reranker=judge) as searcher:
        assert all(hit.explanation is None for hit in searcher.search(QUERY, 4))


def test_tokens_are_cut_to_a_part_of_their_text() -> None:
    tokens = [TokenAttention(0, 4, 0.1), TokenAttention(4, 9, 0.2), TokenAttention(9, 12, 0.3)]
    assert cut_to(tokens, 5, 10) == (TokenAttention(0, 4, 0.2), TokenAttention(4, 5, 0.3))
    assert cut_to(tokens, 4, 4) == () and cut_to([], 0, 9) == ()


def call(*arguments: object) -> Any:
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert done.exit_code == 0, done.output
    return done


def test_the_command_line_shows_it(tmp_path: Path, judge: InContextReranker) -> None:
    corpus = tmp_path / "corpus.jsonl"
    records = [{"_id": one.id, "title": one.title, "text": one.text} for one in DOCUMENTS]
    corpus.write_text("\n".join(map(json.dumps, records)), encoding="utf-8")
    call("index", corpus, "--into", tmp_path / "index", "--dense", "none")
    asked = ("search", tmp_path / "index", QUERY, "--rerank", f"in-context:{MODEL}")
    with Searcher.open(tmp_path / "index", reranker=judge) as searcher:
        hits = searcher.search(QUERY, explain=True)
    told = [json.loads(line) for line in call(*asked, "--explain", "--json").stdout.splitlines()]
    assert [one["id"] for one in told] == [hit.id for hit in hits] and len(hits) == 2
    for one, hit in zip(told, hits, strict=True):
        for field in ("title", "text"):
            tokens = getattr(explanation(hit), field)
            assert one["attention"][field] == [[*token] for token in tokens]
    assert all("attention" not in json.loads(line) for line in call(*asked, "--json").stdout.splitlines())
    best = max(explanation(hits[0]).text, key=lambda token: token.attention)
    line = f"attention: {hits[0].text[best.start : best.end].strip()} ({best.attention:.3g})"
    assert line in call(*asked, "--explain").stdout
    assert "attention:" not in call(*asked).stdout
    assert "attention:" not in call(*asked[:3], "--explain").stdout


def test_a_passage_in_pieces_is_explained_by_its_best_piece() -> None:
    torch.manual_seed(2)
    config = transformers.LlamaConfig(**SIZES | {"max_position_embeddings": 512})
    small = InContextReranker((transformers.LlamaForCausalLM(config).eval(), tokenizer()))
    long = " ".join(passages(40, words=20))
    to_explain = Explanation(None, None, (), Snippet(""))
    given = [
        Hit(rank, f"d{rank}", 1 / rank, title, text, {}, explanation=to_explain)
        for rank, (title, text) in enumerate([("orbit", long), ("", "heart trial"), ("wing", "")], 1)
    ]
    found = {hit.id: hit for hit in small.rerank("statin", given)}
    assert any("in pieces" in note for note in small.notes)
    for hit in found.values():
        for field in ("title", "text"):
            tokens = getattr(explanation(hit), field)
            assert all(0 <= one.start < one.end <= len(getattr(hit, field)) for one in tokens)
    read = explanation(found["d1"])
    covered = read.text[-1].end - read.text[0].start if read.text else 0
    assert 0 < covered < len(long)  # one piece, not all of it
    assert found["d3"].title == "wing" and explanation(found["d3"]).text == ()
