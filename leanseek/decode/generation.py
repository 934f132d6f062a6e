"""What a decoder writes, always the most probable token, and how probable it finds a text."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, TypeAlias

from leanseek.decode.chat import encoded
from leanseek.errors import InputError, ModelError, UsageError

MOST = 64
"""Tokens that are generated at most, by default."""
BATCH = 8
"""Prompts that are read at a time, by default."""

SHARED = 16
"""Tokens that several prompts have to begin with alike to be read once for all."""

Constraint: TypeAlias = Callable[[Sequence[int]], Sequence[int]]
"""From the tokens generated so far to those that may come next; none end the text."""


class Token(NamedTuple):
    """A token, the natural logarithm of its probability, and the entropy (nats) of the model's choice in its place."""

    id: int
    text: str
    log_probability: float
    entropy: float


class Generated(NamedTuple):
    """A text that was generated and its tokens; `finished`: it ended by itself, not because it became too long."""

    text: str
    tokens: tuple[Token, ...]
    finished: bool

    @property
    def log_probability(self) -> float:
        """Of the whole text."""
        return sum(token.log_probability for token in self.tokens)


class OneOf:
    """A `Constraint`: the text is one of those given, to the letter.

    >>> decoder.generate([prompt], constraint=OneOf(decoder.tokenizer, [" yes", " no"]))
    """

    def __init__(self, tokenizer: Any, texts: Iterable[str]) -> None:
        """Raises UsageError for no texts or an empty one."""
        self._next: dict[tuple[int, ...], set[int]] = {}
        paths = {tuple(tokenizer(text, add_special_tokens=False)["input_ids"]) for text in texts}
        if not paths or () in paths:
            raise UsageError(
                "the texts to choose from are none, or one of them is empty; give at least one text"
            )
        for path in paths:
            for place, token in enumerate(path):
                self._next.setdefault(path[:place], set()).add(token)
            self._next.setdefault(path, set())
        for path in paths:
            # Where another text goes on from this one, the model decides whether this is the end.
            if self._next[path] and tokenizer.eos_token_id is not None:
                self._next[path].add(int(tokenizer.eos_token_id))

    def __call__(self, generated: Sequence[int]) -> list[int]:
        """The tokens that lead on to one of the texts."""
        return sorted(self._next.get(tuple(generated), ()))


def generate(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[str],
    most: int,
    constraint: Constraint | None,
    batch_size: int,
    context: int | None,
) -> list[Generated]:
    """See `Decoder.generate`."""
    if isinstance(prompts, str):
        raise UsageError("prompts is a single text; give a list, such as [prompt]")
    if most < 1 or batch_size < 1:
        raise UsageError(f"{most} tokens of {batch_size} prompts at a time are none; give 1 or more of both")
    rows = [_ids(tokenizer, prompt, context, 1) for prompt in prompts]
    found: list[Generated] = []
    for start in range(0, len(rows), batch_size):
        found += _batch(model, tokenizer, rows[start : start + batch_size], most, constraint, context)
    return found


def _batch(
    model: Any,
    tokenizer: Any,
    rows: Sequence[Sequence[int]],
    most: int,
    constraint: Constraint | None,
    context: int | None,
) -> list[Generated]:
    """What comes after each of some prompts, which are read together."""
    import torch
    from transformers import DynamicCache

    # Each prompt has the room of its own length, whatever it is read together with.
    limits = [most if context is None else min(most, context - len(row)) for row in rows]
    ends, cache = end_tokens(model, tokenizer), DynamicCache(config=model.config)
    more = {"logits_to_keep": 1} if _keeps(model) else {}
    shared = beginning(rows)
    if shared:
        # What all prompts begin with, such as an instruction with its examples, is read once.
        model(
            input_ids=torch.tensor([rows[0][:shared]], device=model.device),
            past_key_values=cache,
            use_cache=True,
            **more,
        )
        cache.batch_repeat_interleave(len(rows))
    lengths = [len(row) - shared for row in rows]
    longest = max(lengths)
    ids = torch.tensor(
        [[0] * (longest - length) + list(row[shared:]) for length, row in zip(lengths, rows, strict=True)],
        device=model.device,
    )
    real = torch.tensor(
        [[1] * shared + [0] * (longest - length) + [1] * length for length in lengths], device=model.device
    )
    positions = (real.cumsum(dim=1) - 1).clamp(min=0)[:, shared:]
    written: list[list[Token]] = [[] for _ in rows]
    finished = [False] * len(rows)
    open_rows = list(range(len(rows)))
    while open_rows:
        output = model(
            input_ids=ids,
            attention_mask=real,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            **more,
        )
        scores = _finite(output.logits[:, -1].float()).log_softmax(dim=-1)
        ids = torch.zeros((len(rows), 1), dtype=torch.long, device=model.device)
        for row in list(open_rows):
            so_far = [one.id for one in written[row]]
            token = _choose(scores[row], None if constraint is None else constraint(so_far))
            finished[row] = token is None or token in ends
            if token is not None and not finished[row]:
                written[row].append(_token(tokenizer, token, scores[row]))
                ids[row, 0] = token
                if len(written[row]) < limits[row]:
                    continue
                finished[row] = constraint is not None and not constraint([*so_far, token])
            open_rows.remove(row)
        positions = positions[:, -1:] + 1
        if context is not None:
            # Rows that are done are carried along, but not beyond the model's last position.
            positions = positions.clamp(max=context - 1)
        real = torch.cat([real, real.new_ones(len(rows), 1)], dim=1)
    return [
        Generated(
            tokenizer.decode([token.id for token in tokens], skip_special_tokens=True), tuple(tokens), end
        )
        for tokens, end in zip(written, finished, strict=True)
    ]


def beginning(rows: Sequence[Sequence[int]]) -> int:
    """How many tokens all of several prompts begin with, if these are so many that reading them once pays; else 0."""
    least = min(len(row) for row in rows) - 1
    shared = next((place for place in range(least) if len({row[place] for row in rows}) > 1), least)
    return shared if len(rows) > 1 and shared >= SHARED else 0


def log_probabilities(
    model: Any, tokenizer: Any, prompt: str, continuation: str, context: int | None
) -> tuple[Token, ...]:
    """See `Decoder.log_probabilities`."""
    import torch

    ids, offsets = encoded(tokenizer, prompt + continuation)
    first = next((place for place, (_, end) in enumerate(offsets) if end > len(prompt)), len(ids))
    if first == len(ids):
        return ()
    if not first:
        raise InputError("the prompt is empty: nothing stands before the text; give a prompt")
    _check_room(len(ids), 0, context)
    more = {"logits_to_keep": len(ids) - first + 1} if _keeps(model) else {}
    logits = model(input_ids=torch.tensor([ids], device=model.device), use_cache=False, **more).logits[0]
    scores = _finite(logits[-(len(ids) - first + 1) : -1].float()).log_softmax(dim=-1)
    return tuple(_token(tokenizer, token, row) for token, row in zip(ids[first:], scores, strict=True))


def end_tokens(model: Any, tokenizer: Any) -> frozenset[int]:
    """The tokens that end a text."""
    given = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    listed = given if isinstance(given, (list, tuple)) else [given]
    return frozenset(int(one) for one in (*listed, tokenizer.eos_token_id) if one is not None)


def _choose(scores: Any, allowed: Sequence[int] | None) -> int | None:
    """The best of the tokens, the first of equal ones; None where none is allowed."""
    if allowed is None:
        return int(scores.argmax())
    ordered = sorted(allowed)
    return ordered[int(scores[ordered].argmax())] if ordered else None


def _token(tokenizer: Any, token: int, scores: Any) -> Token:
    """The token with its text; `scores` (v,) are log-probabilities."""
    entropy = -float((scores.exp() * scores).nansum())
    return Token(token, tokenizer.decode([token]), float(scores[token]), entropy)


def _ids(tokenizer: Any, prompt: str, context: int | None, room: int) -> tuple[int, ...]:
    ids = encoded(tokenizer, prompt).ids
    if not ids:
        raise InputError("a prompt is empty: the model has nothing to go on from; leave it out")
    _check_room(len(ids), room, context)
    return ids


def _check_room(length: int, room: int, context: int | None) -> None:
    if context is not None and length + room > context:
        raise InputError(
            f"the text has {length:,} tokens, and the model reads {context:,} at most; shorten it"
        )


def _finite(logits: Any) -> Any:
    if not bool(logits.isfinite().any(dim=-1).all()) or bool(logits.isnan().any()):
        raise ModelError(
            "the model's output is no numbers; check its weights, or load them in a higher precision"
        )
    return logits


def _keeps(model: Any) -> bool:
    """Whether the model can compute its output for the last tokens alone."""
    return "logits_to_keep" in inspect.signature(model.forward).parameters
