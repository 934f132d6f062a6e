"""Tiny cross-encoders with random weights, built on the spot."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from leanseek.rerank.crossencoder.layout import PairIds, PairLayout
from leanseek.types import Float32Array, Hit

WORDS = (
    "statin cholesterol heart trial placebo wing slipstream boundary layer shock wave library index query "
    "term document ranking vector matrix orbit rocket enzyme protein kinase tumour receptor glucose insulin "
    "what is it a the of and to be words text passage sentence another one compared with"
).split()


def texts(count: int, longest: int, seed: int = 0) -> list[str]:
    """Random texts of 1 to `longest` words."""
    draw = random.Random(seed)
    return [" ".join(draw.choices(WORDS, k=draw.randint(1, longest))) for _ in range(count)]


def hits_of(passages: Sequence[str], title: str = "") -> list[Hit]:
    return [
        Hit(rank, f"d{rank:03}", 1.0 / rank, title, passage, {}) for rank, passage in enumerate(passages, 1)
    ]


def build_model(folder: Path, kind: str = "bert", labels: int = 1, max_tokens: int = 64) -> Path:
    """A sequence classifier of that kind with random weights, and a WordPiece tokenizer with the words above."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import (
        AutoModelForSequenceClassification,
        BertConfig,
        DistilBertConfig,
        ElectraConfig,
        PreTrainedTokenizerFast,
        Qwen2Config,
        RobertaConfig,
    )

    pieces = sorted({*"abcdefghijklmnopqrstuvwxyz0123456789.,:?", *WORDS})
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *pieces, *(f"##{piece}" for piece in pieces)]
    tokenizer = Tokenizer(
        models.WordPiece({piece: i for i, piece in enumerate(vocabulary)}, unk_token="[UNK]")
    )
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    separator = "[SEP]" if kind != "roberta" else "[SEP] [SEP]"
    types = kind != "roberta"
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair=f"[CLS] $A {separator} $B{':1' if types else ''} [SEP]{':1' if types else ''}",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=max_tokens,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_input_names=[
            "input_ids",
            *(["token_type_ids"] if kind in ("bert", "electra") else []),
            "attention_mask",
        ],
    ).save_pretrained(folder)
    size = {
        "vocab_size": len(vocabulary),
        "max_position_embeddings": max_tokens + (1 if kind == "roberta" else 0),
        "pad_token_id": 0,
        "num_labels": labels,
    }
    layers = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 64}
    config = {
        "bert": lambda: BertConfig(**size, **layers),
        "roberta": lambda: RobertaConfig(**size, **layers, type_vocab_size=1),
        "electra": lambda: ElectraConfig(**size, **layers, embedding_size=16),
        "qwen2": lambda: Qwen2Config(**size, **layers, num_key_value_heads=2),
        "distilbert": lambda: DistilBertConfig(**size, dim=32, n_layers=2, n_heads=4, hidden_dim=64),
    }[kind]()
    torch.manual_seed(7)
    model = AutoModelForSequenceClassification.from_config(config)
    with torch.no_grad():
        # The usual first weights are so small that every pair would get nearly the same score.
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0.0, 0.25)
    model.save_pretrained(folder)
    return folder


class CountingModel:
    """A pair model whose logit is a sum over the ids; it may run out of memory, and tells what it was asked."""

    name = "counting"
    fingerprint = "counting"
    layout = PairLayout((2,), (3,), (3,), (0,), (0,), (1,), 0, 1)

    def __init__(
        self, definition: str, max_tokens: int | None = 64, budget: int = 64, most: int = 1 << 30
    ) -> None:
        self.definition, self.max_tokens, self.budget, self.most = definition, max_tokens, budget, most
        self.batches: list[list[int]] = []
        self.clock = 0.0
        self.seconds_per_token = 0.0

    def logits(self, pairs: Sequence[PairIds]) -> Float32Array:
        longest = max(len(pair.ids) for pair in pairs)
        if longest * len(pairs) > self.most:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        self.batches.append([len(pair.ids) for pair in pairs])
        self.clock += longest * len(pairs) * self.seconds_per_token
        return np.array([float(np.sin(pair.ids * (1 + pair.types)).sum()) for pair in pairs], np.float32)
