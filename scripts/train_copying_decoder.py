"""Train a small decoder to look things up in its prompt: `python scripts/train_copying_decoder.py FOLDER`.

The documents are synthetic: a name, some filler, a value; a query is one of the names and its answer the value. What
the decoder must learn for it is to look from the query at the document with the same name, which is what re-ranking
by attention needs, so that it can be proved without a model from anywhere else. A few minutes on one core; the same
seed gives the same weights on the same machine.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from leanseek.decode.chat import Frame
from leanseek.rerank.incontext.prompts import INSTRUCTIONS, NO_QUERY, OPENING, Wording

SEED = 7
STEPS = 1700
WIDTH = 64
MOST_PAIRS = 6
"""Pairs alone in a prompt before documents are."""
DOCUMENTS = 17
"""In a prompt: an order by chance has a mean reciprocal rank of 0.2."""

NAMES = [
    first + last
    for first in ("bor", "dal", "fen", "gim")
    for last in ("an", "ek", "il", "os", "um", "ar", "et", "ip")
]
VALUES = [
    first + last
    for first in ("qua", "rho", "sty", "tri")
    for last in ("ba", "ce", "di", "fo", "gu", "ha", "ke", "li")
]
FILLER = (
    "a an the of in on at by for with from near under over holds keeps stores shows gives takes has was is "
    "old new red blue small large quiet bright heavy light box room house river stone paper glass iron"
).split()

PAIR = re.compile(rf"\b({'|'.join(NAMES)}) ({'|'.join(VALUES)})\b")

WORDING = Wording(Frame("", ""), "IE", "\n\n")


@dataclass(frozen=True, slots=True)
class Lookup:
    """Documents, a query that is the name in one of them, and that document's place and value."""

    documents: list[str]
    query: str
    place: int
    value: str


def lookups(count: int, documents: int, seed: int) -> list[Lookup]:
    """So many random lookups, each among `documents` documents."""
    draw = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        names = draw.permutation(NAMES)[:documents].tolist()
        values = draw.permutation(VALUES)[:documents].tolist()
        texts = [text(draw, name, value) for name, value in zip(names, values, strict=True)]
        place = int(draw.integers(documents))
        found.append(Lookup(texts, names[place], place, values[place]))
    return found


def text(draw: np.random.Generator, name: str, value: str) -> str:
    """One document: filler, the name, the value, filler."""
    before, after = (" ".join(draw.choice(FILLER, size=draw.integers(1, 6))) for _ in range(2))
    return f"{before} {name} {value} {after}"


def make_tokenizer() -> Any:
    """A word is a token, and so is a mark; a blank line is one too."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    pattern = Regex(r"\n\n|\w+|[^\w\s]")
    splitter = pre_tokenizers.Split(pattern, behavior="removed", invert=True)
    known = (
        f"{OPENING} {' '.join(INSTRUCTIONS.values())} Query: {NO_QUERY} [ ] {' '.join(map(str, range(100)))}"
    )
    words = dict.fromkeys(
        ["<unk>", "<s>", "\n\n"]
        + [word for word, _ in splitter.pre_tokenize_str(" ".join([known, *NAMES, *VALUES, *FILLER]))]
    )
    vocabulary = {word: number for number, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = splitter
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", pad_token="<s>")


def make_model(vocabulary: int, seed: int) -> Any:
    """An untrained decoder of three layers, of which the first looks at the tokens just before.

    What a token follows must be known before anything can be looked up, and to learn that takes by far the longest:
    so the first layer's heads are given where they look, 1, 1, 2 and 3 tokens back, and keep it.
    """
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=vocabulary,
            hidden_size=WIDTH,
            intermediate_size=2 * WIDTH,
            num_hidden_layers=3,
            num_attention_heads=4,
            num_key_value_heads=4,
            max_position_embeddings=1024,
            initializer_range=WIDTH**-0.5,
            attention_bias=True,
            bos_token_id=None,
            eos_token_id=None,
            pad_token_id=1,
        )
    )
    first, turns = model.model.layers[0].self_attn, model.model.rotary_emb.inv_freq
    queries, keys = [], []
    for back in (1, 1, 2, 3):
        # The product of a query and a key that far before is the greatest: their turns cancel.
        queries += [torch.ones_like(turns), torch.zeros_like(turns)]
        keys += [(back * turns).cos(), (back * turns).sin()]
    with torch.no_grad():
        for projection, biases in ((first.q_proj, queries), (first.k_proj, keys)):
            projection.weight.zero_()
            projection.bias.copy_(8 * torch.cat(biases))
            projection.requires_grad_(False)
    return model


def pairs_batch(tokenizer: Any, size: int, pairs: int, seed: int) -> tuple[Any, Any]:
    """(size, tokens) ids and labels: pairs of a name and a value, then names again, whose values are to be told."""
    import torch

    draw = np.random.default_rng(seed)
    names, values = (
        np.array(tokenizer.convert_tokens_to_ids(words))[
            np.stack([draw.permutation(len(words))[:pairs] for _ in range(size)])
        ]
        for words in (NAMES, VALUES)
    )
    order = np.concatenate(
        [np.tile(np.arange(pairs), (size, 1)), draw.integers(pairs, size=(size, 12))], axis=1
    )
    rows = np.arange(size)[:, None]
    ids = torch.from_numpy(np.stack([names[rows, order], values[rows, order]], axis=2).reshape(size, -1))
    labels = ids.clone()
    labels[:, ::2] = -100
    labels[:, : 2 * pairs] = -100
    return ids, labels


def batch(tokenizer: Any, size: int, documents: int, seed: int) -> tuple[Any, Any]:
    """(size, tokens) ids and labels: prompts with several questions each, of which the answers are to be told."""
    import torch

    draw = np.random.default_rng(seed)
    texts, questions = [], []
    for lookup in lookups(size, documents, seed):
        prompt = WORDING.compose(lookup.query, lookup.documents).text
        pairs = dict(found.groups() for one in lookup.documents if (found := PAIR.search(one)))
        more = "".join(f"\n\nQuery: {name} {pairs[name]}" for name in draw.choice(list(pairs), size=15))
        texts.append(f"{prompt} {lookup.value}{more}")
        questions.append(prompt)
    rows = tokenizer(texts)["input_ids"]
    width = max(map(len, rows))
    ids = torch.ones(size, width, dtype=torch.long)
    for row, tokens in enumerate(rows):
        ids[row, : len(tokens)] = torch.tensor(tokens)
    asked = torch.tensor([len(one) for one in tokenizer(questions)["input_ids"]])
    answers = torch.isin(ids, torch.tensor(tokenizer.convert_tokens_to_ids(VALUES)))
    answers &= torch.arange(width)[None] >= asked[:, None]
    return ids, torch.where(answers, ids, -100)


def train(steps: int = STEPS, seed: int = SEED) -> tuple[Any, Any]:
    """The trained decoder and its tokenizer: first pairs alone, then documents, more of them as it learns."""
    import torch

    tokenizer = make_tokenizer()
    model = make_model(len(tokenizer), seed).train()
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(learned, lr=2e-3, weight_decay=0.01, betas=(0.9, 0.98))
    begun, smooth, pairs, documents = time.monotonic(), 9.9, 3, 3
    for step in range(steps):
        if pairs <= MOST_PAIRS:
            stage, (ids, labels) = (
                f"{pairs} pairs",
                pairs_batch(tokenizer, 64, pairs, seed * 1_000_003 + step),
            )
        else:
            stage = f"{documents} documents"
            ids, labels = batch(tokenizer, 340 // (documents + 7), documents, seed * 1_000_003 + step)
        for group in optimiser.param_groups:
            group["lr"] = 2e-3 * min(1.0, 4 * (1 - step / steps) + 0.02)
        hidden = model.model(ids).last_hidden_state
        asked = (labels[:, 1:] != -100).nonzero(as_tuple=True)
        loss = torch.nn.functional.cross_entropy(model.lm_head(hidden[:, :-1][asked]), labels[:, 1:][asked])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learned, 1.0)
        optimiser.step()
        optimiser.zero_grad()
        smooth = 0.9 * smooth + 0.1 * loss.item()
        if step % 25 == 24:
            sys.stderr.write(
                f"step {step + 1}/{steps}  {stage}  loss {smooth:.3f}  {time.monotonic() - begun:.0f} s\n"
            )
        if smooth < 0.3:
            smooth = 0.6
            if pairs <= MOST_PAIRS:
                pairs += 3
            else:
                documents = min(DOCUMENTS, documents + 2)
    return model.eval(), tokenizer


def save(model: Any, tokenizer: Any, folder: Path) -> None:
    """Write the decoder where `InContextReranker` finds it."""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--seed", type=int, default=SEED)
    given = parser.parse_args()
    save(*train(given.steps, seed=given.seed), given.folder)
