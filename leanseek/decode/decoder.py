"""A decoder: what it attends to, what it writes, and how probable it finds a text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, TypeVar

import numpy as np

from leanseek.decode.attention import attending, exclusive
from leanseek.decode.capture import CURRENT, Capture, Enough, Heads, Projections, Rows, Strongest
from leanseek.decode.chat import chat_frame
from leanseek.decode.generation import BATCH, MOST, Constraint, Generated, Token, generate, log_probabilities
from leanseek.decode.states import LayerStates, States
from leanseek.encode.models import derived_fingerprint
from leanseek.errors import ModelError
from leanseek.types import Float32Array, Float64Array, Int64Array

Numbers = TypeVar("Numbers", Float32Array, Float64Array)


class Decoder:
    """A causal language model and its tokenizer.

    It is asked for texts (`generate`), for the probability of a text (`log_probabilities`), and for what its tokens
    attend to (`attention` and the methods after it, which take token ids).

    `layers` is the model without its head, `name` what it was loaded by. One call runs at a time, whatever thread
    it comes from.

    >>> decoder = load_decoder("HuggingFaceTB/SmolLM2-135M-Instruct")
    >>> decoder.generate([decoder.chat("What do statins lower?")])[0].text
    """

    def __init__(self, model: Any, tokenizer: Any, name: str, weights: Callable[[], str]) -> None:
        """`weights` makes the digest of the model's weights when it is needed."""
        self.model = model
        self.layers = model.get_decoder() if hasattr(model, "get_decoder") else model.base_model
        self.tokenizer = tokenizer
        self.name = name
        self._weights = weights

    @cached_property
    def weights(self) -> str:
        """Hex digest of the weights and the tokenizer."""
        return self._weights()

    @property
    def fingerprint(self) -> str:
        """Hex digest of the weights, the tokenizer and the precision that they are computed in."""
        return derived_fingerprint(self.weights, str(self.layers.dtype))

    @property
    def depth(self) -> int:
        """How many layers it has."""
        return int(self.layers.config.num_hidden_layers)

    @property
    def width(self) -> int:
        """How many attention heads each layer has."""
        return int(self.layers.config.num_attention_heads)

    @property
    def context(self) -> int | None:
        """The longest input in tokens; None where the model sets no limit."""
        limit = getattr(self.layers.config, "max_position_embeddings", None)
        return int(limit) if limit else None

    def chat(self, message: str) -> str:
        """The prompt that puts a user's message to the model in its chat template; the message where it has none."""
        frame = chat_frame(self.tokenizer)
        return message if frame is None else f"{frame.prefix}{message}{frame.suffix}"

    def generate(
        self,
        prompts: Sequence[str],
        *,
        most: int = MOST,
        constraint: Constraint | None = None,
        batch_size: int = BATCH,
    ) -> list[Generated]:
        """What the model writes after each prompt, at most `most` tokens: always the most probable one (greedy).

        With a `constraint` the most probable of those that it allows, such as `OneOf(decoder.tokenizer, texts)`.
        `batch_size` prompts are read at a time. A prompt is read as it is; see `chat`.

        Raises UsageError for `most` below 1, InputError for a prompt that leaves no room in the model's context or has
        no tokens, ModelError where the model's output is no numbers.
        """
        with exclusive(self.model):
            return generate(self.model, self.tokenizer, prompts, most, constraint, batch_size, self.context)

    def log_probabilities(self, prompt: str, continuation: str) -> tuple[Token, ...]:
        """The tokens of the continuation, each with its log-probability after all that stands before it.

        A token that holds the end of the prompt and the begin of the continuation is the continuation's.

        Raises InputError for an empty prompt, or one that does not fit into the model's context together with the
        continuation.
        """
        with exclusive(self.model):
            return log_probabilities(self.model, self.tokenizer, prompt, continuation, self.context)

    def attention(
        self,
        prefixes: Sequence[Sequence[int]],
        tails: Sequence[Sequence[Sequence[int]]],
        counts: Sequence[Sequence[int]],
        heads: Heads,
        apart: bool = False,
    ) -> list[Float64Array]:
        """What the ends of b prompts attend to, for several ends of the same b beginnings.

        `prefixes` are b lists of token ids. Each of `tails` has b lists that follow them, of which the last
        `counts` tokens count. One array for each of `tails`: (b, heads, p) the mean attention of those tokens on
        each token of the beginnings (aligned at the end: p is the longest), summed over the heads (then heads is 1)
        unless they are recorded `apart`.

        The beginnings are computed once, together with the first ends.

        Raises ModelError where the attention is no numbers.
        """
        longest = max(map(len, prefixes))
        padded = min(map(len, prefixes)) < longest
        found = []
        with attending(self.model):
            cache = new_cache()
            for number, (ends, counted) in enumerate(zip(tails, counts, strict=True)):
                longest_end = max(map(len, ends))
                ids = np.zeros((len(prefixes), longest + longest_end), dtype=np.int64)
                real = np.zeros_like(ids)
                for row, (prefix, end) in enumerate(zip(prefixes, ends, strict=True)):
                    whole = slice(longest - len(prefix), longest + len(end))
                    ids[row, whole] = [*prefix, *end]
                    real[row, whole] = 1
                capture = Capture(heads, self._tensor(shares(ends, counted)), longest, apart)
                self._run(ids[:, longest if number else 0 :], cache, capture, real if padded else None)
                found.append(self._finite(capture.stacked() if apart else capture.total()[:, None]))
                cache.crop(-longest_end)
        return found

    def strongest(self, ids: Sequence[int], rows: int) -> Int64Array:
        """(heads of all layers, rows) the place of the token that gets most attention from each of the last."""
        capture = Strongest(self.depth, rows)
        with attending(self.model):
            self._run(np.array([ids]), new_cache(), capture)
        return np.asarray(capture.stacked()[0], dtype=np.int64)

    def attention_rows(
        self, ids: Sequence[int], rows: int, layers: Sequence[int] | None = None
    ) -> Float64Array:
        """(rows, n) what each of the last `rows` of n tokens attends to: a mean over heads, and over some `layers`.

        By default all layers. Raises ModelError where the attention is no numbers.
        """
        capture = Rows(range(self.depth) if layers is None else layers, rows)
        with attending(self.model):
            self._run(np.array([ids]), new_cache(), capture)
        return self._finite(capture.mean())

    def projections(
        self, ids: Sequence[int], rows: int, layers: Sequence[int] | None = None
    ) -> dict[int, tuple[Float32Array, Float32Array]]:
        """Of each layer the queries (h, rows, d) of the last `rows` of n tokens and the keys (g, n, d) of all.

        After rotary positions, as attention compares them: query head i with key head i // (h / g). By default of all
        layers. Raises ModelError where they are no numbers.
        """
        capture = Projections(range(self.depth) if layers is None else layers, rows)
        with attending(self.model):
            self._run(np.array([ids]), new_cache(), capture)
        for found in capture.found.values():
            for vectors in found:
                self._finite(vectors)
        return capture.found

    def states(
        self, blocks: Sequence[Sequence[int]], deepest: int, after: LayerStates | None = None
    ) -> list[States]:
        """The states of each of the blocks of tokens by itself, each `after` the same beginning; up to a layer."""
        begin = after.tokens if after is not None else 0
        ids = np.zeros((len(blocks), max(map(len, blocks))), dtype=np.int64)
        for row, block in enumerate(blocks):
            ids[row, : len(block)] = block
        with attending(self.model):
            cache = new_cache()
            for layer in range(deepest + 1):
                if after is not None:
                    keys, values = (part.expand(len(blocks), -1, -1, -1) for part in after.layer(layer))
                    cache.update(keys, values, layer)
            nothing = self._tensor(np.zeros((len(blocks), 0)))
            self._run(ids, cache, Capture(Heads({deepest: ()}), nothing, 0, False))
            return [
                States(
                    tuple(
                        layer.keys[row, :, begin : begin + len(block)].clone()
                        for layer in cache.layers[: deepest + 1]
                    ),
                    tuple(
                        layer.values[row, :, begin : begin + (len(block) if number < deepest else 1)].clone()
                        for number, layer in enumerate(cache.layers[: deepest + 1])
                    ),
                )
                for row, block in enumerate(blocks)
            ]

    def attention_on(
        self,
        parts: Sequence[LayerStates],
        positions: Sequence[int],
        tails: Sequence[Sequence[int]],
        counts: Sequence[int],
        heads: Heads,
    ) -> list[Float64Array]:
        """What each of the `tails` attends to, each alone after the same tokens, whose states are known.

        `positions` are those of the parts' tokens, of which some may be the same; the tails come after the last.
        One array for each of the tails: (p,) the mean attention of its last `counts` tokens, summed over the heads.

        Raises ModelError where the attention is no numbers.
        """
        import torch

        count, begin = len(positions), max(positions) + 1
        found = []
        with attending(self.model):
            cache = new_cache()
            for layer in range(heads.deepest + 1):
                keys, values = zip(*(part.layer(layer) for part in parts), strict=True)
                cache.update(torch.cat(keys, dim=1)[None], torch.cat(values, dim=1)[None], layer)
            for tail, counted in zip(tails, counts, strict=True):
                places = np.array([*positions, *range(begin, begin + len(tail))])
                capture = Capture(
                    heads, self._tensor(shares([tail], [counted])), count, False, self._tensor(places)
                )
                self._run(np.array([tail]), cache, capture, positions=places[None, count:])
                found.append(self._finite(capture.total()[0]))
                cache.crop(-len(tail))
        return found

    def _run(self, ids: Any, cache: Any, capture: Capture, real: Any = None, positions: Any = None) -> None:
        """One forward pass, as deep as the capture asks. `real` (b, all tokens) is 0 for padding before a prompt."""
        more = {}
        if real is not None:
            positions = np.maximum(real.cumsum(axis=1) - 1, 0)[:, -ids.shape[1] :]
            more["attention_mask"] = self._tensor(real)
        if positions is not None:
            more["position_ids"] = self._tensor(positions)
        token = CURRENT.set(capture)
        try:
            self.layers(input_ids=self._tensor(ids), past_key_values=cache, use_cache=True, **more)
        except Enough:
            pass
        finally:
            CURRENT.reset(token)

    def _finite(self, attention: Numbers) -> Numbers:
        if not np.isfinite(attention).all():
            raise ModelError(
                f"the model '{self.name}' gave NaN or infinite attention; it orders nothing. Check its weights, or "
                "load them in a higher precision"
            )
        return attention

    def _tensor(self, array: Any) -> Any:
        import torch

        return torch.from_numpy(np.ascontiguousarray(array)).to(self.layers.device)


def new_cache() -> Any:
    """An empty cache that keeps the keys and values of all tokens in every layer.

    The sliding layers of some models would keep only the newest, which cannot be cut back to earlier ones.
    """
    from transformers import DynamicCache

    return DynamicCache()


def shares(tails: Sequence[Sequence[int]], counts: Sequence[int]) -> Float64Array:
    """(tails, longest) what each token counts: the last `counts` of each tail alike, 1 in all; the others nothing."""
    found = np.zeros((len(tails), max(map(len, tails))))
    for row, (tail, count) in enumerate(zip(tails, counts, strict=True)):
        found[row, len(tail) - count : len(tail)] = 1 / count
    return found
