"""Leaves out of a model's last layer what no score depends on."""

from __future__ import annotations

from typing import Any

_LAYERS = frozenset({"BertLayer", "RobertaLayer", "XLMRobertaLayer", "ElectraLayer"})
_HEADS = frozenset(
    {
        "BertForSequenceClassification",
        "RobertaForSequenceClassification",
        "XLMRobertaForSequenceClassification",
        "ElectraForSequenceClassification",
    }
)


def first_token_alone(model: Any) -> None:
    """Have the last layer of a BERT-type sequence classifier compute the first token alone, in place.

    The head reads no other token, so the logits stay what they are (within rounding), and of that layer only
    keys and values are computed for all tokens: of six layers' work a seventh is saved. A model of another kind
    is left as it is.
    """
    if type(model).__name__ not in _HEADS:
        return
    encoder = getattr(model.base_model, "encoder", None)
    layers = getattr(encoder, "layer", None)
    if layers is not None and len(layers) and type(layers[-1]).__name__ in _LAYERS:
        layers[-1] = _first_token_layer(layers[-1])


def _first_token_layer(layer: Any) -> Any:
    """A module like the layer, from hidden states (n, length, D) to those of the first tokens (n, 1, D)."""
    import torch

    class FirstTokenLayer(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.layer = layer

        def forward(self, hidden: Any, attention_mask: Any = None, *_: Any, **__: Any) -> Any:
            attention = self.layer.attention.self
            first = hidden[:, :1]
            shape = (hidden.shape[0], -1, attention.num_attention_heads, attention.attention_head_size)
            query = attention.query(first).view(shape).transpose(1, 2)
            key = attention.key(hidden).view(shape).transpose(1, 2)
            value = attention.value(hidden).view(shape).transpose(1, 2)
            weights = query @ key.transpose(2, 3) * attention.attention_head_size**-0.5
            if attention_mask is not None:
                mask = attention_mask[:, :, :1, :]
                if mask.dtype == torch.bool:
                    weights = weights.masked_fill(~mask, torch.finfo(weights.dtype).min)
                else:
                    weights = weights + mask
            seen = (weights.softmax(-1) @ value).transpose(1, 2).reshape(hidden.shape[0], 1, -1)
            attended = self.layer.attention.output(seen, first)
            return self.layer.output(self.layer.intermediate(attended), attended)

    return FirstTokenLayer()
