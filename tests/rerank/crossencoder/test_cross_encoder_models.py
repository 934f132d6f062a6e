"""Cross-encoders on every back end against sentence-transformers, and what cannot be one."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from rerank.cross_encoder_support import build_model, hits_of, texts
from support import COPYING_DECODER

from leanseek.errors import ModelError, UsageError
from leanseek.rerank import RerankOptions, load_reranker
from leanseek.rerank.crossencoder import load
from leanseek.rerank.crossencoder.layout import PairIds, find_layout

torch = pytest.importorskip("torch")
sentence_transformers = pytest.importorskip("sentence_transformers")

QUERIES = ["what is a statin", "wing shock wave and boundary layer", "glucose"]


@pytest.fixture(autouse=True, scope="module")
def no_trace() -> None:
    logging.getLogger("torch.__trace").propagate = False


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    built: dict[str, Path] = {}

    def make(kind: str) -> Path:
        if kind not in built:
            built[kind] = build_model(tmp_path_factory.mktemp(kind), kind)
        return built[kind]

    return make


def expected(folder: Path, query: str, passages: list[str]) -> np.ndarray:
    peer = sentence_transformers.CrossEncoder(str(folder), device="cpu")
    scores: np.ndarray = peer.predict(
        [(query, passage) for passage in passages], activation_fn=torch.nn.Identity(), show_progress_bar=False
    )
    return scores


@pytest.mark.parametrize(
    ("backend", "kind"),
    [
        *(("torch", kind) for kind in ("bert", "roberta", "electra", "distilbert")),
        # Exporting takes seconds: one model that is pruned, with types of tokens, and one that has neither.
        *(("onnx", kind) for kind in ("bert", "distilbert")),
    ],
)
def test_scores_are_those_of_sentence_transformers(
    backend: str, kind: str, model: Callable[[str], Path]
) -> None:
    passages = [*texts(30, 40), "", "zebra 漢字 🙂"]
    reranker = load(RerankOptions(f"{backend}:{model(kind)}", "cpu", cache=False))
    hits = [hits_of(passages) for _ in QUERIES]
    found = reranker.judge(QUERIES, hits)
    for query, judged in zip(QUERIES, found, strict=True):
        wanted = expected(model(kind), query, passages)
        assert np.ptp(wanted) > 0.1, "the random model tells nothing apart"
        assert np.abs(judged.scores - wanted).max() < 1e-4
        assert judged.probabilities is None
    assert reranker.notes == ()


def test_eight_bits_give_nearly_the_same_order(model: Callable[[str], Path]) -> None:
    passages = texts(40, 40)
    exact = (
        load(RerankOptions(f"onnx:{model('bert')}", cache=False))
        .judge(QUERIES[:1], [hits_of(passages)])[0]
        .scores
    )
    rough = (
        load(RerankOptions(f"onnx-int8:{model('bert')}", cache=False))
        .judge(QUERIES[:1], [hits_of(passages)])[0]
        .scores
    )
    assert np.abs(rough - exact).max() > 0
    assert np.corrcoef(rough, exact)[0, 1] > 0.99


def test_the_back_ends_share_a_fingerprint_and_eight_bits_have_their_own(
    model: Callable[[str], Path],
) -> None:
    folder = model("bert")
    by_torch, by_onnx, by_int8 = (
        load(RerankOptions(f"{backend}:{folder}", cache=False)) for backend in ("torch", "onnx", "onnx-int8")
    )
    assert by_torch.fingerprint == by_onnx.fingerprint != by_int8.fingerprint
    assert (
        load(RerankOptions(f"onnx:{folder}", long="firstp", cache=False)).fingerprint != by_onnx.fingerprint
    )
    assert by_onnx.name == f"cross-encoder:onnx:{folder}"


def test_a_plain_name_is_exported_on_the_cpu_and_loads_again_by_its_name(
    model: Callable[[str], Path],
) -> None:
    reranker = load_reranker(f"cross-encoder:{model('bert')}", "cpu")
    hits = hits_of(texts(5, 10))
    again = load_reranker(reranker.name)
    assert [hit.id for hit in again.rerank("statin", hits)] == [
        hit.id for hit in reranker.rerank("statin", hits)
    ]
    assert again.fingerprint == reranker.fingerprint


def test_several_labels_are_no_order(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="3 labels"):
        load(RerankOptions(f"torch:{build_model(tmp_path, labels=3)}"))


def test_an_encoder_of_single_texts_is_no_cross_encoder(tmp_path: Path) -> None:
    folder = build_model(tmp_path)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "architectures": ["BertModel"]}))
    with pytest.raises(ModelError, match="a cross-encoder is needed"):
        load(RerankOptions(f"torch:{folder}"))


@pytest.mark.parametrize("backend", ["", "torch:", "onnx:"])
def test_a_decoder_is_no_cross_encoder(backend: str) -> None:
    decoder = COPYING_DECODER
    with pytest.raises(ModelError, match=f"is a decoder.*in-context:{decoder}"):
        load_reranker(f"cross-encoder:{backend}{decoder}", "cpu")


def test_classifiers_and_decoders_are_not_for_late_interaction(tmp_path: Path) -> None:
    decoder, classifier = COPYING_DECODER, build_model(tmp_path)
    for folder, other in ((decoder, "in-context"), (classifier, "cross-encoder")):
        with pytest.raises(ModelError, match=f"an encoder of single texts.*{other}:{folder}"):
            load_reranker(f"late-interaction:{folder}", "cpu")


def test_a_model_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="the folder of a cross-encoder") as told:
        load_reranker(f"cross-encoder:{tmp_path}/nowhere")
    assert "a folder of that name: there is none" in str(told.value)
    # The hint at the default encoder, which would be refused, is not passed on.
    assert "pip install" not in str(told.value)
    with pytest.raises(UsageError, match="maxp, firstp, top2, extract"):
        load(RerankOptions(f"torch:{build_model(tmp_path)}", long="middle"))


def test_a_layout_must_hold_both_texts() -> None:
    def ids(texts: object) -> list[np.ndarray]:
        return [np.arange(10, 13, dtype=np.int32), np.arange(20, 22, dtype=np.int32)]

    mixed = np.array([1, 10, 20, 11, 21, 12, 2], dtype=np.int32)
    with pytest.raises(ModelError, match="followed by"):
        find_layout(lambda query, passage: PairIds(mixed, mixed * 0), ids)


def test_modules_of_others_are_not_run(tmp_path: Path) -> None:
    folder = build_model(tmp_path)
    (folder / "config_sentence_transformers.json").write_text('{"model_type": "CrossEncoder"}')
    for own, told in (
        ("leanseek.rerank.crossencoder.joint.JointReader", r"elsewhere\.Module"),
        ("sentence_transformers.base.modules.Dense", "cannot be loaded"),
    ):
        listing = [
            {"idx": number, "name": str(number), "path": "", "type": name}
            for number, name in enumerate((own, "elsewhere.Module"))
        ]
        (folder / "modules.json").write_text(json.dumps(listing))
        with pytest.raises(ModelError, match=told):
            load(RerankOptions(f"torch:{folder}"))


@pytest.mark.parametrize("kind", ["bert", "roberta", "distilbert", "qwen2"])
def test_in_half_precision_the_head_scores_in_whole(
    kind: str, model: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from leanseek.encode import device as names
    from leanseek.rerank.crossencoder.torch_pairs import TorchPairModel

    whole = TorchPairModel("a", model(kind), "f" * 64, "cpu")
    monkeypatch.setattr(names, "half_precision", lambda device: "bfloat16")
    half = TorchPairModel("a", model(kind), "f" * 64, "cpu")
    assert half.precision == "bfloat16"
    assert half.fingerprint != whole.fingerprint == "f" * 64  # scores are cached apart
    tokens = np.random.default_rng(0).integers(10, 40, (30, 12)).astype(np.int32)
    pairs = [PairIds(ids, np.zeros_like(ids)) for ids in tokens]
    found, wanted = half.logits(pairs), whole.logits(pairs)
    assert np.abs(found - wanted).max() < 0.05 * np.abs(wanted).max()
    # Scores that were themselves in bfloat16 would be these.
    assert (torch.from_numpy(found).bfloat16().float().numpy() != found).mean() > 0.5


def test_in_half_precision_logits_of_tokens_and_later_modules_are_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from sentence_transformers.base.modules import Dense

    from leanseek.encode import device as names
    from leanseek.rerank.crossencoder.torch_pairs import halve

    class Decoder(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = torch.nn.Embedding(9, 8)
            self.lm_head = torch.nn.Linear(8, 9, bias=False)
            self.lm_head.weight = self.embedding.weight

        def forward(self, features: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
            states = self.embedding(features["ids"])
            return {"states": states, "logits": self.lm_head(states)}

    class Model(torch.nn.Sequential):
        device = torch.device("cpu")

        @property
        def transformers_model(self) -> torch.nn.Module:
            return self[0]

    monkeypatch.setattr(names, "half_precision", lambda device: "bfloat16")
    dense = Dense(8, 1, activation_function=None, module_input_name="states", module_output_name="scores")
    model = Model(Decoder(), dense)
    assert halve(model) == "bfloat16"
    assert model[0].embedding.weight.dtype == torch.bfloat16
    found = model({"ids": torch.arange(9)})
    assert found["logits"].dtype == found["scores"].dtype == torch.float32
    states = model[0].embedding.weight.float()
    torch.testing.assert_close(found["logits"], states @ states.T)
    torch.testing.assert_close(found["scores"], dense.linear(states))
