"""Variants of encoders, against the same change made to the running model."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leanseek.encode import load_encoder, resolve_model
from leanseek.encode.variants import ATTENTION, POOLS, Variant, split_variant, with_settings
from leanseek.errors import ModelError, UsageError

torch = pytest.importorskip("torch")
pytest.importorskip("sentence_transformers")

TEXTS = ["wing flow", "the boundary layer of a flat plate in slip flow at low speed", "heat " * 20]
BASE = "all-MiniLM-L6-v2"


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of two layers with random weights and the default encoder's tokenizer."""
    import transformers

    torch.manual_seed(1)
    folder = tmp_path_factory.mktemp("small")
    tokenizer = transformers.AutoTokenizer.from_pretrained(resolve_model(BASE).path)
    settings = transformers.BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
        initializer_range=0.5,
    )
    tokenizer.model_max_length = 16
    transformers.BertModel(settings).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def states(folder: Path, text: str, temperature: float = 1.0) -> Any:
    """The token vectors (n, D) of a text, with the scores of attention divided in the running model."""
    import transformers

    model = transformers.AutoModel.from_pretrained(folder, attn_implementation="eager").eval()
    for layer in model.encoder.layer:
        layer.attention.self.scaling = 1.0 / (math.sqrt(16) * temperature)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        given = tokenizer(text, return_tensors="pt", truncation=True, max_length=64)
        return model(**given).last_hidden_state[0].numpy()


def unit(vector: Any) -> Any:
    return vector / np.linalg.norm(vector)


@pytest.mark.parametrize(("back", "temperature"), [("", 0.8), ("", 1.5), ("onnx:", 0.8)])
def test_a_temperature_divides_the_scores_of_attention(small: Path, temperature: float, back: str) -> None:
    if back:
        pytest.importorskip("onnxscript")
    found = load_encoder(f"{back}{small}[temperature={temperature}, max_tokens=64]", "cpu").encode_documents(
        TEXTS
    )
    expected = [unit(states(small, text, temperature).mean(axis=0)) for text in TEXTS]
    np.testing.assert_allclose(found.vectors, expected, atol=2e-5)
    plain = unit(states(small, TEXTS[2]).mean(axis=0))
    assert np.abs(found.vectors[2] - plain).max() > 1e-3


def test_every_pool_is_what_it_says(small: Path) -> None:
    for pool in POOLS:
        [found] = load_encoder(f"{small}[pool={pool}]", "cpu").encode_documents(TEXTS[1:2]).vectors
        tokens = states(small, TEXTS[1])
        places = np.arange(1, len(tokens) + 1)[:, np.newaxis]
        expected = {
            "mean": tokens.mean(axis=0),
            "cls": tokens[0],
            "max": tokens.max(axis=0),
            "last": tokens[-1],
            "weighted": (tokens * places).sum(axis=0) / places.sum(),
        }
        np.testing.assert_allclose(found, unit(expected[pool]), atol=2e-5, err_msg=pool)


def test_more_tokens_are_read_and_a_variant_is_a_model_of_its_own(small: Path) -> None:
    long = [" ".join(f"w{place} flow" for place in range(20))]
    base, wide = load_encoder(str(small), "cpu"), load_encoder(f"{small}[max_tokens=64]", "cpu")
    assert (base.max_tokens, wide.max_tokens) == (16, 64)
    assert not np.allclose(
        base.encode_documents(long).vectors, wide.encode_documents(long).vectors, atol=1e-3
    )
    assert base.fingerprint != wide.fingerprint
    assert wide.fingerprint == load_encoder(f"{small}[ max_tokens = 64 ]", "cpu").fingerprint
    assert wide.name.endswith("[max_tokens=64]")
    # Vectors and exports are kept by the fingerprint: of another length they are others.
    assert wide.fingerprint != load_encoder(f"{small}[max_tokens=32]", "cpu").fingerprint


@given(
    st.builds(
        Variant,
        st.none() | st.floats(0.01, 0.99).map(lambda value: float(f"{value:g}")),
        st.none() | st.sampled_from(list(POOLS)),
        st.none() | st.integers(8, 9999),
        st.none() | st.sampled_from(list(ATTENTION)),
    )
)
def test_a_name_and_a_variant_are_the_same(variant: Variant) -> None:
    name = variant.name("some/model")
    assert split_variant(name) == (None if variant == Variant() else ("some/model", variant))


def test_settings_are_added_to_a_name() -> None:
    assert (
        with_settings("onnx:some/model", temperature=0.9, max_tokens=None)
        == "onnx:some/model[temperature=0.9]"
    )
    assert with_settings("m[pool=cls, temperature=0.9]", temperature=0.8) == "m[temperature=0.8, pool=cls]"
    assert with_settings("m[temperature=0.9]", temperature=1.0) == "m"
    with pytest.raises(UsageError, match="above 0"):
        with_settings("m", temperature=-1.0)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ("temperature=0", "above 0"),
        ("temperature=warm", "above 0"),
        ("pool=median", "mean or cls"),
        ("max_tokens=3", "from 8 on"),
        ("max_tokens=9000", "positions"),
        ("colour=red", "no setting of an encoder"),
        ("", "no setting of an encoder"),
        ("pool=cls, pool=max", "twice"),
    ],
)
def test_settings_that_there_are_not_are_told(small: Path, settings: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        resolve_model(f"{small}[{settings}]")


def test_a_model_whose_scores_are_not_proportional_to_its_queries_is_refused(tmp_path: Path) -> None:
    from leanseek.encode.variants import sharpen

    class Part(torch.nn.Module):  # type: ignore[misc]
        def __init__(self, *names: str) -> None:
            super().__init__()
            self.auto_model = torch.nn.ModuleDict({name: torch.nn.Linear(6, 6) for name in names})

    with pytest.raises(ModelError, match="cannot be built in"):
        sharpen(Part("query", "q_norm"), 2.0, "name")
    with pytest.raises(ModelError, match="no attention"):
        sharpen(Part("value"), 2.0, "name")
    packed = Part("Wqkv")
    before = packed.auto_model["Wqkv"].weight.detach().clone()
    sharpen(packed, 2.0, "name")
    after = packed.auto_model["Wqkv"].weight
    assert torch.equal(after[:2], 2 * before[:2]) and torch.equal(after[2:], before[2:])


def test_a_folder_with_brackets_in_its_name_is_a_folder(small: Path, tmp_path: Path) -> None:
    (tmp_path / "model[2]").symlink_to(small)
    assert resolve_model(str(tmp_path / "model[2]")).source == "path"
