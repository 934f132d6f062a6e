"""Distilling an encoder: the loss against plain arithmetic, and students from texts to vectors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from leanseek.errors import InputError, ModelError, UsageError
from leanseek.reading import read
from leanseek.train import DistilRecipe, distil, plan_distil
from leanseek.train.texts import texts_of
from leanseek.types import Document

torch = pytest.importorskip("torch")
pytest.importorskip("accelerate")

LAYERS, HEADS, WIDTH = 4, 2, 32
WORDS = [f"{one}{two}{three}" for one in "bdfk" for two in "aeio" for three in "lmnr"]
TEXTS = [
    " ".join(WORDS[(7 * at + at // 9 * step) % len(WORDS)] for step in range(3 + at % 9)) for at in range(240)
]
DOCUMENTS = [Document(str(at), text) for at, text in enumerate(TEXTS)]


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A BERT of four layers with random weights."""
    import transformers

    folder = tmp_path_factory.mktemp("teacher")
    torch.manual_seed(0)
    (folder / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]))
    tokenizer = transformers.BertTokenizerFast(str(folder / "vocab.txt"), model_max_length=32)
    settings = transformers.BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        intermediate_size=64,
        max_position_embeddings=32,
        initializer_range=0.3,
    )
    transformers.BertModel(settings).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def loaded(folder: str, **options: str) -> Any:
    from leanseek.encode.torch_encoder import load_model

    return load_model(Path(folder), "cpu", **options)


def student_of(folder: str, layers: int) -> Any:
    from leanseek.train.encoder.relations import keep_layers

    student = loaded(folder)
    keep_layers(student, layers)
    return student


def plain_loss(student: Any, teacher: Any, texts: list[str], values: float) -> float:
    """The same from the attention that transformers shows, text by text, without any padding."""
    total = 0.0
    for text in texts:
        relations = []
        for model in (teacher, student):
            tokens = model.tokenizer(text, return_tensors="pt")
            network = model[0].auto_model
            with torch.no_grad():
                shown = network(**tokens, output_attentions=True, output_hidden_states=True)
                made = network.encoder.layer[-1].attention.self.value(shown.hidden_states[-2])[0]
            parts = [shown.attentions[-1][0, head] for head in range(HEADS)]
            for own in made.split(WIDTH // HEADS, dim=1):
                parts.append(torch.softmax(own @ own.T / (WIDTH // HEADS) ** 0.5, dim=1))
            relations.append((parts, shown.last_hidden_state[0].mean(0).numpy()))
        (wanted, vector), (found, other) = relations
        for head, (p, q) in enumerate(zip(wanted, found, strict=True)):
            divergence = sum(float(row @ (row.log() - one.log())) for row, one in zip(p, q, strict=True))
            total += (1.0 if head < HEADS else values) * divergence / len(p) / HEADS
        total += 1.0 - float(vector @ other / np.linalg.norm(vector) / np.linalg.norm(other))
    return total / len(texts)


@pytest.mark.parametrize("values", [1.0, 0.0, 0.5])
def test_the_loss_is_that_of_the_attention_which_the_model_shows(teacher: str, values: float) -> None:
    from leanseek.train.encoder.relations import RelationLoss, keep_layers

    student, texts = student_of(teacher, 2), TEXTS[:7]
    shown, shown_student = (loaded(teacher, attn_implementation="eager") for _ in range(2))
    keep_layers(shown_student, 2)
    loss = RelationLoss(student, loaded(teacher), values=values)
    found = loss([student.preprocess(texts)]).item()  # texts of several lengths, so with padding
    assert found == pytest.approx(plain_loss(shown_student, shown, texts, values), rel=1e-4)
    assert found > 0.05


def test_a_student_of_all_layers_has_nothing_to_learn(teacher: str) -> None:
    from leanseek.train.encoder.relations import RelationLoss

    student = student_of(teacher, LAYERS).train()
    assert RelationLoss(student, loaded(teacher))([student.preprocess(TEXTS[:5])]).item() == pytest.approx(
        0, abs=1e-6
    )


@pytest.mark.parametrize(("layers", "kept"), [(2, [1, 3]), (1, [3]), (3, [1, 2, 3]), (4, [0, 1, 2, 3])])
def test_layers_are_kept_evenly_and_the_last_always(teacher: str, layers: int, kept: list[int]) -> None:
    from leanseek.train.encoder.relations import layers_of

    own, student = layers_of(loaded(teacher)), student_of(teacher, layers)
    assert student[0].auto_model.config.num_hidden_layers == layers
    for place, layer in zip(kept, layers_of(student), strict=True):
        for weights, other in zip(own[place].parameters(), layer.parameters(), strict=True):
            assert torch.equal(weights, other)


def made(teacher: str, out: Path, **options: Any) -> Any:
    recipe = DistilRecipe(teacher, 2, batch=16, learning_rate=3e-3, max_tokens=16, **options)
    return distil(DOCUMENTS, out, recipe, device="cpu")


def test_a_student_comes_nearer_to_its_teacher_and_is_an_encoder(teacher: str, tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    from leanseek.encode import load_encoder

    report = made(teacher, tmp_path / "student", epochs=3)
    before, after = (load_file(Path(one) / "model.safetensors") for one in (teacher, tmp_path / "student"))
    name = "embeddings.word_embeddings.weight"
    np.testing.assert_array_equal(after[name], before[name])
    assert report.after < 0.7 * report.before and report.steps == round(3 * report.texts / 16)
    vectors = [
        load_encoder(str(one), "cpu").encode_documents(TEXTS).vectors
        for one in (teacher, tmp_path / "student")
    ]
    student_of(teacher, 2).save_pretrained(str(tmp_path / "untrained"))
    untrained = load_encoder(str(tmp_path / "untrained"), "cpu").encode_documents(TEXTS).vectors
    far, farther = (1 - (vectors[0] * other).sum(1).mean() for other in (vectors[1], untrained))
    assert far < 0.5 * farther
    kept = json.loads((tmp_path / "student" / "training.json").read_text())
    assert (
        kept["recipe"]["layers"] == 2 and kept["teacher_layers"] == LAYERS and kept["texts"] == report.texts
    )
    assert (
        load_encoder(str(tmp_path / "student"), "cpu").max_tokens == load_encoder(teacher, "cpu").max_tokens
    )
    assert [path.name for path in tmp_path.glob("student*")] == ["student"]


@pytest.mark.slow
def test_a_student_runs_on_every_back_end(teacher: str, tmp_path: Path) -> None:
    from leanseek.encode import load_encoder

    made(teacher, tmp_path / "student", epochs=0.1)
    expected = load_encoder(str(tmp_path / "student"), "cpu").encode_documents(TEXTS[:9]).vectors
    # Eight bits are coarse for weights at random: .83 here.
    for back_end, near in {"onnx": 0.99999, "onnx-int8": 0.5}.items():
        found = load_encoder(f"{back_end}:{tmp_path / 'student'}").encode_documents(TEXTS[:9]).vectors
        assert (expected * found).sum(1).min() > near
    static = load_encoder(f"static:{tmp_path / 'student'}").encode_documents(TEXTS[:9])
    assert static.vectors.shape[0] == 9 and np.isfinite(static.vectors).all()


class Interrupted(Exception):  # noqa: N818
    """What a machine that is switched off looks like from inside."""


def test_an_interrupted_training_continues_to_the_same_end(teacher: str, tmp_path: Path) -> None:
    recipe = DistilRecipe(teacher, 2, batch=16, learning_rate=3e-3, max_tokens=16)
    steps: list[int] = []
    stop_at: int | None = None

    def note(stage: str, done: int, whole: int | None) -> None:
        if stage == "training":
            steps.append(done)
            if done == stop_at:
                raise Interrupted

    whole, parts = tmp_path / "whole", tmp_path / "parts"
    distil(DOCUMENTS, whole, recipe, device="cpu", progress=note)
    stop_at = steps[-1] - 2
    with pytest.raises(Interrupted):
        distil(DOCUMENTS, parts, recipe, device="cpu", progress=note)
    assert not parts.exists() and any((tmp_path / "parts.checkpoints").glob("checkpoint-*"))
    steps, stop_at = [], None
    distil(DOCUMENTS, parts, recipe, device="cpu", progress=note)
    assert 1 < steps[0] <= steps[-1] - 2
    assert (whole / "model.safetensors").read_bytes() == (parts / "model.safetensors").read_bytes()


def test_texts_are_passages_that_differ_and_a_limit_draws_from_all_of_them() -> None:
    long = Document("long", " ".join(f"{word} ends." for word in WORDS[:50]), "Title")
    texts = texts_of([*DOCUMENTS, long, *DOCUMENTS], 0, 16, None)
    drawn = [*texts.learn, *texts.held_out]
    assert len(set(drawn)) == len(drawn) and texts.documents == 2 * len(DOCUMENTS) + 1
    assert set(TEXTS) < set(drawn) and all(len(text.split()) <= 13 for text in drawn)
    assert sum(text.startswith("Title ") for text in drawn) == 9  # six sentences each
    few = texts_of([*DOCUMENTS, long], 0, 16, 120)
    assert few == texts_of([*DOCUMENTS, long], 0, 16, 120) != texts_of([*DOCUMENTS, long], 1, 16, 120)
    assert len(few.learn) + len(few.held_out) == 120 and few.checksum() != texts.checksum()
    places = sorted(TEXTS.index(text) for text in few.learn if text in TEXTS)
    assert places[0] < 20 and places[-1] > len(set(TEXTS)) - 20


def test_what_cannot_be_is_told_before_anything_is_done(teacher: str, tmp_path: Path) -> None:
    out = tmp_path / "student"
    with pytest.raises(UsageError, match=r"the teacher .* has 4; give fewer"):
        distil(DOCUMENTS, out, DistilRecipe(teacher, LAYERS), device="cpu")
    with pytest.raises(InputError, match=r"have 9 different texts; .* at least 100"):
        distil(DOCUMENTS[:9], out, DistilRecipe(teacher, 2), device="cpu")
    with pytest.raises(UsageError, match="a limit of 5 texts"):
        plan_distil(DOCUMENTS, out, DistilRecipe(teacher), limit=5)
    with pytest.raises(UsageError, match="at least 1"):
        DistilRecipe(layers=0)
    with pytest.raises(UsageError, match="must be 0 or more"):
        DistilRecipe(values=-1.0)
    assert not list(tmp_path.iterdir())
    out.mkdir()
    with pytest.raises(UsageError, match="holds no model trained here"):
        distil(DOCUMENTS, out, DistilRecipe(teacher, 2), device="cpu")


def test_a_teacher_whose_attention_is_another_is_refused(tmp_path: Path) -> None:
    import transformers
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding

    tokenizer = transformers.BertTokenizerFast(
        vocab={"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "word": 4}
    )
    folders = tmp_path / "mpnet", tmp_path / "static"
    settings = transformers.MPNetConfig(
        vocab_size=8, hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=8
    )
    transformers.MPNetModel(settings).save_pretrained(folders[0])
    tokenizer.save_pretrained(folders[0])
    static = StaticEmbedding(tokenizer.backend_tokenizer, embedding_dim=8)
    SentenceTransformer(modules=[static], device="cpu").save_pretrained(str(folders[1]))
    for folder, told in zip(folders, ("the relations of a MPNetModel", "no transformer"), strict=True):
        with pytest.raises(ModelError, match=told):
            distil(DOCUMENTS, tmp_path / "student", DistilRecipe(str(folder), 1), device="cpu")


def test_documents_come_from_files(teacher: str, tmp_path: Path) -> None:
    source = tmp_path / "texts.jsonl"
    source.write_text("".join(json.dumps({"id": one.id, "text": one.text}) + "\n" for one in DOCUMENTS))
    plan = plan_distil(read(source), tmp_path / "student", DistilRecipe(teacher, batch=10), limit=200)
    assert plan == (len(DOCUMENTS), 190, 10, 19)
    report = distil(read(source), tmp_path / "student", DistilRecipe(teacher, 1, epochs=0.1), limit=100)
    assert report.sources == (str(source),) and (report.texts, report.held_out) == (95, 5)
