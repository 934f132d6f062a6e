"""Tiny random decoders of every family, a tokenizer, and the published method computed the slow way."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from support import WORDS
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

LATE = {
    "IE": "Please find information that are relevant to the following query in the paragraphs above.",
    "QA": "Please answer the following question based on the information in the paragraphs above.",
}
CHAT = "{{ bos_token }}{% for m in messages %}<|user|>\n{{ m.content }}<|end|>\n{% endfor %}<|assistant|>"

SIZES: dict[str, Any] = {
    "vocab_size": 400,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 2048,
    "initializer_range": 0.15,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": 1,
}
MIXED = ["sliding_attention", "full_attention", "full_attention"]


def configuration(family: str) -> Any:
    """The configuration of a tiny decoder of the family."""
    more: dict[str, dict[str, Any]] = {
        "Mistral": {"sliding_window": 300},
        "Qwen2": {"use_sliding_window": True, "sliding_window": 120, "max_window_layers": 1},
        "Qwen3": {"head_dim": 24},
        "Gemma2": {
            "head_dim": 16,
            "sliding_window": 150,
            "attn_logit_softcapping": 1.5,
            "layer_types": MIXED,
        },
        "Gemma3Text": {"head_dim": 16, "sliding_window": 150, "layer_types": MIXED},
        "Phi3": {"partial_rotary_factor": 0.5},
        "GptOss": {
            "head_dim": 16,
            "num_local_experts": 4,
            "num_experts_per_tok": 2,
            "sliding_window": 150,
            "layer_types": MIXED,
        },
        "GPT2": {"n_embd": 64, "n_layer": 3, "n_head": 4, "n_positions": 2048},
    }
    return getattr(transformers, f"{family}Config")(**SIZES | more.get(family, {}))


FAMILIES = ("Llama", "Mistral", "Qwen2", "Qwen3", "Gemma2", "Gemma3Text", "Phi", "Phi3", "GPT2", "Olmo2")


@cache
def decoder(family: str = "Llama", seed: int = 1) -> Any:
    """A tiny decoder with random weights."""
    torch.manual_seed(seed)
    return transformers.AutoModelForCausalLM.from_config(configuration(family)).eval()


def decoder_folder(folder: Path) -> str:
    """The tiny decoder in a folder."""
    decoder().save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return str(folder)


@cache
def tokenizer(chat: bool = False) -> Any:
    """Byte pairs that begin a text with <s>; with `chat` it has a chat template."""
    byte_pairs = Tokenizer(models.BPE())
    byte_pairs.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    byte_pairs.decoder = decoders.ByteLevel()
    marks = ["<s>", "</s>", "<|user|>", "<|end|>", "<|assistant|>"]
    byte_pairs.train_from_iterator(
        [" ".join(WORDS), LATE["IE"], LATE["QA"]],
        trainers.BpeTrainer(
            vocab_size=400, special_tokens=marks, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
        ),
    )
    byte_pairs.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 1)]
    )
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=byte_pairs, bos_token="<s>", eos_token="</s>", pad_token="</s>"
    )
    if chat:
        fast.chat_template = CHAT
    return fast


def passages(count: int, words: int = 12, seed: int = 3) -> list[str]:
    """Passages of about so many words each."""
    draw = np.random.default_rng(seed)
    return [" ".join(draw.choice(WORDS, size=words + draw.integers(5))) for _ in range(count)]


def slow_scores(
    model: Any,
    tokenize: Any,
    query: str,
    documents: Sequence[str],
    kind: str = "IE",
    prefix: str = "",
    suffix: str = "",
    separator: str = "\n\n",
    heads: Sequence[tuple[int, int]] | None = None,
    calibrated: bool = True,
    double: bool = True,
) -> list[float]:
    """The published method from its formulas: whole attention matrices of every layer, in double precision."""
    exact = copy.deepcopy(model).double() if double else copy.deepcopy(model)
    exact.set_attn_implementation("eager")

    def attention(question: str) -> tuple[np.ndarray, list[list[int]]]:
        text, spans = f"{prefix} Here are some paragraphs:", []
        for number, document in enumerate(documents, 1):
            block = f"[{number}] {document}"
            spans.append((len(text) + len(separator), len(text) + len(separator) + len(block)))
            text += separator + block
        text += separator
        asking = len(text)
        text += f"{LATE[kind]}{separator}Query: {question}{suffix}"
        encoding = tokenize(text, return_offsets_mapping=True)
        offsets = encoding["offset_mapping"]
        ids = torch.tensor([encoding["input_ids"]])
        with torch.no_grad():
            layers = exact(ids, output_attentions=True).attentions
        rows = [place for place, (start, end) in enumerate(offsets) if end > asking]
        looked = np.stack([layer[0].numpy() for layer in layers])[:, :, rows].mean(axis=2)
        chosen = (
            looked.reshape(-1, looked.shape[2]) if heads is None else np.stack([looked[h] for h in heads])
        )
        inside = [
            [place for place, (start, end) in enumerate(offsets) if start < stop and end > begin]
            for begin, stop in spans
        ]
        return chosen.sum(axis=0), inside

    asked, inside = attention(query)
    blank, _ = attention("N/A") if calibrated else (np.zeros_like(asked), None)
    scores = []
    for places in inside:
        tokens = asked[places] - blank[places]
        deviation = tokens.std(ddof=1)
        scores.append(float(tokens[tokens > tokens.mean() - 2 * deviation].sum()))
    return scores
