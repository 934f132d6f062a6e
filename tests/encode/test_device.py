"""Devices by name, and models in half precision: what a CUDA card does, told by stand-ins on the CPU."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from leanseek import Index, Searcher
from leanseek.cli.doctor import devices
from leanseek.decode.decoder_loader import chosen_precision
from leanseek.encode import device as names
from leanseek.encode import load_encoder
from leanseek.encode.cache import cached_as
from leanseek.encode.corpus import make_encoding
from leanseek.encode.device import accelerated, check_device, describe_devices, half_precision, halved
from leanseek.errors import ModelError, UsageError
from leanseek.indexing import segment_writer
from leanseek.indexing.dense import device_index as vectors_there
from leanseek.types import Document

torch = pytest.importorskip("torch")
pytest.importorskip("sentence_transformers")

TEXTS = ["does the statin", "cholesterol heart", "the the heart does", "query passage", "a b c statin"]


@pytest.fixture
def cards(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """`cards((9, 0), (7, 5))` makes torch report CUDA cards of these compute capabilities; none: no driver."""

    def make(*capabilities: tuple[int, int], built: str | None = "12.8") -> None:
        monkeypatch.setattr(torch.version, "cuda", built)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: len(capabilities))
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda one: capabilities[one.index or 0])
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda number: f"Card {number}")

    return make


@pytest.fixture
def half(monkeypatch: pytest.MonkeyPatch) -> None:
    """The CPU as a card that multiplies bfloat16."""
    monkeypatch.setattr(names, "half_precision", lambda device: "bfloat16")


def test_a_name_is_checked_before_anything_is_loaded(
    cards: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    for there in (None, "cpu", "cpu:0"):
        check_device(there)
    for name in ("gpu", "cuda:one", "CUDA", ""):
        with pytest.raises(UsageError, match=r"is not a device\. Choose from: cpu, cuda"):
            check_device(name)
    cards(built=None)
    with pytest.raises(UsageError, match=r"'cuda' cannot be used: torch .* built without CUDA.*pip install"):
        check_device("cuda")
    cards()
    with pytest.raises(UsageError, match=r"finds no CUDA card.*nvidia-smi"):
        check_device("cuda:1")
    cards((9, 0), (7, 5))
    with pytest.raises(UsageError, match="'cuda:2' cannot be used: this machine has cuda:0 to cuda:1"):
        check_device("cuda:2")
    # A card that is there is tried, which fails here.
    with pytest.raises(UsageError, match=r"'cuda:1' cannot be used: .*cpu is always there"):
        check_device("cuda:1")
    with pytest.raises(UsageError, match="'meta' cannot be used") as raised:
        check_device("meta")
    assert len(str(raised.value)) < 300
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(
        UsageError, match="'mps' cannot be used: torch finds no GPU of Apple's; cpu is always there"
    ):
        check_device("mps")


def test_a_device_that_is_not_there_refuses_every_door(
    tmp_path: Path, tiny_model: Callable[..., Path], cards: Callable[..., None]
) -> None:
    cards()
    folder = tiny_model()
    with Index.create(tmp_path / "index", encoder=str(folder), device="cpu") as index:
        index.add([Document("a", "statin")])
    for refused in (
        lambda: load_encoder(str(folder), "cuda"),
        lambda: Searcher.open(tmp_path / "index", device="cuda"),
        lambda: Searcher.open(tmp_path / "index", mode="sparse", device="cuda"),
        lambda: Index.create(tmp_path / "other", encoder=str(folder), device="cuda"),
    ):
        with pytest.raises(UsageError, match="finds no CUDA card"):
            refused()
    assert not (tmp_path / "other").exists()


def test_the_precision_is_the_cards(cards: Callable[..., None]) -> None:
    cards((9, 0), (7, 5), (6, 1))
    assert half_precision(torch.device("cuda:2")) is None
    assert chosen_precision(None, "cuda:2") == "float32"
    assert half_precision(torch.device("cuda")) == "bfloat16"
    assert half_precision(torch.device("cuda:1")) == "float16"
    assert half_precision(torch.device("cpu")) is None
    assert half_precision(torch.device("mps")) is None
    assert accelerated("cuda:1") and not accelerated("cpu:0") and not accelerated(None)
    untouched = SimpleNamespace(device=torch.device("cpu"))
    assert halved(untouched) == "float32"


def test_the_doctor_names_cards_and_precision(
    cards: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(names, "may_have_accelerator", lambda: False)
    assert describe_devices() == [] and devices().ok
    monkeypatch.setattr(names, "may_have_accelerator", lambda: True)
    cards((9, 0), (7, 5), (6, 1))
    assert "cuda:0 Card 0, bfloat16; cuda:1 Card 1, float16; cuda:2 Card 2, float32" in devices().detail
    cards(built=None)
    if not torch.backends.mps.is_available():
        assert not devices().ok and "pip install" in devices().detail


def test_a_half_encoder_gives_unit_vectors_near_the_whole_ones(
    tiny_model: Callable[..., Path], half: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = str(tiny_model())
    encoder: Any = load_encoder(folder, "cpu")
    assert encoder.precision == "bfloat16" and encoder.device == "cpu"
    assert {one.dtype for one in encoder.model.parameters()} == {torch.bfloat16}
    monkeypatch.setattr(names, "half_precision", lambda device: None)
    whole: Any = load_encoder(folder, "cpu")
    found, wanted = (one.encode_documents([*TEXTS, ""]).vectors for one in (encoder, whole))
    assert found.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    assert (found * wanted).sum(axis=1).min() > 0.999
    assert np.abs(found - wanted).max() > 1e-5
    # One index takes both; their vectors are not mixed in the cache.
    assert encoder.fingerprint == whole.fingerprint == cached_as(whole) != cached_as(encoder)


def test_an_index_made_in_half_precision_is_searched_on_a_device_and_on_the_cpu(
    tmp_path: Path, tiny_model: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = str(tiny_model())
    with pytest.MonkeyPatch.context() as card:
        card.setattr(names, "half_precision", lambda device: "bfloat16")
        with Index.create(tmp_path / "index", encoder=folder, device="cpu") as index:
            index.add([Document(f"d{number}", text) for number, text in enumerate(TEXTS)])
    with Searcher.open(tmp_path / "index", mode="dense") as searcher:
        wanted = searcher.search_batch(TEXTS, k=3)
    # The CPU as a device that vectors are copied to.
    monkeypatch.setattr(vectors_there, "accelerated", lambda device: device == "cpu")
    with Searcher.open(tmp_path / "index", mode="dense", device="cpu") as searcher:
        [segment] = searcher._generation.snapshot.segments
        assert isinstance(segment.searched, vectors_there.DeviceIndex)
        found = searcher.search_batch(TEXTS, k=3)
        assert segment.searched._copied is not None
        assert searcher.refresh() in (True, False)
    for one, other in zip(found, wanted, strict=True):
        assert [hit.id for hit in one] == [hit.id for hit in other]
        np.testing.assert_allclose([hit.score for hit in one], [hit.score for hit in other], atol=1e-5)


def test_vectors_are_indexed_where_the_caller_says_whatever_the_encoder(
    tmp_path: Path, tiny_model: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Encoder:
        name, fingerprint, dimensions, max_tokens = "own", "f" * 64, 4, None

    own: Any = Encoder()
    assert make_encoding(own, (), False).device is None
    assert make_encoding(own, (), False, "cuda:1").device == "cuda:1"
    own.device = "cuda:0"
    assert make_encoding(own, (), False).device == "cuda:0"
    assert make_encoding(own, (), False, "cpu").device == "cpu"
    # Encoding may be on another device unasked; to cut vectors into lists there has to be asked for.
    own.device = "mps:0"
    assert make_encoding(own, (), False).device is None

    asked: list[str | None] = []
    monkeypatch.setattr(segment_writer, "_write_dense", lambda *given: asked.append(given[-1]))
    with Index.create(tmp_path / "index", encoder=str(tiny_model()), device="cpu") as index:
        index.add([Document("a", "statin")])
    assert asked == ["cpu"]


def test_memory_that_runs_out_while_encoding_makes_batches_smaller(tiny_model: Callable[..., Path]) -> None:
    encoder: Any = load_encoder(str(tiny_model()), "cpu")
    wanted = encoder.encode_documents(TEXTS).vectors
    encode, tried = encoder.model.encode_document, []

    def little(texts: list[str], **options: Any) -> Any:
        tried.append(len(texts))
        if len(texts) > limit:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        return encode(texts, **options)

    limit = 2
    encoder.model.encode_document = little
    np.testing.assert_allclose(encoder.encode_documents(TEXTS).vectors, wanted, atol=1e-6)
    assert tried[0] == 5 and max(tried[-2:]) <= 2
    limit = 0
    with pytest.raises(ModelError, match=r"memory ran out for a single text.*--device"):
        encoder.encode_documents(TEXTS)
