"""The attention function that models run: the usual output, and what the query tokens attend to.

It is registered with transformers under one name and called by every model that finds its attention there, so no
model is copied. The output is computed as transformers does (scaled dot products, which hold no matrix of
attention), in blocks of rows where a mask is needed; only the rows of the query tokens are computed in full.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any
from weakref import WeakKeyDictionary

from leanseek.decode.capture import CURRENT, Capture, Enough, softmax
from leanseek.errors import ModelError

NAME = "leanseek_attention"

_ROWS = 256
"""Rows of queries that are masked at a time."""

_TRANSFORMERS = 5
"""The first version whose masks are made from the indexes of queries and keys."""

MASKED: ContextVar[Mapping[int, Sequence[int]]] = ContextVar(
    "leanseek_masked_heads", default=MappingProxyType({})
)
"""The heads of each layer whose output is nothing in this thread's forward passes."""

_REGISTERING = threading.Lock()
_LOCKS: WeakKeyDictionary[Any, threading.Lock] = WeakKeyDictionary()


@dataclass(frozen=True, slots=True)
class Mask:
    """Which keys a query sees, made a block of rows at a time from what transformers would make a mask of at once."""

    arguments: Mapping[str, Any]
    causal: bool

    @property
    def keys(self) -> int:
        """How many keys there are."""
        return int(self.arguments["kv_length"])

    def rows(self, start: int, end: int) -> Any:
        """(b, 1, end - start, n) True where the query sees the key."""
        from transformers.masking_utils import sdpa_mask

        given = dict(self.arguments, q_length=end - start, allow_is_causal_skip=False)
        capture = CURRENT.get()
        if capture is not None and capture.positions is not None:
            given["mask_function"] = by_position(self.arguments["mask_function"], capture.positions)
        return sdpa_mask(**given | {"q_offset": self.arguments["q_offset"] + start})


def by_position(function: Any, positions: Any) -> Any:
    """The mask function with the `positions` (n,) of query and key in place of their indexes."""

    def seen(batch: Any, head: Any, query: Any, key: Any) -> Any:
        return function(batch, head, positions[query], positions[key])

    return seen


def lazy_mask(**arguments: Any) -> Mask:
    """What transformers calls in place of making a mask."""
    local = arguments.get("local_size")
    causal = (
        arguments.get("allow_is_causal_skip", True)
        and arguments.get("attention_mask") is None
        and (local is None or arguments["kv_length"] <= local)
        and arguments["q_length"] == arguments["kv_length"]
    )
    return Mask(arguments, causal)


def attend(
    module: Any,
    query: Any,
    key: Any,
    value: Any,
    attention_mask: Any,
    scaling: float | None = None,
    softcap: float | None = None,
    s_aux: Any = None,
    position_bias: Any = None,
    **_: Any,
) -> tuple[Any, None]:
    """(b, rows, h, d) the attention's output for `query` (b, h, rows, d), `key` and `value` (b, g, n, d).

    An active capture gets the last rows; after the deepest layer that it needs, Enough is raised.
    """
    if position_bias is not None:
        raise ModelError(
            "The model adds learned position biases to its attention, which leanseek does not know. "
            "Choose a decoder such as those of the Llama, Qwen, Mistral, Gemma and Phi families."
        )
    scale = scaling if scaling is not None else query.shape[-1] ** -0.5
    capture = CURRENT.get()
    if capture is not None:
        show(capture, module.layer_idx, query, key, attention_mask, scale, softcap=softcap, sinks=s_aux)
    found = output(query, key, value, attention_mask, scale, softcap, s_aux)
    for head in MASKED.get().get(module.layer_idx, ()):
        found[:, :, head] = 0
    return found, None


def show(capture: Capture, layer: int, query: Any, key: Any, mask: Any, scale: float, **terms: Any) -> None:
    """Give the last rows to the capture, and end the pass where that was all."""
    rows, length = capture.weights.shape[1], query.shape[2]
    if rows:
        seen = visible(mask, length - rows, length, key.shape[2], query.device)
        capture.take(layer, query[:, :, length - rows :], key, seen, scale, **terms)
    if layer >= capture.heads.deepest:
        raise Enough


def visible(mask: Any, start: int, end: int, keys: int, device: Any) -> Any:
    """(b or 1, 1, end - start, keys) which keys the rows see; `mask` is a `Mask`, or a tensor that the model made."""
    import torch

    if isinstance(mask, Mask):
        return mask.rows(start, end)
    if isinstance(mask, torch.Tensor):
        part = mask[:, :1, start:end, :keys]
        return part if part.dtype == torch.bool else part >= 0
    raise ModelError(
        "The model does not make its attention's masks through transformers' interface, so what its tokens see is "
        "not known. Choose a decoder such as those of the Llama, Qwen, Mistral, Gemma and Phi families."
    )


def output(
    query: Any, key: Any, value: Any, mask: Any, scale: float, softcap: float | None, sinks: Any
) -> Any:
    """(b, rows, h, d) the attention's output."""
    import torch
    from torch.nn.functional import scaled_dot_product_attention

    grouped = {"enable_gqa": True} if key.shape[1] != query.shape[1] else {}
    plain = softcap is None and sinks is None
    if plain and isinstance(mask, Mask) and mask.causal:
        found = scaled_dot_product_attention(query, key, value, is_causal=True, scale=scale, **grouped)
        return found.transpose(1, 2)
    blocks = []
    for start in range(0, query.shape[2], _ROWS):
        block = query[:, :, start : start + _ROWS]
        seen = visible(mask, start, start + block.shape[2], key.shape[2], query.device)
        # Keys that no row of the block sees are left out: those to come, and those outside a sliding window.
        columns = seen.any(dim=2).any(dim=1).any(dim=0).nonzero()
        if not len(columns):  # nothing but padding
            blocks.append(value.new_zeros(*block.shape[:3], value.shape[3]))
            continue
        first, past = int(columns[0]), int(columns[-1]) + 1
        near = key[:, :, first:past], value[:, :, first:past], seen[..., first:past]
        if plain:
            blocks.append(scaled_dot_product_attention(block, *near, scale=scale, **grouped))
        else:
            blocks.append(capped(block, *near, scale, softcap, sinks))
    return torch.cat(blocks, dim=2).transpose(1, 2)


def capped(
    query: Any, key: Any, value: Any, seen: Any, scale: float, softcap: float | None, sinks: Any
) -> Any:
    """(b, h, rows, d) attention whose scores are bounded by `softcap`, or with a sink's score beside them."""
    import torch

    heads = []
    shared = query.shape[1] // key.shape[1]
    for head in range(query.shape[1]):
        scores = query[:, head] @ key[:, head // shared].transpose(-1, -2) * scale
        if softcap is not None:
            scores = torch.tanh(scores / softcap) * softcap
        scores = scores.float() if scores.dtype != torch.float64 else scores
        scores = scores.masked_fill(~seen[:, 0], torch.finfo(scores.dtype).min)
        sink = None if sinks is None else sinks[head].to(scores.dtype)
        heads.append(softmax(scores, sink).to(value.dtype) @ value[:, head // shared])
    return torch.stack(heads, dim=1)


def register() -> None:
    """Make the attention known to transformers under `NAME`. Raises ModelError where that is too old for it."""
    import transformers

    if int(transformers.__version__.partition(".")[0]) < _TRANSFORMERS:
        raise ModelError(
            f"A decoder's attention needs transformers {_TRANSFORMERS} or newer; this is {transformers.__version__}. "
            "Update it with: pip install --upgrade transformers"
        )
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface

    with _REGISTERING:
        AttentionInterface.register(NAME, attend)
        AttentionMaskInterface.register(NAME, lazy_mask)


@contextmanager
def masking(heads: Mapping[int, Sequence[int]]) -> Iterator[None]:
    """Inside the block these heads (numbers by layer) add nothing to what models compute with this attention."""
    token = MASKED.set(heads)
    try:
        yield
    finally:
        MASKED.reset(token)


@contextmanager
def exclusive(model: Any) -> Iterator[None]:
    """Inside the block one thread alone runs `model`, in inference mode and without drop-out."""
    import torch

    with _REGISTERING:
        lock = _LOCKS.setdefault(model, threading.Lock())
    with lock, torch.inference_mode():
        training = model.training
        model.eval()
        try:
            yield
        finally:
            model.train(training)


@contextmanager
def attending(model: Any) -> Iterator[None]:
    """`exclusive`, and `model` computes its attention here; afterwards as before."""
    register()
    configurations = {
        id(module.config): module.config
        for module in model.modules()
        if hasattr(getattr(module, "config", None), "_attn_implementation")
    }
    with exclusive(model):
        before = {key: config._attn_implementation for key, config in configurations.items()}
        try:
            for config in configurations.values():
                config._attn_implementation = NAME
            yield
        finally:
            for key, config in configurations.items():
                config._attn_implementation = before[key]
