"""Training a pooling over layers, from a small collection to a folder that is an encoder."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rerank.incontext_support import SIZES, tokenizer
from support import write_collection
from train.encoder.test_encoder_training import DOCUMENTS, QUERIES, untrained
from typer.testing import CliRunner

from leanseek.cli import app
from leanseek.encode import load_encoder
from leanseek.errors import ModelError, StorageError, UsageError
from leanseek.eval.collections import open_collection
from leanseek.train import Drawing, PoolingRecipe, Source, train_pooling

pytest.importorskip("accelerate")
torch = pytest.importorskip("torch")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The glossary, a BERT and a Llama with random weights; indexes are shared by the tests."""
    import transformers

    folder = tmp_path_factory.mktemp("home")
    write_collection(folder / "glossary", DOCUMENTS, QUERIES, {key: [key] for key in QUERIES}, "train")
    (folder / "bert").mkdir()
    untrained(folder / "bert", "BertModel", layers=2)
    torch.manual_seed(3)
    transformers.LlamaForCausalLM(transformers.LlamaConfig(**SIZES)).save_pretrained(folder / "llama")
    tokenizer().save_pretrained(folder / "llama")
    return folder


def train(home: Path, out: Path, recipe: PoolingRecipe, **options: Any) -> Any:
    source = Source(open_collection(home / "glossary"), "train")
    drawing = Drawing(3, held_out=0.2)
    return train_pooling([source], out, recipe, drawing, work=home / "work", device="cpu", **options)


@pytest.mark.parametrize("base", ["bert", "llama"])
def test_attention_over_layers_learns_and_the_folder_is_an_encoder(
    base: str, home: Path, tmp_path: Path
) -> None:
    name = (
        f"decoder:{home / base}[pool=mean, attention=bidirectional]" if base == "llama" else str(home / base)
    )
    plain = load_encoder(name, "cpu")
    report = train(
        home, tmp_path / "model", PoolingRecipe(name, "layers", epochs=8, batch=8, learning_rate=3e-3)
    )
    assert report.after < 0.9 * report.before
    trained = load_encoder(str(tmp_path / "model"), "cpu")
    assert trained.max_tokens == plain.max_tokens and trained.fingerprint != plain.fingerprint
    kept = json.loads((tmp_path / "model" / "training.json").read_text())
    assert kept["recipe"]["kind"] == "layers" and kept["sources"][0]["queries"] == 30
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    # With the pooling as it started the folder's model is the base: nothing else was changed.
    pooling = trained.model[1]  # type: ignore[attr-defined]
    with torch.no_grad():
        pooling.out.weight.zero_(), pooling.out.bias.zero_()
    texts = ["a lamp is kept far away", "heat"]
    np.testing.assert_allclose(
        trained.encode_documents(texts).vectors, plain.encode_documents(texts).vectors, atol=1e-5
    )


def test_a_mix_learns_the_shares_of_layers_and_the_same_again(home: Path, tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    recipe = PoolingRecipe(str(home / "bert"), "mix", epochs=1, batch=8)
    first, again = (train(home, tmp_path / name, recipe) for name in ("one", "two"))
    assert first == again
    one, two = (
        load_file(tmp_path / name / "1_LayerPooling" / "model.safetensors")["weights"]
        for name in ("one", "two")
    )
    assert np.array_equal(one, two) and abs(one[-1] - np.log(9)) > 0.01


def test_where_nothing_was_gained_the_model_is_what_it_was(home: Path, tmp_path: Path) -> None:
    recipe = PoolingRecipe(str(home / "bert"), "layers", epochs=1, batch=8, learning_rate=3.0)
    report = train(home, tmp_path / "model", recipe)
    assert report.after == report.before
    texts = ["a lamp is kept far away", "heat"]
    trained, plain = (load_encoder(str(folder), "cpu") for folder in (tmp_path / "model", home / "bert"))
    np.testing.assert_allclose(
        trained.encode_documents(texts).vectors, plain.encode_documents(texts).vectors, atol=1e-5
    )


def test_an_interrupted_training_goes_on_with_the_layers_that_it_has(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from leanseek.train import layer_means, pooling

    monkeypatch.setattr(layer_means, "PART", 16)
    computed: list[int] = []
    compute = layer_means.means_of

    def counted(model: Any, texts: Any) -> Any:
        if len(computed) == 2 and not (tmp_path / "seen").exists():
            (tmp_path / "seen").touch()
            raise KeyboardInterrupt
        computed.append(len(texts))
        return compute(model, texts)

    monkeypatch.setattr(layer_means, "means_of", counted)
    recipe = PoolingRecipe(str(home / "bert"), "layers", epochs=2, batch=8)
    with pytest.raises(KeyboardInterrupt):
        train(home, tmp_path / "model", recipe)
    assert len(list((tmp_path / "model.layers").glob("*.npy"))) == 2 and not (tmp_path / "model").exists()
    with monkeypatch.context() as patch:
        patch.setattr(pooling, "draft_folder", lambda out: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            train(home, tmp_path / "model", recipe)
    assert sum(computed) == len({*DOCUMENTS.values(), *QUERIES.values()})
    assert list((tmp_path / "model.checkpoints").glob("checkpoint-*"))
    train(home, tmp_path / "model", recipe)
    assert sum(computed) == 60 and [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["model"]


def test_what_cannot_be_is_told(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from leanseek.train.encoder.losses import InfoNce

    bert = str(home / "bert")
    with monkeypatch.context() as patch:
        patch.setattr(InfoNce, "of_groups", lambda self, queries, passages, labels: queries.sum() * torch.nan)
        with pytest.raises(ModelError, match=r"lower learning rate than 0\.001"):
            train(home, tmp_path / "model", PoolingRecipe(bert, "layers", batch=8))
    assert not (tmp_path / "model").exists()
    (tmp_path / "mine").mkdir()
    with pytest.raises(UsageError, match="holds no model trained here"):
        train(home, tmp_path / "mine", PoolingRecipe(bert))
    with pytest.raises(UsageError, match="mix, layers"):
        PoolingRecipe(kind="median")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="at least 1"):
        PoolingRecipe(latents=0)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(StorageError, match="are free"):
        train(home, tmp_path / "full", PoolingRecipe(bert))


def test_the_command_says_what_it_would_do_and_what_is_wrong(home: Path, tmp_path: Path) -> None:
    def run(*words: object) -> Any:
        command = [
            "train",
            "pooling",
            home / "glossary",
            "--out",
            tmp_path / "model",
            "--work",
            home / "work",
        ]
        return CliRunner().invoke(app, [str(word) for word in (*command, *words)])

    planned = run("--dry-run", "--kind", "mix", "--epochs", "2", "--encoder", home / "bert")
    assert planned.exit_code == 0 and "glossary:train: up to 30 queries" in planned.stdout
    assert "2 steps of 32 queries with 8 passages each" in planned.stdout
    assert json.loads(run("--dry-run", "--json").stdout)["recipe"]["kind"] == "layers"
    for words, code, told in (
        (("--encoder", "no/such/model"), 5, "was not found"),
        (("--encoder", f"static:{home / 'bert'}"), 2, "does not run on torch"),
        (("--negatives", "0"), 2, "at least 1"),
        (("--most", "10"), 2, "needs at least 20"),
    ):
        found = run("--encoder", home / "bert", *words)
        assert found.exit_code == code and told in found.stderr, words
    assert not list(tmp_path.iterdir())
    trained = run("--encoder", home / "bert", "--epochs", "1", "--batch", "8", "--negatives", "3")
    assert trained.exit_code == 0 and "--encoder" in trained.stdout
    # The folder is indexed like any other encoder.
    corpus = home / "glossary" / "corpus.jsonl"
    made = CliRunner().invoke(
        app, ["index", str(corpus), "--into", str(tmp_path / "i"), "--encoder", str(tmp_path / "model")]
    )
    assert made.exit_code == 0, made.output
    asked = CliRunner().invoke(app, ["search", str(tmp_path / "i"), "a lamp at home", "--mode", "dense"])
    assert asked.exit_code == 0 and asked.stdout.lstrip().startswith("1.")
