"""The n-grams of a collection that a decoder finds probable: beam search that never leaves what occurs.

Bevilacqua et al.: "Autoregressive Search Engines: Generating Substrings as Document Identifiers" (SEAL, NeurIPS 2022,
arXiv:2204.10628).
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator
from typing import Any, Final, Generic, NamedTuple, Protocol, TypeVar

import numpy as np

from leanseek.decode.attention import exclusive
from leanseek.decode.chat import encoded
from leanseek.decode.decoder import Decoder, new_cache
from leanseek.decode.generation import end_tokens
from leanseek.errors import InputError, ModelError, UsageError
from leanseek.types import Float64Array, Int64Array

BEAMS: Final = 15
LONGEST: Final = 10
"""N-grams that are continued at a time, and the most tokens of one, as in SEAL."""

State = TypeVar("State")


class Continuations(Protocol[State]):
    """Which tokens go on from an n-gram; see `TokenNGrams`."""

    @property
    def everything(self) -> State:
        """The n-gram of no tokens."""
        ...

    def extend(self, found: State, token: int) -> State:
        """An n-gram with one more token behind it."""
        ...

    def may_follow(self, found: State) -> Int64Array:
        """(t,) the tokens that follow an n-gram somewhere, ascending."""
        ...


class GeneratedNGram(NamedTuple, Generic[State]):
    """The ids of an n-gram's `tokens`, its probability behind the prompt, behind the other one, and its state.

    Probabilities are natural logarithms; without another prompt the second is minus infinity.
    """

    tokens: tuple[int, ...]
    log_probability: float
    otherwise: float
    state: State


def generate_ngrams(
    decoder: Decoder,
    prompt: str,
    continuations: Continuations[State],
    *,
    other: str | None = None,
    beams: int = BEAMS,
    longest: int = LONGEST,
) -> list[GeneratedNGram[State]]:
    """All n-grams that were among the most probable `beams` of their length, of 1 to `longest` tokens; equal ones once.

    Probabilities are those of the model without the constraint; `other` is a prompt behind which they are taken too.
    Raises UsageError for no beams or tokens, InputError
    for a prompt that is empty or does not fit, ModelError where the model's output is no numbers.
    """
    if beams < 1 or longest < 1:
        raise UsageError(f"{beams} beams of {longest} tokens write nothing; give 1 or more of both")
    found: list[GeneratedNGram[State]] = []
    with exclusive(decoder.model):
        reader = _Reader(decoder, prompt, longest)
        against = None if other is None else _Reader(decoder, other, longest)
        open_ngrams = [GeneratedNGram((), 0.0, -math.inf if other is None else 0.0, continuations.everything)]
        for _ in range(longest):
            rows = reader.log_probabilities()
            prior = None if against is None else against.log_probabilities()
            best = heapq.nsmallest(
                beams,
                _longer(open_ngrams, rows, continuations, reader.ends, beams),
                key=lambda one: (-one[0], one[1]),
            )
            if not best:
                break
            open_ngrams = [
                GeneratedNGram(
                    tokens,
                    score,
                    open_ngrams[row].otherwise + (0.0 if prior is None else float(prior[row, tokens[-1]])),
                    continuations.extend(open_ngrams[row].state, tokens[-1]),
                )
                for score, tokens, row in best
            ]
            found += open_ngrams
            for one in (reader, against):
                if one is not None:
                    one.go_on([row for _, _, row in best], [tokens[-1] for _, tokens, _ in best])
    return found


def _longer(
    ngrams: list[GeneratedNGram[State]],
    rows: Float64Array,
    continuations: Continuations[State],
    ends: frozenset[int],
    beams: int,
) -> Iterator[tuple[float, tuple[int, ...], int]]:
    """The best continuations of each n-gram: their log-probability, tokens, and the n-gram's row."""
    for row, (ngram, scores) in enumerate(zip(ngrams, rows, strict=True)):
        allowed = continuations.may_follow(ngram.state)
        allowed = allowed[~np.isin(allowed, list(ends))]
        of_allowed = scores[allowed]
        # Stable, so that of equal ones the first ids are taken.
        for place in np.argsort(-of_allowed, kind="stable")[:beams].tolist():
            token = int(allowed[place])
            yield ngram.log_probability + float(of_allowed[place]), (*ngram.tokens, token), row


class _Reader:
    """The model behind a prompt that is read once, and behind what was chosen since."""

    def __init__(self, decoder: Decoder, prompt: str, longest: int) -> None:
        import torch

        ids = encoded(decoder.tokenizer, prompt).ids
        if not ids:
            raise InputError("the prompt is empty; give one that the n-grams go on from")
        if decoder.context is not None and len(ids) + longest > decoder.context:
            raise InputError(
                f"the prompt has {len(ids):,} tokens, and the model reads {decoder.context:,} at most; shorten it"
            )
        self.ends = end_tokens(decoder.model, decoder.tokenizer)
        self._decoder = decoder
        self._cache: Any = new_cache()
        self._ids = torch.tensor([ids], device=decoder.model.device)

    def log_probabilities(self) -> Float64Array:
        """(rows, vocabulary) of what comes next, as natural logarithms."""
        model = self._decoder.model
        output = model(input_ids=self._ids, past_key_values=self._cache, use_cache=True)
        logits = output.logits[:, -1].float()
        if bool(logits.isnan().any()):
            raise ModelError(
                f"the model '{self._decoder.name}' gives no numbers; check its weights, or load them in a higher "
                "precision"
            )
        found: Float64Array = logits.log_softmax(dim=-1).double().cpu().numpy()
        return found

    def go_on(self, rows: list[int], tokens: list[int]) -> None:
        """Read a token behind each of the rows, some of which may be left out or taken again."""
        import torch

        device = self._decoder.model.device
        self._cache.reorder_cache(torch.tensor(rows, device=device))
        self._ids = torch.tensor(tokens, device=device)[:, None]
