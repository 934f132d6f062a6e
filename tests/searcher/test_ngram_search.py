"""Search by n-grams: of a query's words, and those that a decoder finds in the index."""

from __future__ import annotations

import copy
import math
from pathlib import Path

import pytest
from rerank.incontext_support import decoder, tokenizer
from typer.testing import CliRunner

from leanseek import Index, Searcher
from leanseek.cli import app
from leanseek.decode import Decoder, load_decoder
from leanseek.errors import UsageError
from leanseek.searcher.ngram_search import score_text, weight_of
from leanseek.types import Document

pytest.importorskip("leanseek._ngrams", reason="leanseek._ngrams was not compiled here")

TEXTS = {
    "1": "the statin lowers the cholesterol of mice",
    "2": "cholesterol of the heart",
    "3": "a trial of the statin in mice",
    "4": "the mice of the heart trial",
}


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An index with n-grams of words, and of the tokens of a small decoder that is called tiny."""
    tokenizer().save_pretrained(tmp_path / "tiny")
    monkeypatch.setattr(
        "leanseek.indexing.ngrams.decoder_tokens.decoder_folder", lambda name, progress: tmp_path / name
    )
    with Index.create(tmp_path / "index", encoder=None, ngrams=True, generator="tiny") as made:
        made.add([Document(identifier, text) for identifier, text in TEXTS.items()], background=False)
    return tmp_path / "index"


def tiny() -> Decoder:
    return load_decoder((decoder("Llama"), tokenizer()))


def test_a_weight_is_how_much_more_probable_an_ngram_is_for_the_query() -> None:
    here, there = 0.2, (7 + 5) / (1000 + 5)
    odds = math.log(here / (1 - here)) - math.log(there / (1 - there))
    assert weight_of(math.log(here), 7, 1000, 3) == pytest.approx(odds**2)
    assert weight_of(math.log(here), 7, 1000, 1) == pytest.approx(odds)
    assert weight_of(math.log(here), 7, 1000, 1, math.log(0.1)) == pytest.approx(math.log(0.25 / (0.1 / 0.9)))
    assert weight_of(math.log(here), 7, 1000, 2, math.log(0.3)) == 0.0, (
        "what is always written weighs nothing"
    )
    assert weight_of(math.log(0.001), 700, 1000, 2) == 0.0
    assert math.isfinite(weight_of(0.0, 1000, 1000, 2))


def test_ngrams_count_once_each_where_no_heavier_one_stands_and_less_where_their_tokens_were_seen() -> None:
    weights = {(1, 2): 10.0, (2, 3): 5.0, (1,): 2.0, (9, 9): 1.0}
    assert score_text([1, 2, 3], weights) == 10.0, "what is left overlaps the heaviest"
    assert score_text([1, 2, 1, 2], weights) == pytest.approx(10 + 2 * 0.2)
    assert score_text([1, 2, 2, 3], weights) == pytest.approx(10 + 5 * (0.2 + 0.8 / 2))
    assert score_text([9, 9, 9], weights) == 1.0
    assert score_text([4], weights) == score_text([], weights) == 0.0


def test_the_longest_rare_ngrams_of_the_query_decide(index: Path) -> None:
    with Searcher.open(index, mode="ngram") as searcher:
        answer = searcher.answer("mice of the heart trial")
        assert answer.hits[0].id == "4"
        assert "mice of the heart trial" in [one.text for one in answer.ngrams]
        assert all(one.occurrences > 0 for one in answer.ngrams)
        assert all(one.text not in ("of", "the", "of the") for one in answer.ngrams)
        assert searcher.search("zebra") == []
        assert [hit.id for hit in searcher.search("heart", filter='id = "2"')] == ["2"]


def test_a_decoder_finds_ngrams_that_occur(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # To a decoder that has learned nothing no n-gram is more probable than in the index.
    monkeypatch.setattr(
        "leanseek.searcher.ngram_search.weight_of", lambda log, count, total, length, other: length / count
    )
    with Searcher.open(index, mode="ngram", generator=tiny()) as searcher:
        answer = searcher.answer("which drug helps mice?", 4)
        assert answer.hits
        tokens = searcher.ngrams.tokens
        assert tokens is not None
        for one in answer.ngrams:
            ids = tokenizer()(one.text, add_special_tokens=False)["input_ids"]
            assert one.occurrences == tokens.count(tokens.find(ids)) > 0
        again = searcher.answer("which drug helps mice?", 4)
        assert [(hit.id, hit.score) for hit in again.hits] == [(hit.id, hit.score) for hit in answer.hits]


def test_ngrams_add_their_share_to_the_scores_of_another_mode(index: Path) -> None:
    with Searcher.open(index, mode="sparse") as searcher:
        query = "mice of the heart trial"
        plain = {hit.id: hit.score for hit in searcher.search(query)}
        alone = {hit.id: hit.score for hit in searcher.search(query, mode="ngram")}
        mixed = {hit.id: hit.score for hit in searcher.search(query, ngram_weight=0.2)}
        reach = max(plain.values()) - min(plain.values())
        for identifier, score in plain.items():
            gain = 0.25 * reach * alone.get(identifier, 0.0) / max(alone.values())
            assert mixed[identifier] == pytest.approx(score + gain, rel=1e-5)


def test_a_decoder_of_other_tokens_is_an_error_that_says_what_to_do(index: Path, tmp_path: Path) -> None:
    other = copy.deepcopy(tokenizer())
    other.add_tokens(["zebra"])
    stranger = load_decoder((decoder("Llama"), other))
    with Searcher.open(index, generator=stranger) as searcher:
        assert searcher.search("mice"), "it is not used"
        with pytest.raises(
            UsageError, match=r"n-grams of the tokens of 'tiny'.*--generator tiny.*index again"
        ):
            searcher.search("mice", mode="ngram")
        with pytest.raises(UsageError, match="index again"):
            searcher.search("mice", ngram_weight=0.1)


def test_an_index_of_words_alone_or_without_ngrams_says_so(tmp_path: Path) -> None:
    for name, ngrams, message in (
        ("words", True, "words alone.*--ngrams --generator"),
        ("none", False, "--ngrams"),
    ):
        with Index.create(
            tmp_path / name, encoder=None, ngrams=ngrams, generator="none" if ngrams else None
        ) as made:
            made.add([Document("1", "mice")], background=False)
        with Searcher.open(tmp_path / name, generator=tiny()) as searcher:
            for options in ({"mode": "ngram"}, {"ngram_weight": 0.1}):
                with pytest.raises(UsageError, match=message):
                    searcher.search("mice", **options)


@pytest.mark.parametrize("weight", [-0.1, 1.0, 2.0])
def test_a_weight_out_of_range_is_refused(index: Path, weight: float) -> None:
    with Searcher.open(index) as searcher, pytest.raises(UsageError, match="below 1"):
        searcher.search("mice", ngram_weight=weight)


def test_the_command_line_searches_by_ngrams(tmp_path: Path) -> None:
    source = tmp_path / "docs.jsonl"
    source.write_text(
        '{"id": "1", "text": "heat transfer in slabs"}\n{"id": "2", "text": "transfer of heat"}\n'
    )
    folder, run = str(tmp_path / "made"), CliRunner().invoke
    made = run(
        app, ["index", str(source), "--into", folder, "--dense", "none", "--ngrams", "--generator", "none"]
    )
    assert made.exit_code == 0, made.output
    assert "of words" in run(app, ["info", folder]).output
    found = run(app, ["search", folder, "heat transfer", "--mode", "ngram", "--explain"])
    assert found.exit_code == 0, found.output
    assert "n-grams: heat transfer (1)" in found.output
    assert run(app, ["search", folder, '"heat transfer"', "--json"]).output.count('"id"') == 1
    refused = run(app, ["search", folder, "heat", "--generator", "tiny"])
    assert refused.exit_code == 2
    assert "--mode ngram" in refused.output
