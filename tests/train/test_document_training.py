"""Training a document encoder: what is learned from, the losses by hand, and going on after an interruption."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import HashEncoder
from typer.testing import CliRunner

from leanseek import Document, Index, Searcher
from leanseek.cli import app
from leanseek.errors import InputError, ModelError, UsageError
from leanseek.train import DocumentRecipe, document_training, plan_documents, train_documents
from leanseek.train.document_training import SEPARATOR, split_pairs

pytest.importorskip("accelerate")
torch = pytest.importorskip("torch")

from safetensors.numpy import load_file  # noqa: E402
from sentence_transformers import SentenceTransformer  # noqa: E402

from leanseek.encode.document_transformer import DocumentTransformer  # noqa: E402
from leanseek.train.document_losses import Blocks, MaskedBlocks, SimilarDocuments  # noqa: E402

TOPICS = 12
SMALL = DocumentRecipe(
    layers=1, width=16, epochs=2, pair_epochs=1, batch=16, learning_rate=3e-3, max_tokens=16
)
"""Blocks of twelve words."""


def documents(count: int = 130, blocks: int = 5) -> list[Document]:
    """Documents on topics, each block of which has words of its topic."""
    draw = random.Random(3)
    return [
        Document(
            f"d{number}",
            " ".join(
                " ".join(draw.choice([f"t{number % TOPICS}w{word}" for word in range(4)]) for _ in range(12))
                + "."
                for _ in range(blocks + number % 3)
            ),
        )
        for number in range(count)
    ]


def pairs(count: int = 130) -> dict[str, dict[str, int]]:
    """Neighbours on the same topic are similar."""
    return {f"d{number}": {f"d{number + TOPICS}": 1} for number in range(count - TOPICS)}


@pytest.fixture(autouse=True)
def hashed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document_training, "load_encoder", lambda *_: HashEncoder())


def train(out: Path, recipe: DocumentRecipe = SMALL, **options: Any) -> Any:
    return train_documents(documents(), out, recipe, device="cpu", cache=False, **options)


def weights(out: Path) -> dict[str, np.ndarray]:
    return dict(load_file(out / "model.safetensors"))


def same(one: Path, other: Path) -> bool:
    first, second = weights(one), weights(other)
    return first.keys() == second.keys() and all(np.array_equal(first[key], second[key]) for key in first)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Any]]:
    """A document encoder that was trained in one go, pairs included."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(document_training, "load_encoder", lambda *_: HashEncoder())
        out = tmp_path_factory.mktemp("documents") / "model"
        yield out, train(out, pairs=pairs())


def test_it_learns_what_is_missing_and_what_is_similar(trained: tuple[Path, Any]) -> None:
    out, report = trained
    assert report.after < report.before - 0.1
    assert report.of_pairs.after < report.of_pairs.before
    assert [path.name for path in out.parent.iterdir()] == ["model"]
    kept = json.loads((out / "training.json").read_text())
    assert kept["recipe"]["width"] == 16 and kept["encoder_fingerprint"] == HashEncoder.fingerprint
    plan = plan_documents(documents(), out, SMALL, pairs=pairs())
    assert (plan.texts, plan.held_out, plan.steps) == (report.texts, report.held_out, report.steps)
    assert (plan.pairs, plan.pair_steps) == (report.pairs, report.of_pairs.steps)


@pytest.mark.parametrize(
    "stage",
    ["blocks", pytest.param("pairs", marks=pytest.mark.slow), pytest.param("end", marks=pytest.mark.slow)],
)
def test_after_an_interruption_the_weights_are_the_same(
    stage: str, trained: tuple[Path, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []

    def interrupted(what: str, done: int, total: int | None) -> None:
        if what == "training":
            steps.append(what)
            wanted = {"blocks": 11, "pairs": trained[1].steps + 6}.get(stage)
            if len(steps) == wanted:
                raise KeyboardInterrupt

    out = tmp_path / "model"
    with pytest.raises(KeyboardInterrupt), monkeypatch.context() as patch:
        if stage == "end":
            patch.setattr(
                document_training, "draft_folder", lambda _: (_ for _ in ()).throw(KeyboardInterrupt)
            )
        train(out, pairs=pairs(), progress=interrupted)
    assert not out.exists() and list((tmp_path / "model.checkpoints").glob("**/checkpoint-*"))
    done = len(steps)
    stage = "done"
    again = train(out, pairs=pairs(), progress=interrupted)
    # It goes on; what was learned before is not learned again.
    assert len(steps) - done < trained[1].steps + trained[1].of_pairs.steps
    assert same(out, trained[0])
    assert (again.after, again.of_pairs.after) == (trained[1].after, trained[1].of_pairs.after)


def test_another_seed_gives_others(trained: tuple[Path, Any], tmp_path: Path) -> None:
    train(tmp_path / "other", replace(SMALL, seed=1, epochs=0.3))
    assert not same(tmp_path / "other", trained[0])


def model_of(sizes: list[int]) -> tuple[Any, np.ndarray]:
    """A model over documents of so many blocks each, named by their number, and the vectors of all blocks."""
    vectors = np.random.default_rng(5).standard_normal((sum(sizes), 4)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    starts = np.cumsum([0, *sizes])
    rows = {str(one): list(range(starts[one], starts[one + 1])) for one in range(len(sizes))}
    torch.manual_seed(0)
    transformer = DocumentTransformer(4, 8, layers=1, width=8)
    for layer in (transformer.leave, transformer.weigh):
        torch.nn.init.normal_(layer.weight)
    return SentenceTransformer(modules=[Blocks(vectors, rows), transformer], device="cpu").eval(), vectors


def test_the_loss_of_masked_blocks_is_that_of_the_definition() -> None:
    model, vectors = model_of([3, 5, 4])
    vectors[11] = vectors[0]  # the same text in two documents
    loss = MaskedBlocks(model, 2, seed=0)
    features = model.preprocess(["0", "1", "2"])
    with torch.no_grad():
        given = model[0](features)
        hidden = loss.drawn(given["present"], features["input_ids"][:, 0])
        assert hidden.sum(1).tolist() == [2, 2, 2] and not (hidden & ~given["present"]).any()
        assert torch.equal(hidden, loss.drawn(given["present"], features["input_ids"][:, 0]))
        expected = model[1].expected(given["blocks"], given["present"], hidden).numpy().astype(float)
        found = float(loss([features]))
    wanted = given["blocks"][hidden].numpy().astype(float)
    total = 0.0
    for i, one in enumerate(expected):
        scores = [20 * one @ e for j, e in enumerate(wanted) if j == i or not np.allclose(e, wanted[i])]
        total += np.log(np.exp(scores).sum()) - 20 * one @ wanted[i]
    assert found == pytest.approx(total / len(expected), rel=1e-4)
    # While it learns, others are drawn each time.
    model.train()
    drawn = [loss.drawn(given["present"], features["input_ids"][:, 0]) for _ in range(8)]
    assert any(not torch.equal(one, drawn[0]) for one in drawn)


def test_the_loss_of_pairs_is_that_of_the_definition() -> None:
    model, vectors = model_of([3, 5, 4, 2])
    loss = SimilarDocuments(model, {(0, 1), (2, 3), (0, 3)})
    with torch.no_grad():
        found = float(loss([model.preprocess(["0", "2"]), model.preprocess(["1", "3"])]))
    whole = model[1].vectors(vectors, np.array([0, 3, 8, 12])).astype(float)

    def cost(a: int, b: int, label: float) -> float:
        chance = 1 / (1 + np.exp(-6 * whole[a] @ whole[b]))
        return float(-np.log(chance if label else 1 - chance))

    similar = (cost(0, 1, 1) + cost(2, 3, 1) + cost(0, 3, 1)) / 3
    assert found == pytest.approx((similar + cost(2, 1, 0)) / 2, rel=1e-4)


def test_pairs_of_held_out_documents_are_held_out() -> None:
    named = {f"d{number}": f"text {number}" for number in range(40)}
    given = {f"d{number}": {f"d{number + 1}": 1, f"d{(number + 7) % 40}": 0} for number in range(39)}
    given["d1"]["d0"] = 1  # the same pair again
    learn, held_out = split_pairs(given, named, {"text 5", "text 30"}, seed=0)
    assert len(learn) == 35 and len(held_out) == 4
    assert {frozenset(row.values()) for row in held_out} == {
        frozenset((f"text {a}", f"text {a + 1}")) for a in (4, 5, 29, 30)
    }
    with pytest.raises(InputError, match="no document 'elsewhere'"):
        split_pairs({"d0": {"elsewhere": 1}}, named, {"text 5"}, seed=0)


def test_without_pairs_halves_of_documents_are() -> None:
    row = document_training.halves(SEPARATOR.join("abcde"))
    assert row == {"one": SEPARATOR.join("ace"), "other": SEPARATOR.join("bd")}
    material = document_training.material_of(documents(), SMALL, None, None)
    assert (len(material.pairs), len(material.pairs_held_out)) == (124, 6)
    assert document_training.halves(material.texts.learn[0]) == material.pairs[0]


def test_what_cannot_be_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="documents of more than 2 blocks"):
        train_documents(documents(120, blocks=0), tmp_path / "short", SMALL)
    with pytest.raises(UsageError, match="multiple of 8"):
        DocumentRecipe(width=20)
    with pytest.raises(UsageError, match="masked blocks"):
        DocumentRecipe(masked=0)
    with pytest.raises(UsageError, match="at least 1"):
        DocumentRecipe(layers=0)
    with pytest.raises(UsageError, match="epochs on pairs"):
        DocumentRecipe(pair_epochs=0)
    (tmp_path / "mine").mkdir()
    with pytest.raises(UsageError, match="holds no model trained here"):
        train(tmp_path / "mine")
    # The sign between blocks may stand in a text.
    text = f"one{SEPARATOR}two. " * 100
    plan_documents([Document(str(n), f"{text} {n}") for n in range(100)], tmp_path / "signs", SMALL)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_an_index_is_searched_by_whole_vectors(
    trained: tuple[Path, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("leanseek.searcher.request.recorded_encoder", lambda *_, **__: HashEncoder())
    found = documents()[:60]
    Index.create(tmp_path / "index", encoder=HashEncoder(), chunk_words=12).add(found, cache=False)
    model = document_training.untrained(SMALL, 16, HashEncoder.fingerprint)
    with Searcher.open(tmp_path / "index", encoder=HashEncoder()) as searcher:
        hits = searcher.similar("d5", 60, encoder=trained[0])
        snapshot = searcher._open_generation().snapshot
        ordinals = {one: np.array(sorted(parts)) for one, parts in snapshot.find(snapshot.ids()).items()}
        parts = {one: snapshot.vectors(rows) for one, rows in ordinals.items()}
        from leanseek.encode import load_document_transformer

        transformer = load_document_transformer(trained[0])
        whole = {one: transformer.vectors(rows, np.zeros(1, np.int64))[0] for one, rows in parts.items()}
        assert {hit.id for hit in hits} == set(parts) - {"d5"}
        for hit in hits:
            assert hit.score == pytest.approx(float(whole[hit.id] @ whole["d5"]), abs=1e-5)
        assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
        assert [hit.id for hit in searcher.similar(text=found[5].text, k=1, encoder=transformer)] == ["d5"]
        # One that has learned nothing compares means, which is not what passages say.
        first = searcher.similar("d5", 60, encoder=model.eval())
        mean = {one: rows.mean(0) / np.linalg.norm(rows.mean(0)) for one, rows in parts.items()}
        assert first[0].score == pytest.approx(float(mean[first[0].id] @ mean["d5"]), abs=1e-5)
        model.encoder = "another"
        with pytest.raises(ModelError, match="learned from vectors of another encoder"):
            searcher.similar("d5", encoder=model)
        with pytest.raises(ModelError, match="holds no document encoder"):
            searcher.similar("d5", encoder=tmp_path)


def test_the_commands(trained: tuple[Path, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("leanseek.searcher.request.recorded_encoder", lambda *_, **__: HashEncoder())
    source, judged = tmp_path / "long.jsonl", tmp_path / "pairs.tsv"
    source.write_text("".join(json.dumps({"id": one.id, "text": one.text}) + "\n" for one in documents()))
    lines = [f"{a}\t{b}\t1\n" for a, others in pairs().items() for b in others]
    judged.write_text("query-id\tcorpus-id\tscore\n" + "".join(lines))

    def invoke(*words: object, code: int = 0) -> Any:
        result = CliRunner().invoke(app, [str(word) for word in words])
        assert result.exit_code == code, result.output
        return result

    command = ("train", "documents", source, "--out", tmp_path / "model", "--max-tokens", 16, "--no-cache")
    planned = invoke(*command, "--pairs", judged, "--dry-run").stdout
    assert "124 long documents to learn from, 6 held out" in planned and "nothing was done" in planned
    plan = json.loads(invoke(*command, "--dry-run", "--json").stdout)
    assert (plan["pairs"], plan["pairs_held_out"]) == (124, 6)
    assert "at least 100" in invoke(*command, "--limit", 9, code=2).output
    assert "nowhere" in invoke(*command[:2], "nowhere.jsonl", *command[3:], code=3).output
    assert not (tmp_path / "model").exists()
    Index.create(tmp_path / "index", encoder=HashEncoder(), chunk_words=12).add(documents()[:40], cache=False)
    found = invoke("similar", tmp_path / "index", "d5", "--encoder", trained[0], "--json").stdout.splitlines()
    assert len(found) == 10 and json.loads(found[0])["id"] in {"d17", "d29"}
    short = ("--batch", 62, "--epochs", 0.5, "--pair-epochs", 0.2, "--pairs", judged)
    shown = invoke(*command, *short).stdout
    assert "blocks of 124 long documents; 6 held out" in shown and "pairs of similar documents; " in shown
    assert f"--encoder {tmp_path / 'model'}" in shown
