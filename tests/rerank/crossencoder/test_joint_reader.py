"""The cross-encoder grown out of a bi-encoder, against the bi-encoder itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from leanseek.encode import DEFAULT_MODEL, resolve_model

torch = pytest.importorskip("torch")
pytest.importorskip("sentence_transformers")

from leanseek.rerank.crossencoder.joint import SHARPNESS  # noqa: E402

PAIRS = [
    ("what is water", "Water is a liquid at room temperature."),
    ("who wrote the origin of species", "On the Origin of Species was written by Charles Darwin in 1859."),
    ("short", ""),
    ("a much longer question, of several words and a comma", "Tiny."),
]


@pytest.fixture(scope="module")
def grown() -> object:
    from leanseek.train.crossencoder.recipe import grown as grow

    return grow(str(resolve_model(DEFAULT_MODEL).path), 2, 256).eval()


def features(model: object, pairs: list[tuple[str, str]]) -> np.ndarray:
    reader = model[0]  # type: ignore[index]
    with torch.inference_mode():
        return reader(reader.preprocess(pairs))["sentence_embedding"].numpy()


def weighing(model: object) -> tuple[object, np.ndarray]:
    """The model with token weights that are not all the same, and these weights by token id."""
    import copy

    changed = copy.deepcopy(model)
    reader = changed[0]  # type: ignore[index]
    with torch.no_grad():
        torch.manual_seed(0)
        reader.importance.weight.normal_()
        embeddings = reader.model.embeddings.word_embeddings.weight
        learned = torch.nn.functional.softplus(embeddings @ reader.importance.weight[0])
    return changed, learned.numpy()


def test_the_texts_read_apart_have_the_bi_encoder_s_cosine_and_weighed_maxsim(grown: object) -> None:
    from sentence_transformers import SentenceTransformer

    encoder = SentenceTransformer(str(resolve_model(DEFAULT_MODEL).path), device="cpu")
    model, learned = weighing(grown)
    for row, (query, passage) in zip(features(model, PAIRS), PAIRS, strict=True):
        one, other = encoder.encode([query, passage])
        assert row[0] == pytest.approx(SHARPNESS * float(one @ other), abs=1e-4)
        if not passage:
            assert row[1] == pytest.approx(-SHARPNESS)
            continue
        asked, there = (
            torch.nn.functional.normalize(
                encoder.encode(text, output_value="token_embeddings").double(), dim=-1
            )[1:-1].numpy()
            for text in (query, passage)
        )
        weights = learned[encoder.tokenizer(query, add_special_tokens=False)["input_ids"]]
        best = np.average((asked @ there.T).max(1), weights=weights)
        assert row[1] == pytest.approx(SHARPNESS * best, abs=1e-4)


def test_the_overlap_is_the_weighed_share_of_the_query_s_tokens_that_the_passage_has(grown: object) -> None:
    model, learned = weighing(grown)
    tokenizer = model[0].tokenizer  # type: ignore[index]
    pairs = [*PAIRS, ("water water everywhere", "The water is wet.")]
    for row, (query, passage) in zip(features(model, pairs), pairs, strict=True):
        asked, there = (tokenizer(text, add_special_tokens=False)["input_ids"] for text in (query, passage))
        found = np.average([token in there for token in asked], weights=learned[asked])
        assert row[2] == pytest.approx(SHARPNESS * found, abs=1e-4)


def test_layers_that_are_not_trained_read_without_dropout(grown: object) -> None:
    reader = grown[0]  # type: ignore[index]
    grown.train()  # type: ignore[attr-defined]
    try:
        inputs = reader.preprocess(PAIRS)
        first, second = (reader(dict(inputs))["sentence_embedding"] for _ in range(2))
    finally:
        grown.eval()  # type: ignore[attr-defined]
    assert torch.equal(first[:, :3], second[:, :3])
    assert not torch.equal(first[:, 3:], second[:, 3:])


def test_reading_together_lets_each_text_change_the_other(grown: object) -> None:
    first, second = features(grown, [("what is water", "A liquid."), ("what is fire", "A liquid.")])
    assert np.abs(first[3:] - second[3:]).max() > 1e-3


def test_scores_do_not_depend_on_what_else_is_in_the_batch(grown: object) -> None:
    together = features(grown, PAIRS)
    for row, pair in zip(together, PAIRS, strict=True):
        np.testing.assert_allclose(row, features(grown, [pair])[0], atol=2e-5)


def test_saved_and_loaded_it_scores_the_same(grown: object, tmp_path: Path) -> None:
    from leanseek.rerank.crossencoder.torch_pairs import load_cross_encoder

    with torch.no_grad():
        grown[0].segment.weight.normal_()  # type: ignore[index]
    before = grown.predict(PAIRS)  # type: ignore[attr-defined]
    grown.save_pretrained(str(tmp_path / "model"))  # type: ignore[attr-defined]
    with torch.no_grad():
        grown[0].segment.weight.zero_()  # type: ignore[index]
    again = load_cross_encoder(tmp_path / "model", "cpu")
    np.testing.assert_allclose(again.predict(PAIRS), before, atol=1e-6)


def test_the_passage_gives_way_where_both_are_too_long(grown: object) -> None:
    reader = grown[0]  # type: ignore[index]
    found = reader.preprocess([("short question", "word " * 1000), ("word " * 1000, "word " * 1000)])
    assert found["input_ids"].shape == (2, 256)
    separator = reader.tokenizer.sep_token_id
    assert (found["input_ids"][:, -1] == separator).all()
    assert found["token_type_ids"][0].sum() == 256 - len(reader.tokenizer("short question")["input_ids"])
    assert found["token_type_ids"][1].sum() == 128


def test_exported_it_scores_the_same(grown: object, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    from leanseek.rerank.crossencoder.onnx_pairs import EXPORT, OnnxPairModel

    grown.save_pretrained(str(tmp_path / "model"))  # type: ignore[attr-defined]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LEANSEEK_CACHE", str(tmp_path / "cache"))
        exported = EXPORT.made(tmp_path / "model", "grown", "float32")
    found = OnnxPairModel("", exported, "").logits_of_texts(PAIRS)
    expected = grown.predict(PAIRS, activation_fn=torch.nn.Identity())  # type: ignore[attr-defined]
    np.testing.assert_allclose(found, expected, atol=1e-4)
