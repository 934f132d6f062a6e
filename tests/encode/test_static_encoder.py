"""The static back end against model2vec's own encode."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from leanseek.encode import Encoder, load_encoder
from leanseek.errors import MissingPackageError, ModelError

TinyModel = Callable[..., Path]

TEXTS = ["the heart", "statins and cholesterol " * 200, "", "日本", "does the query\0 fit", "\ud800 heart"]


@pytest.fixture(scope="module")
def source(tiny_model: TinyModel) -> Path:
    if importlib.util.find_spec("skeletoken") is None:
        pytest.skip("distilling needs leanseek[static]")
    return tiny_model()


@pytest.fixture(scope="module")
def static(source: Path, model_cache: Path) -> Encoder:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LEANSEEK_CACHE", str(model_cache))
        return load_encoder(f"static:{source}")


def saved(model_cache: Path) -> Path:
    return next((model_cache / "static").iterdir())


def test_vectors_equal_those_of_model2vec(static: Encoder, model_cache: Path) -> None:
    from model2vec import StaticModel

    good = [text for text in TEXTS if "\ud800" not in text]
    reference = StaticModel.from_pretrained(str(saved(model_cache)))
    expected = reference.encode(good, max_length=None)
    np.testing.assert_allclose(static.encode_documents(good).vectors, expected, atol=1e-5)
    np.testing.assert_allclose(static.encode_queries(good).vectors, expected, atol=1e-5)


def test_vectors_are_unit_or_zero_and_batch_independent(static: Encoder) -> None:
    encoded = static.encode_documents(TEXTS)
    norms = np.linalg.norm(encoded.vectors, axis=1)
    assert np.all((np.abs(norms - 1) < 1e-5) | (norms == 0)) and norms[0] > 0 and norms[2] == 0
    alone = np.concatenate([static.encode_documents([text]).vectors for text in TEXTS])
    np.testing.assert_array_equal(encoded.vectors, alone)
    assert encoded.tokens[2] == 0 and encoded.tokens[1] > 600
    assert static.max_tokens is None
    assert static.encode_documents([]).vectors.shape == (0, static.dimensions)


def test_it_is_distilled_once_and_loads_without_torch(
    source: Path, static: Encoder, model_cache: Path
) -> None:
    program = """
import sys
from leanseek.encode import load_encoder
vector = load_encoder("static:" + sys.argv[1]).encode_queries(["the heart"]).vectors[0]
print(sorted({"torch", "transformers", "sentence_transformers"} & set(sys.modules)), vector.tobytes().hex())
"""
    environment = {"LEANSEEK_CACHE": str(model_cache), "PATH": "", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", program, str(source)],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    assert done.stdout.split() == ["[]", static.encode_queries(["the heart"]).vectors[0].tobytes().hex()]
    assert done.stderr == ""


def test_a_saved_model_is_taken_as_it_is(static: Encoder, model_cache: Path) -> None:
    loaded = load_encoder(f"static:{saved(model_cache)}")
    assert loaded.fingerprint == static.fingerprint
    np.testing.assert_array_equal(
        loaded.encode_documents(TEXTS).vectors, static.encode_documents(TEXTS).vectors
    )


def test_token_weights_and_mappings_are_applied(static: Encoder, model_cache: Path, tmp_path: Path) -> None:
    from model2vec import StaticModel, quantize_model

    model = StaticModel.from_pretrained(str(saved(model_cache)))
    small = quantize_model(model, vocabulary_quantization=20)
    small.save_pretrained(str(tmp_path / "small"))
    texts = ["the heart", "statins and cholesterol", "does the query"]
    expected = small.encode(texts, max_length=None)
    np.testing.assert_allclose(
        load_encoder(f"static:{tmp_path / 'small'}").encode_documents(texts).vectors, expected, atol=1e-5
    )


def test_another_device_is_refused(source: Path, static: Encoder, model_cache: Path) -> None:
    with pytest.raises(ModelError, match="'cuda'"):
        load_encoder(f"static:{saved(model_cache)}", "cuda")


def test_damage_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "model2vec"}')
    with pytest.raises(ModelError, match="cannot be read"):
        load_encoder(f"static:{tmp_path}")


def test_an_absent_package_names_its_install_command(
    tiny_model: TinyModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tiny_model(seed=1)
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "model2vec" else find(name))
    with pytest.raises(MissingPackageError, match=r"pip install 'leanseek\[static\]'"):
        load_encoder(f"static:{folder}")
