"""Training encoders, from a small collection to a model that searches better."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import write_collection

from leanseek.errors import ModelError, StorageError, UsageError
from leanseek.eval.collections import open_collection
from leanseek.train import Drawing, EncoderRecipe, Source, SparseRecipe, plan_training
from leanseek.train.encoder.encoder_training import row, share_right, train_encoder, views_of
from leanseek.train.mining import Group

pytest.importorskip("accelerate")

# Names of our own, which the model has never read: only training tells what belongs together.
WORDS = ("zorvex", "blinto", "quarne", "fluvid", "grebon", "mistel", "tropak", "hylder", "sornic", "welpit")
MEANT = ("anchor", "basket", "candle", "desert", "engine", "forest", "garden", "hammer", "island", "jacket")


PLACES = {"a": "at home", "b": "at work", "c": "far away"}
DOCUMENTS = {
    f"{meant}-{key}": f"A {meant} is kept {place} by its owner."
    for meant in MEANT
    for key, place in PLACES.items()
}
QUERIES = {
    f"{meant}-{key}": f"where is the {word} {place}"
    for word, meant in zip(WORDS, MEANT, strict=True)
    for key, place in PLACES.items()
}


@pytest.fixture
def glossary(tmp_path: Path) -> Path:
    judged = {key: [key] for key in QUERIES}
    return write_collection(tmp_path / "glossary", DOCUMENTS, QUERIES, judged, "train")


def untrained(folder: Path, kind: str, layers: int = 1) -> Path:
    """A BERT of one layer, or more, with random weights, whose vocabulary is the glossary's words."""
    import torch
    import transformers

    torch.manual_seed(0)
    words = {word for text in (*DOCUMENTS.values(), *QUERIES.values()) for word in text.lower().split()}
    vocabulary = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        ".",
        *sorted(word.strip(".") for word in words),
    ]
    (folder / "vocab.txt").write_text("\n".join(dict.fromkeys(vocabulary)))
    tokenizer = transformers.BertTokenizerFast(str(folder / "vocab.txt"), model_max_length=32)
    settings = transformers.BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=48,
        num_hidden_layers=layers,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=32,
    )
    getattr(transformers, kind)(settings).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(untrained(tmp_path_factory.mktemp("base"), "BertModel"))


@pytest.fixture(scope="module")
def sparse_base(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(untrained(tmp_path_factory.mktemp("sparse"), "BertForMaskedLM"))


def train(folder: Path, out: Path, recipe: EncoderRecipe, drawing: Drawing | None = None) -> Any:
    return train_encoder(
        [Source(open_collection(folder), "train")],
        out,
        recipe,
        drawing or Drawing(3, held_out=0.1),
        work=out.parent / "work",
        device="cpu",
    )


def found_first(encoder: Any, folder: Path) -> int:
    collection = open_collection(folder)
    documents, qrels = list(collection.documents()), collection.qrels("train")
    vectors = encoder.encode_documents([document.text for document in documents]).vectors
    queries = collection.queries("train")
    best = (encoder.encode_queries([query.text for query in queries]).vectors @ vectors.T).argmax(axis=1)
    return sum(documents[place].id in qrels[query.id] for query, place in zip(queries, best, strict=True))


def test_an_encoder_learns_words_it_did_not_know(base: str, glossary: Path, tmp_path: Path) -> None:
    from leanseek.encode import load_encoder

    untaught, out = load_encoder(base, "cpu"), tmp_path / "model"
    recipe = EncoderRecipe(base, "infonce", epochs=20, batch=8, learning_rate=3e-3, mix=1.0, ssl=0.1)
    report = train(glossary, out, recipe)
    trained = load_encoder(str(out), "cpu")
    before, after = found_first(untaught, glossary), found_first(trained, glossary)
    assert after >= before + 15 and report.after < report.before and report.teacher_right is None
    assert trained.fingerprint != untaught.fingerprint and trained.max_tokens == untaught.max_tokens
    kept = json.loads((out / "training.json").read_text())
    assert kept["sources"][0]["queries"] == 30 and kept["recipe"]["loss"] == "infonce"
    assert not list(tmp_path.glob("model.*"))


def test_a_teacher_s_margins_are_learned(base: str, glossary: Path, tmp_path: Path) -> None:
    teacher = "interpolated:late-interaction:torch:all-MiniLM-L6-v2"
    recipe = EncoderRecipe(base, teacher=teacher, batch=8, epochs=4, learning_rate=1e-3, mix=1.0)
    report = train(glossary, tmp_path / "taught", recipe)
    assert 0.5 < report.teacher_right <= 1.0
    assert report.after < 0.9 * report.before


def test_saved_weights_are_mixed_with_the_base(base: str, glossary: Path, tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    for mix in (0.25, 1.0):
        train(glossary, tmp_path / f"of{mix}", EncoderRecipe(base, "infonce", batch=8, mix=mix))
    start, quarter, whole = (
        load_file(Path(folder) / "model.safetensors")
        for folder in (base, tmp_path / "of0.25", tmp_path / "of1.0")
    )
    name = "encoder.layer.0.output.dense.weight"
    moved = whole[name] - start[name]
    assert np.abs(moved).max() > 0
    np.testing.assert_allclose(quarter[name], start[name] + 0.25 * moved, atol=1e-6)


def test_the_same_again_gives_the_same_weights(base: str, glossary: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        train(glossary, tmp_path / name, EncoderRecipe(base, "infonce", batch=8))
    one, two = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("one", "two"))
    assert one == two


def test_a_learned_sparse_encoder_learns_and_a_price_leaves_fewer_terms(
    sparse_base: str, glossary: Path, tmp_path: Path
) -> None:
    from leanseek.encode import load_learned_encoder

    terms = {}
    for price in (0.0, 1.0):
        recipe = SparseRecipe(
            sparse_base,
            "infonce",
            epochs=6,
            batch=8,
            learning_rate=3e-3,
            mix=1.0,
            document_price=price,
            query_price=price,
        )
        report = train(glossary, tmp_path / f"at{price}", recipe)
        assert report.after < report.before
        encoder = load_learned_encoder(f"splade:torch:{tmp_path / f'at{price}'}", "cpu")
        terms[price] = len(encoder.encode_documents(list(DOCUMENTS.values())).terms)
    assert terms[1.0] < terms[0.0] / 2


def test_a_loss_that_is_no_number_keeps_the_last_good_state_or_says_so(
    base: str, glossary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from leanseek.train.encoder import losses

    with pytest.raises(ModelError, match=r"lower learning rate than 1e\+30"):
        train(glossary, tmp_path / "model", EncoderRecipe(base, "infonce", batch=8, learning_rate=1e30))
    assert not (tmp_path / "model").exists()
    calls = 0

    class Breaking(losses.InfoNce):
        def of_groups(self, *given: Any) -> Any:
            nonlocal calls
            calls += self.model.training
            return super().of_groups(*given) * (float("nan") if calls >= 6 else 1.0)

    monkeypatch.setitem(losses.LOSSES, "infonce", Breaking)
    recipe = EncoderRecipe(base, "infonce", epochs=2, batch=8, learning_rate=1e-3, mix=1.0)
    report = train(glossary, tmp_path / "other", recipe)
    assert report.stopped is not None and 0 < report.stopped < report.steps
    assert (tmp_path / "other" / "model.safetensors").is_file() and report.after < report.before


def test_what_cannot_be_is_told_before_anything_is_done(
    base: str, glossary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").mkdir()
    with pytest.raises(UsageError, match="holds no model trained here"):
        train(glossary, tmp_path / "mine", EncoderRecipe(base))
    with pytest.raises(UsageError, match="margin-mse, infonce"):
        EncoderRecipe(loss="triplet")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="more than 0 and at most 1"):
        EncoderRecipe(mix=0.0)
    with pytest.raises(ModelError, match="without the head of a masked-language model"):
        train(glossary, tmp_path / "sparse", SparseRecipe(base))
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(StorageError, match="MB of checkpoints"):
        train(glossary, tmp_path / "full", EncoderRecipe(base, "infonce"))


def test_a_teacher_that_reads_nothing_of_it_is_refused(
    base: str, glossary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from leanseek.train.encoder import encoder_training

    monkeypatch.setattr(encoder_training, "share_right", lambda groups: 0.5)
    with pytest.raises(ModelError, match="no better than chance"):
        train(
            glossary,
            tmp_path / "model",
            EncoderRecipe(base, teacher="late-interaction:torch:all-MiniLM-L6-v2"),
        )


def test_a_plan_is_what_would_be_done(glossary: Path, tmp_path: Path) -> None:
    sources = [Source(open_collection(glossary), "train")]
    plan = plan_training(sources, EncoderRecipe(batch=9, epochs=2), Drawing(held_out=0.1), tmp_path / "model")
    assert plan.queries == {"glossary:train": 30} and plan.steps == 6
    assert not (tmp_path / "work").exists()


def test_rows_have_as_many_negatives_as_asked_and_the_teacher_s_scores_beside_them() -> None:
    group = Group("q", ["good", "bad", "worse"], 9, [3.0, 2.0, 1.0])
    assert row(group, 3) == {
        "query": "q",
        "passage0": "good",
        "passage1": "bad",
        "passage2": "worse",
        "passage3": "bad",
        "label": [3.0, 2.0, 1.0, 2.0],
    }
    graded = Group("q", ["good", "fair", "bad"], 9, grades=[2, 1])
    assert row(graded, 4)["label"] == [2.0, 1.0, 0.0, 0.0, 0.0]
    assert [row(graded, 4)[f"passage{place}"] for place in range(5)] == ["good", "fair", "bad", "bad", "bad"]
    assert share_right([group, Group("q", ["a", "b"], 1, [0.0, 1.0])]) == pytest.approx(2 / 3)


def test_views_share_no_words() -> None:
    first, other = views_of("Statins in old age. Do statins help the old? Some data say so.")
    assert first.startswith("Statins in old age")
    assert "statins" not in other.lower() and "help" in other
    assert views_of("word")[1]
