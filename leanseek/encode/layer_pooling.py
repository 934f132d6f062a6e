"""Pooling over all layers of a model: learned, in the place of a mean over the tokens of the last one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar, Literal, TypeAlias, get_args

import torch
from sentence_transformers.base.modules import Module
from torch import Tensor, nn
from torch.nn import functional

Kind: TypeAlias = Literal["mix", "layers"]

LAST_AT_FIRST = 0.9
"""The last layer's share of a mix before training."""
HEADS = 8


class LayerPooling(Module):  # type: ignore[misc]
    """Makes one vector of the means h_l over a text's tokens in each of L layers; the embeddings are no layer.

    - `mix`: the sum of softmax(w)_l h_l, with L weights w (Peters et al., ELMo, NAACL 2018). At first the last layer
      has `LAST_AT_FIRST` of the weight.
    - `layers`: `latents` learned queries attend to the L means, to each of which its learned position is added; what
      they find is averaged and added to the last layer's mean of length 1 (Tang and Yang, Pooling and Attention,
      arXiv:2409.02727, with fewer latents and without a feed-forward layer). At first nothing is added. What is
      attended to is standardised, each number by its `centre` and `spread` over texts, as a few numbers of a decoder's
      states are a thousand times the others.

    A model with it has `output_hidden_states` in its transformer's configuration.
    """

    config_keys: ClassVar[list[str]] = ["kind", "layers", "dimensions", "latents"]

    def __init__(self, kind: Kind, layers: int, dimensions: int, latents: int = 16) -> None:
        """For a model of so many `layers`, whose states have so many `dimensions`."""
        super().__init__()
        if kind not in get_args(Kind):
            raise ValueError(f"'{kind}' is no pooling over layers")
        self.kind, self.layers, self.dimensions, self.latents = kind, layers, dimensions, latents
        if kind == "mix":
            weights = torch.zeros(layers)
            if layers > 1:
                weights[-1] = math.log(LAST_AT_FIRST / (1 - LAST_AT_FIRST) * (layers - 1))
            self.weights = nn.Parameter(weights)
            return
        self.heads = math.gcd(HEADS, dimensions)
        self.register_buffer("centre", torch.zeros(layers, dimensions))
        self.register_buffer("spread", torch.ones(layers, dimensions))
        self.places = nn.Parameter(0.02 * torch.randn(layers, dimensions))
        self.asking = nn.Parameter(torch.randn(latents, dimensions))
        self.key = nn.Linear(dimensions, dimensions, bias=False)
        self.value = nn.Linear(dimensions, dimensions, bias=False)
        self.out = nn.Linear(dimensions, dimensions)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Adds `sentence_embedding` (n, D), from the `layer_means` (n, L, D) or from the states of all layers."""
        if "layer_means" not in features:
            features["layer_means"] = layer_means(features)
        features["sentence_embedding"] = self.pooled(features["layer_means"])
        return features

    def pooled(self, means: Tensor) -> Tensor:
        """(n, D) vectors, of any length, from means (n, L, D)."""
        if self.kind == "mix":
            return torch.einsum("l,nld->nd", self.weights.softmax(0), means)
        # Shapes are made of constants alone, as an export to ONNX has texts of any number.
        shape = (self.heads, self.dimensions // self.heads)
        placed = (means - self.centre) / self.spread + self.places
        keys, values = self.key(placed).unflatten(-1, shape), self.value(placed).unflatten(-1, shape)
        scores = torch.einsum("rhd,nlhd->nrhl", self.asking.unflatten(-1, shape), keys)
        attention = (scores * shape[1] ** -0.5).softmax(-1)
        found = torch.einsum("nrhl,nlhd->nrhd", attention, values).mean(1).flatten(1)
        return functional.normalize(means[:, -1], dim=-1) + self.out(found)

    def get_embedding_dimension(self) -> int:
        """D."""
        return self.dimensions

    def save(self, output_path: str, *args: Any, safe_serialization: bool = True, **kwargs: Any) -> None:
        """Write the settings and the weights into a folder."""
        self.save_config(output_path)
        self.save_torch_weights(output_path, safe_serialization=safe_serialization)

    @classmethod
    def load(cls, model_name_or_path: str, subfolder: str = "", **kwargs: Any) -> LayerPooling:
        """Read what `save` wrote."""
        places = {
            key: value
            for key, value in kwargs.items()
            if key in ("token", "cache_folder", "local_files_only")
        }
        pooling = cls(**cls.load_config(model_name_or_path, subfolder=subfolder, **places))
        found = cls.load_torch_weights(model_name_or_path, subfolder=subfolder, model=pooling, **places)
        assert isinstance(found, LayerPooling)
        return found


def layer_means(features: dict[str, Any]) -> Tensor:
    """(n, L, D) the means of the tokens' states in each layer, padding left out.

    `all_layer_embeddings` are the states of the embeddings and of each layer, (n, tokens, D).
    """
    states: Sequence[Tensor] = features["all_layer_embeddings"][1:]
    weights = features["attention_mask"].to(states[0].dtype)[:, :, None]
    total = weights.sum(1).clamp(min=1.0)
    return torch.stack([(state * weights).sum(1) / total for state in states], 1)
