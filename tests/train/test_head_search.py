"""Heads that find what a query asks for, found from examples."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from pytrec_eval import RelevanceEvaluator
from rerank.incontext_support import decoder, passages, slow_scores, tokenizer
from typer.testing import CliRunner

from leanseek.cli import app
from leanseek.errors import InputError, UsageError
from leanseek.rerank import InContextReranker
from leanseek.rerank.incontext import Head, read_heads
from leanseek.train.head_search import Method, Watched, contrast, find_heads, watch
from leanseek.train.prompt_examples import Example, ndcg


def examples(count: int, seed: int = 0) -> list[Example]:
    """Queries that are words of one of their documents."""
    draw = np.random.default_rng(seed)
    made = []
    for number in range(count):
        documents = passages(6, words=8, seed=100 * seed + number)
        place = int(draw.integers(6))
        query = " ".join(draw.choice(documents[place].split(), size=3))
        made.append(Example(query, tuple(documents), tuple(other == place for other in range(6))))
    return made


def test_each_head_is_watched_by_itself() -> None:
    model = decoder("Qwen3")
    (example,) = examples(1)
    (seen,) = watch(InContextReranker((model, tokenizer())).reader, [example])
    assert seen.scores.shape == seen.masses.shape == (12, 6)
    for layer, head in ((0, 0), (1, 3), (2, 1)):
        alone = slow_scores(model, tokenizer(), example.query, example.documents, heads=[(layer, head)])
        np.testing.assert_allclose(seen.scores[layer * 4 + head], alone, rtol=1e-3, atol=1e-7)
    assert (seen.masses >= 0).all() and (seen.masses.sum(axis=1) <= 1).all()


def test_contrast_is_a_softmax_over_one_relevant_document_and_the_others() -> None:
    masses = np.random.default_rng(1).random((5, 7))
    relevant = np.array([False, True, False, False, True, False, False])
    for temperature in (1.0, 0.1, 0.001):
        expected = []
        for place in (1, 4):
            logits = masses[:, [place, 0, 2, 3, 5, 6]].astype(np.longdouble) / temperature
            shares = np.exp(logits - logits.max(axis=1, keepdims=True))
            expected.append(shares[:, 0] / shares.sum(axis=1))
        np.testing.assert_allclose(
            contrast(masses, relevant, temperature), np.mean(expected, axis=0).astype(float), rtol=1e-9
        )


def test_ndcg_is_that_of_pytrec_eval() -> None:
    draw = np.random.default_rng(2)
    for _ in range(20):
        size = int(draw.integers(2, 25))
        scores, relevant = draw.permutation(size * 3)[: size * 3].reshape(3, size), draw.random(size) < 0.3
        relevant[0], relevant[-1] = True, False
        judged = {"q": {f"d{place}": int(grade) for place, grade in enumerate(relevant)}}
        evaluator = RelevanceEvaluator(judged, {"ndcg_cut_10"})
        for row in range(3):
            run = {"q": {f"d{place}": float(scores[row, place]) for place in range(size)}}
            expected = evaluator.evaluate(run)["q"]["ndcg_cut_10"]
            assert ndcg(scores.astype(float), relevant)[row] == pytest.approx(expected)
    assert ndcg(np.zeros((1, 20)), np.arange(20) == 0)[0] == 0  # telling nothing gains nothing


def told(example: Example, reliable: dict[int, float]) -> Watched:
    """Twelve heads that look at random, but for some that look at the relevant document the more reliably."""
    draw = np.random.default_rng(len(example.query))
    relevant = np.array(example.relevant)
    masses = draw.random((12, 6)) * 0.1
    for head, share in reliable.items():
        masses[head, relevant] = 0.2 * share
    return Watched(masses - 0.05, masses, relevant)


@pytest.mark.parametrize("method", ["contrastive", "ndcg", "mass"])
def test_the_heads_kept_are_those_worth_most(method: Method, monkeypatch: pytest.MonkeyPatch) -> None:
    reliable = {7: 1.0, 2: 0.9, 10: 0.8}
    monkeypatch.setattr(
        "leanseek.train.head_search.watch",
        lambda reader, given, progress: [told(one, reliable) for one in given],
    )
    found = find_heads((decoder(), tokenizer()), examples(12), method=method, count=3, seed=5)
    assert set(found.heads.heads) == {Head(1, 3), Head(0, 2), Head(2, 2)}
    assert method == "ndcg" or found.heads.heads[0] == Head(1, 3)
    assert (found.learned_from, found.held_out) == (8, 4)
    assert found.ndcg == 1.0 >= found.ndcg_of_all
    assert found.heads.method == method


def test_the_same_seed_finds_the_same_heads_and_they_fit_the_model() -> None:
    model = (decoder(), tokenizer())
    found = find_heads(model, examples(9), count=3, seed=1)
    assert find_heads(model, examples(9), count=3, seed=1) == found
    InContextReranker(model, heads=found.heads)


def test_bad_examples_and_arguments_are_told() -> None:
    model = (decoder(), tokenizer())
    with pytest.raises(InputError, match="judge more queries"):
        find_heads(model, examples(8))
    with pytest.raises(InputError, match="0 have both"):
        find_heads(model, [Example("q", ("a", "b"), (True, True))] * 20)
    with pytest.raises(UsageError, match="contrastive, ndcg, mass, copy"):
        find_heads(model, examples(9), method="best")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="12"):
        find_heads(model, examples(9), count=13)
    with pytest.raises(UsageError, match="temperature"):
        find_heads(model, examples(9), temperature=0)


def test_examples_too_long_for_the_model_lose_documents_that_are_not_relevant() -> None:
    long = [
        Example("heart", tuple(passages(16, words=60)), tuple(place == 15 for place in range(16)))
        for _ in range(9)
    ]
    found = find_heads((decoder(), tokenizer()), long, count=1)
    assert len(found.heads.heads) == 1
    with pytest.raises(InputError, match="cut them into passages"):
        find_heads(
            (decoder(), tokenizer()), [Example("heart", ("heart trial " * 1500, "y"), (True, False))] * 9
        )


def test_from_the_command_line(tmp_path: Path) -> None:
    decoder().save_pretrained(tmp_path / "model")
    tokenizer(chat=True).save_pretrained(tmp_path / "model")
    made = examples(12, seed=3)
    with (tmp_path / "docs.jsonl").open("w") as docs, (tmp_path / "queries.jsonl").open("w") as queries:
        lines = ["query-id\tcorpus-id\tscore"]
        for number, one in enumerate(made):
            queries.write(json.dumps({"_id": f"q{number}", "text": one.query}) + "\n")
            for place, document in enumerate(one.documents):
                docs.write(json.dumps({"id": f"d{number}-{place}", "text": document}) + "\n")
                if one.relevant[place]:
                    lines.append(f"q{number}\td{number}-{place}\t1")
    (tmp_path / "qrels.tsv").write_text("\n".join(lines) + "\n")
    runner = CliRunner()
    index, out = str(tmp_path / "i"), tmp_path / "heads.json"
    made_index = runner.invoke(
        app, ["index", str(tmp_path / "docs.jsonl"), "--into", index, "--dense", "none"]
    )
    assert made_index.exit_code == 0, made_index.output
    arguments = ["train", "heads", index, "--model", str(tmp_path / "model"), "--heads", "2"]
    arguments += ["--queries", str(tmp_path / "queries.jsonl"), "--qrels", str(tmp_path / "qrels.tsv")]
    arguments += ["--out", str(out), "--documents", "5", "--json"]
    ran = runner.invoke(app, arguments)
    assert ran.exit_code == 0, ran.output
    said = json.loads(ran.stdout.strip().splitlines()[-1])
    listed = read_heads(out)
    assert [f"{layer}-{head}" for layer, head in listed.heads] == said["heads"]
    assert isinstance(listed.heads[0], Head) and listed.model == str(tmp_path / "model")
    InContextReranker(tmp_path / "model", heads=out)
