"""The ONNX Runtime back end against torch, and the 8-bit rewriting."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from leanseek import Document, Index, Searcher
from leanseek.encode import Encoder, load_encoder, load_query_encoder, prepare_queries, resolve_model
from leanseek.encode.models import model_fingerprint
from leanseek.encode.onnx_encoder import EXPORT
from leanseek.errors import MissingPackageError, ModelError, UsageError
from leanseek.types import content

MiniLM = Callable[[str], Encoder]
TinyModel = Callable[..., Path]

TEXTS = ["the heart", "", "statins and cholesterol " * 12, "does the query", "abc " * 40]


@pytest.fixture(scope="module")
def texts(collection: Callable[[str], Path]) -> list[str]:
    with (collection("scifact") / "corpus.jsonl").open(encoding="utf-8") as file:
        lines = [json.loads(line) for line, _ in zip(file, range(800), strict=False)]
    return [content(line["title"], line["text"]) for line in lines[::40]]


def test_float32_equals_torch_and_shares_its_fingerprint(minilm: MiniLM, texts: list[str]) -> None:
    ours, torch = minilm("onnx:"), minilm("")
    assert ours.fingerprint == torch.fingerprint
    assert (ours.dimensions, ours.max_tokens) == (torch.dimensions, torch.max_tokens) == (384, 256)
    for method in ("encode_documents", "encode_queries"):
        a, b = getattr(ours, method)(texts), getattr(torch, method)(texts)
        np.testing.assert_allclose(a.vectors, b.vectors, atol=1e-5)
        np.testing.assert_array_equal(a.tokens, b.tokens)


def test_int8_is_close_to_float32_and_has_its_own_fingerprint(minilm: MiniLM, texts: list[str]) -> None:
    small, full = minilm("onnx-int8:"), minilm("onnx:")
    assert small.fingerprint != full.fingerprint
    cosines = (small.encode_documents(texts).vectors * full.encode_documents(texts).vectors).sum(axis=1)
    assert cosines.min() > 0.998 and cosines.mean() > 0.999


@pytest.mark.usefixtures("shared_cache")
@pytest.mark.parametrize(
    "pooling, dense, normalize", [("mean", True, True), ("cls", False, False), ("lasttoken", True, False)]
)
def test_every_module_is_exported(tiny_model: TinyModel, pooling: str, dense: bool, normalize: bool) -> None:
    folder = tiny_model(pooling=pooling, dense=dense, normalize=normalize)
    ours, torch = load_encoder(f"onnx:{folder}"), load_encoder(str(folder), "cpu")
    assert ours.dimensions == torch.dimensions == (12 if dense else 32)
    np.testing.assert_allclose(
        ours.encode_documents(TEXTS).vectors, torch.encode_documents(TEXTS).vectors, atol=1e-5
    )
    small = load_encoder(f"onnx-int8:{folder}")
    alone = np.concatenate([small.encode_documents([text]).vectors for text in TEXTS])
    np.testing.assert_allclose(small.encode_documents(TEXTS).vectors, alone, atol=1e-5)


@pytest.mark.usefixtures("shared_cache")
def test_an_export_is_made_once(tiny_model: TinyModel, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tiny_model()
    first = load_encoder(f"onnx:{folder}")

    def fail(*_: object, **__: object) -> None:
        raise AssertionError("exported twice")

    monkeypatch.setattr("leanseek.encode.onnx_encoder.load_model", fail)
    second = load_encoder(f"onnx:{folder}")
    np.testing.assert_array_equal(
        first.encode_documents(TEXTS).vectors, second.encode_documents(TEXTS).vectors
    )


def test_an_interrupted_export_leaves_nothing_behind(
    tiny_model: TinyModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tiny_model()
    target = EXPORT.folder(model_fingerprint(folder), "float32")

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("leanseek.encode.onnx_encoder._check", interrupted)
        with pytest.raises(KeyboardInterrupt):
            load_encoder(f"onnx:{folder}")
    assert not list(target.parent.iterdir())


def test_an_unfaithful_export_is_refused(tiny_model: TinyModel, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tiny_model()
    from leanseek.encode.onnx_encoder import OnnxEncoder

    original = OnnxEncoder._run
    monkeypatch.setattr(OnnxEncoder, "_run", lambda self, ids: original(self, ids) + 1e-3)
    with pytest.raises(ModelError, match=r"differ from those of torch by .*leave out the prefix"):
        load_encoder(f"onnx:{folder}")


def test_a_damaged_export_is_one_clear_error(
    tiny_model: TinyModel, model_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tiny_model()
    with monkeypatch.context() as patch:
        patch.setenv("LEANSEEK_CACHE", str(model_cache))
        load_encoder(f"onnx:{folder}")
        good = EXPORT.folder(model_fingerprint(folder), "float32")
    target = EXPORT.folder(model_fingerprint(folder), "float32")
    shutil.copytree(good, target)
    for name in ("model.onnx.data", "model.onnx", "settings.json"):
        (target / name).write_bytes(b"damaged")
        with pytest.raises(ModelError, match="Delete that folder"):
            load_encoder(f"onnx:{folder}")


@pytest.mark.usefixtures("shared_cache")
def test_a_query_imports_no_torch_once_exported(tiny_model: TinyModel) -> None:
    folder = tiny_model()
    load_encoder(f"onnx-int8:{folder}")
    program = """
import sys
from leanseek.encode import load_encoder, load_query_encoder
for load, name in ((load_encoder, "onnx:"), (load_encoder, "onnx-int8:"), (load_query_encoder, "")):
    load(name + sys.argv[1]).encode_queries(["the heart"])
heavy = {"torch", "transformers", "sentence_transformers", "huggingface_hub", "onnx"}
print(sorted(heavy & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(folder)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_an_add_imports_no_torch_once_exported(
    tiny_model: TinyModel, model_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tiny_model()
    documents = [Document(f"d{number}", text) for number, text in enumerate(TEXTS)]
    by_torch = Index.create(tmp_path / "index", encoder=str(folder), device="cpu")
    by_torch.add(documents, cache=False)
    monkeypatch.setenv("LEANSEEK_CACHE", str(model_cache))
    load_encoder(f"onnx:{folder}")
    program = """
import sys
from pathlib import Path
from leanseek import Document, Index
from leanseek.encode import registry
if sys.argv[3] == "without an accelerator":
    registry.may_have_accelerator = lambda: False
else:
    registry.may_have_accelerator = lambda: True
index = Index.open(sys.argv[1])
index.add([Document("added " + sys.argv[3], sys.argv[2])], cache=False)
print(sorted({"torch", "transformers", "sentence_transformers"} & set(sys.modules)), index.settings.encoder.name)
"""
    for machine, loaded in (
        ("without an accelerator", "[]"),
        ("with one", "['sentence_transformers', 'torch'"),
    ):
        done = subprocess.run(
            [sys.executable, "-c", program, str(by_torch.path), TEXTS[0], machine],
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.startswith(loaded) and done.stdout.rstrip().endswith(str(folder))
    # The same text has the same score, whichever back end has encoded it.
    with Searcher.open(by_torch.path) as searcher:
        hits = {hit.id: hit.score for hit in searcher.search(TEXTS[0], len(TEXTS) + 2, mode="dense")}
    assert hits["added without an accelerator"] == pytest.approx(hits["d0"], abs=1e-5)
    assert hits["added with one"] == pytest.approx(hits["d0"], abs=1e-5)


def test_the_query_encoder_fits_the_index_of_the_torch_encoder(
    tiny_model: TinyModel, model_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tiny_model()
    torch = load_query_encoder(str(folder), "cpu")
    assert torch.name == str(folder), "without an export, the torch encoder itself"
    monkeypatch.setenv("LEANSEEK_CACHE", str(model_cache))
    load_encoder(f"onnx:{folder}")
    assert prepare_queries(str(folder)) and not prepare_queries(f"static:{folder}")
    fast = load_query_encoder(str(folder))
    assert fast.name == f"onnx:{folder}" and fast.fingerprint == torch.fingerprint
    np.testing.assert_allclose(
        fast.encode_queries(TEXTS).vectors, torch.encode_queries(TEXTS).vectors, atol=1e-5
    )


@pytest.mark.usefixtures("shared_cache")
def test_a_device_that_is_not_there_is_one_clear_error(tiny_model: TinyModel) -> None:
    with pytest.raises(UsageError, match="'abacus'"):
        load_encoder(f"onnx:{tiny_model()}", "abacus")


@pytest.mark.usefixtures("shared_cache")
@pytest.mark.parametrize("package", ["onnx", "onnxscript", "onnxruntime"])
def test_an_absent_package_names_its_install_command(
    tiny_model: TinyModel, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    import importlib.util

    folder = tiny_model(seed=0 if package == "onnxruntime" else 2)
    if package == "onnxruntime":
        load_encoder(f"onnx:{folder}")
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == package else find(name))
    with pytest.raises(MissingPackageError, match=rf"'{package}'.*pip install 'leanseek\[onnx\]'"):
        load_encoder(f"onnx:{folder}")


def test_the_models_name_loads_it_again(minilm: MiniLM) -> None:
    source = resolve_model("all-MiniLM-L6-v2").name
    assert [minilm(prefix).name for prefix in ("", "onnx:", "onnx-int8:")] == [
        source,
        f"onnx:{source}",
        f"onnx-int8:{source}",
    ]
