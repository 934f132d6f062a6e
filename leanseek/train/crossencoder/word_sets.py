"""Which words stand for a text, and pairs of word sets of which one stands for it better than the other.

By the model's attention as in B-PROP (Ma et al., SIGIR 2021), or by counts as in PROP (Ma et al., WSDM 2021).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Final, Literal, NamedTuple, TypeAlias

import numpy as np

from leanseek.encode.torch_encoder import load_model
from leanseek.errors import ModelError
from leanseek.text import load_analyzer
from leanseek.types import Float64Array, Progress, silent

Method: TypeAlias = Literal["b-prop", "prop"]
Distribution: TypeAlias = Mapping[str, float]
"""The probability of each word of a text."""

FEWEST_WORDS: Final = 10
"""Texts with fewer different words have no sets that differ."""
SATURATION: Final = 0.01
"""The attention at which a word counts half."""
MOST_CONTRAST: Final = 100.0
SMOOTHING: Final = 2000.0
"""The weight of the collection in a text's language model, in words (Zhai and Lafferty, SIGIR 2001)."""
MEAN_SIZE: Final = 3.0
TEXTS_READ: Final = 32

_WORD = re.compile(r"[^\W\d_]+")


class SetPair(NamedTuple):
    """Two word sets of the same size, of which the `better` one stands for the text."""

    better: str
    worse: str
    text: str


class Words(NamedTuple):
    """The words of a text, how likely each is to be drawn into a set, and what it is worth there, both (w,)."""

    words: list[str]
    chances: Float64Array
    worth: Float64Array


def set_pairs(
    texts: Sequence[str],
    method: Method,
    pairs: int,
    seed: int,
    base: Path,
    device: str | None = None,
    progress: Progress = silent,
) -> list[SetPair]:
    """Pairs of word sets of each text with enough words, so many of each at most, the same for the same `seed`.

    `base` is the folder of the encoder whose attention tells, by "b-prop". Raises ModelError where it shows none.
    """
    if method == "b-prop":
        found = contrasted(attended(texts, base, device, progress))
    else:
        found = counted([Counter(filter(said, _WORD.findall(text.casefold()))) for text in texts])
    draw = np.random.default_rng(seed)
    return [
        SetPair(*sets, text)
        for text, words in zip(texts, found, strict=True)
        if len(words.words) >= FEWEST_WORDS
        for sets in drawn(words, pairs, draw)
    ]


@cache
def said(word: str) -> bool:
    """Whether a word says something of a text: English stop words do not."""
    return bool(load_analyzer("english").tokens(word))


def drawn(words: Words, pairs: int, draw: np.random.Generator) -> list[tuple[str, str]]:
    """Pairs of sets of a text's words, the one worth more first; pairs worth the same are left out."""
    found = []
    for size in draw.poisson(MEAN_SIZE, pairs).clip(1, len(words.words)):
        chosen = [draw.choice(len(words.words), size, replace=False, p=words.chances) for _ in range(2)]
        chosen.sort(key=lambda one: -words.worth[one].sum())
        better, worse = (words.worth[one].sum() for one in chosen)
        if better > worse:
            found.append(
                (" ".join(words.words[at] for at in chosen[0]), " ".join(words.words[at] for at in chosen[1]))
            )
    return found


def contrasted(texts: Sequence[Distribution]) -> list[Words]:
    """What words say of a text beyond what they say of all: B-PROP's contrast of both distributions.

    A word is worth P(w | text) · -log2 P(w | all texts); its chance is the softmax of that.
    """
    whole: dict[str, float] = {}
    for text in texts:
        for word, share in text.items():
            whole[word] = whole.get(word, 0.0) + share
    total = sum(whole.values())
    found = []
    for text in texts:
        words = sorted(text)
        worth = np.array([text[word] * -np.log2(whole[word] / total) for word in words]).clip(
            max=MOST_CONTRAST
        )
        chances = np.exp(worth - worth.max(initial=0.0))
        found.append(Words(words, chances / max(chances.sum(), 1e-300), worth))
    return found


def counted(texts: Sequence[Mapping[str, int]]) -> list[Words]:
    """PROP: words are drawn by the text's language model, and a set is worth its likelihood there."""
    whole: Counter[str] = Counter()
    for text in texts:
        whole.update(text)
    total = sum(whole.values())
    found = []
    for text in texts:
        words, length = sorted(text), sum(text.values())
        model = np.array(
            [(text[word] + SMOOTHING * whole[word] / total) / (length + SMOOTHING) for word in words]
        )
        found.append(Words(words, model / max(model.sum(), 1e-300), np.log(model)))
    return found


def attended(
    texts: Sequence[str], base: Path, device: str | None = None, progress: Progress = silent
) -> list[Distribution]:
    """How much the encoder attends to each word of a text in its last layer, as a distribution over its words.

    The attention is that of the tokens which become the text's vector: of all of them, or of the first, as the encoder
    pools; the mean of the heads. A word has that of its first piece, summed over where it stands. Raises ModelError.
    """
    import torch

    model = load_model(base, device, attn_implementation="eager")
    network, tokenizer = model[0].auto_model, model.tokenizer
    first = getattr(model[1], "pooling_mode", "mean") == "cls"
    found: list[Distribution] = []
    for start in range(0, len(texts), TEXTS_READ):
        progress("reading attention", start, len(texts))
        block = list(texts[start : start + TEXTS_READ])
        tokens = tokenizer(
            block,
            padding=True,
            truncation=True,
            max_length=model.max_seq_length,
            return_tensors="pt",
            return_offsets_mapping=True,
        )
        offsets = tokens.pop("offset_mapping").tolist()
        with torch.inference_mode():
            shown = network(**tokens.to(model.device), output_attentions=True).attentions
        if not shown:
            raise ModelError(
                f"'{base}' does not show what it attends to; give another base, or the method prop"
            )
        heads = shown[-1].mean(dim=1).float().cpu()
        real = tokens["attention_mask"].cpu()
        weights = heads[:, 0] if first else (heads * real[:, :, None]).sum(dim=1) / real.sum(dim=1)[:, None]
        for row, text in enumerate(block):
            found.append(spread(text, tokens.word_ids(row), offsets[row], weights[row].tolist()))
    return found


def spread(
    text: str, places: Sequence[int | None], offsets: Sequence[Sequence[int]], weights: Sequence[float]
) -> Distribution:
    """The words of a text with their weights: each word's is that of its first token, by its place among the words."""
    spans: dict[int, tuple[int, int, float]] = {}
    for place, (start, end), weight in zip(places, offsets, weights, strict=True):
        if place is not None:
            begin, _, own = spans.get(place, (start, end, weight))
            spans[place] = (begin, end, own)
    sums: dict[str, float] = {}
    for start, end, weight in spans.values():
        word = text[start:end].casefold()
        if _WORD.fullmatch(word):
            sums[word] = sums.get(word, 0.0) + weight
    full = {word: weight / (weight + SATURATION) for word, weight in sums.items()}
    total = sum(full.values())
    return {word: weight / total for word, weight in full.items()}
