"""Tiny models for late interaction with random weights, built on the spot, and their slow reading in float64."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

WORDS = (
    "statin cholesterol heart trial placebo wing slipstream boundary layer shock wave library index query "
    "term document ranking vector matrix orbit rocket enzyme protein kinase tumour receptor glucose insulin"
).split()
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[unused0]", "[unused1]"]
PUNCTUATION = list(".,:?!;-()'\"")
VOCABULARY = {word: number for number, word in enumerate([*SPECIAL, *PUNCTUATION, *WORDS])}
HIDDEN, PROJECTED = 32, 8


def write_transformer(folder: Path, max_tokens: int = 64) -> Any:
    """A BERT of two layers and a tokenizer that knows the words above, written into the folder; the model."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.WordPiece(VOCABULARY, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=max_tokens,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    ).save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(VOCABULARY),
        hidden_size=HIDDEN,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=max_tokens,
    )
    torch.manual_seed(3)
    model = BertModel(config, add_pooling_layer=False)
    with torch.no_grad():
        # The usual first weights are so small that all tokens would be alike.
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0.0, 0.3)
    model.save_pretrained(folder)
    return model.eval()


def write_biencoder(folder: Path, max_tokens: int = 64) -> Any:
    """A sentence-transformers model that averages tokens; its transformer."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    model = write_transformer(folder / "transformer", max_tokens)
    first = Transformer(str(folder / "transformer"))
    SentenceTransformer(modules=[first, Pooling(HIDDEN, pooling_mode="mean")], device="cpu").save_pretrained(
        str(folder / "model")
    )
    return model


def write_colbert(
    folder: Path, *, query_tokens: int = 12, passage_tokens: int = 20, attends: bool = False
) -> tuple[Any, np.ndarray]:
    """A checkpoint as ColBERT writes them; its transformer and projection (d, hidden)."""
    from safetensors.numpy import load_file, save_file

    model = write_transformer(folder)
    projection = np.random.default_rng(5).normal(size=(PROJECTED, HIDDEN)).astype(np.float32)
    weights = {f"bert.{name}": values for name, values in load_file(folder / "model.safetensors").items()}
    save_file(
        {**weights, "linear.weight": projection}, folder / "model.safetensors", metadata={"format": "pt"}
    )
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "architectures": ["HF_ColBERT"]}))
    (folder / "artifact.metadata").write_text(
        json.dumps(
            {
                "query_token_id": "[unused0]",
                "doc_token_id": "[unused1]",
                "query_maxlen": query_tokens,
                "doc_maxlen": passage_tokens,
                "mask_punctuation": True,
                "attend_to_mask_tokens": attends,
                "dim": PROJECTED,
            }
        )
    )
    return model, projection


def slowly(model: Any, ids: Sequence[int], attended: Sequence[int] | None = None) -> np.ndarray:
    """(tokens, hidden) the last layer's states of one text in float64, unpadded."""
    import torch

    double = model.double()
    with torch.inference_mode():
        found = double(
            input_ids=torch.tensor([list(ids)]),
            attention_mask=torch.tensor([list(attended) if attended is not None else [1] * len(ids)]),
        ).last_hidden_state[0]
    return found.numpy()


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def slow_maxsim(query: np.ndarray, passage: np.ndarray) -> float:
    """MaxSim by its definition, one pair of tokens after the other."""
    return sum(max(float(np.dot(one, other)) for other in passage) for one in query) / len(query)
