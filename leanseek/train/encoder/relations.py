"""What a student of fewer layers is fitted to: the relations in its teacher's last layer, and the vectors."""

from __future__ import annotations

import math
import re
from functools import partial
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from leanseek.errors import ModelError

PROJECTIONS: Final = (
    re.compile(r"(^|\.)(query|q_lin)$"),
    re.compile(r"(^|\.)(key|k_lin)$"),
    re.compile(r"(^|\.)(value|v_lin)$"),
)
"""What makes queries, keys and values of a layer's input, in the families of BERT and DistilBERT."""
_MORE_THAN_PRODUCTS: Final = re.compile(r"relative|distance_embedding|rotary")
"""Parts of models whose attention is more than the products of queries and keys."""


class Projected(NamedTuple):
    """What a layer makes of n tokens: `queries`, `keys` and `values`, each (b, heads, n, d)."""

    queries: Tensor
    keys: Tensor
    values: Tensor


class LastLayer:
    """The queries, keys and values of a SentenceTransformer's last layer, kept whenever the model runs.

    Attention is computed without its weights being shown; from these they follow exactly. Raises ModelError for an
    architecture whose attention is another.
    """

    def __init__(self, model: Any) -> None:
        network, last = model[0].auto_model, layers_of(model)[-1]
        self._heads = int(network.config.num_attention_heads)
        self._kept: dict[int, Tensor] = {}
        for place, pattern in enumerate(PROJECTIONS):
            found = [part for name, part in last.named_modules() if pattern.search(name)]
            if len(found) != 1 or any(
                _MORE_THAN_PRODUCTS.search(name) for name, _ in network.named_modules()
            ):
                raise ModelError(
                    f"the relations of a {type(network).__name__} cannot be distilled; give a --teacher of the "
                    "families of BERT, RoBERTa or DistilBERT"
                )
            found[0].register_forward_hook(partial(self._keep, place))

    def take(self) -> Projected:
        """What was kept of the last run; nothing is, afterwards."""
        parts = [self._kept.pop(place) for place in range(len(PROJECTIONS))]
        return Projected(*(part.unflatten(-1, (self._heads, -1)).transpose(1, 2) for part in parts))

    def _keep(self, place: int, module: nn.Module, given: Any, made: Tensor) -> None:
        self._kept[place] = made


class RelationLoss(nn.Module):  # type: ignore[misc]
    """MiniLM's loss (Wang et al., NeurIPS 2020): KL(A_T‖A_S) + KL(V_T‖V_S), and 1 - the cosine of the vectors.

    For each head of the last layer A is softmax(QKᵀ/√d), how the tokens attend to each other, and V is softmax(VVᵀ/√d),
    how like each other their values are; the weight of the latter is `values`. The student learns without dropout: its
    relations are to be those of the whole text.
    """

    def __init__(self, model: Any, teacher: Any, *, values: float = 1.0) -> None:
        super().__init__()
        self.model = model
        self.teacher = teacher.requires_grad_(False)
        self._values = values
        self._layers = LastLayer(model), LastLayer(teacher)

    def forward(self, features: Any, labels: Tensor | None = None) -> Tensor:
        """The loss of a batch of texts, the only column of `features`; there are no labels."""
        [tokens] = features
        with torch.no_grad():
            wanted = self.teacher.eval()(dict(tokens))["sentence_embedding"]
        found = self.model.eval()(dict(tokens))["sentence_embedding"]
        student, teacher = (layer.take() for layer in self._layers)
        mask = tokens["attention_mask"].bool()
        loss = (1.0 - functional.cosine_similarity(found, wanted)).mean()
        loss = loss + divergence(teacher.queries, teacher.keys, student.queries, student.keys, mask)
        if self._values:
            values = divergence(teacher.values, teacher.values, student.values, student.values, mask)
            loss = loss + self._values * values
        return loss


def divergence(
    one: Tensor, other: Tensor, student_one: Tensor, student_other: Tensor, mask: Tensor
) -> Tensor:
    """KL(teacher‖student) of how tokens relate to each other: a text's mean over heads and tokens, then the texts'.

    A token's relations to all tokens of its text are the softmax of its scaled products with them, `one` (b, h, n, d)
    with `other` (b, h, n, d); `mask` (b, n) has the tokens that are no padding. Heads are compared one by one.
    """
    wanted, found = log_relations(one, other, mask), log_relations(student_one, student_other, mask)
    of_tokens = (wanted.exp() * (wanted - found)).sum(-1).mean(1)  # (b, n)
    return ((of_tokens * mask).sum(1) / mask.sum(1)).mean()


def log_relations(one: Tensor, other: Tensor, mask: Tensor) -> Tensor:
    """(b, h, n, n): the logarithms of each token's relations to all tokens; of those to padding, of almost 0."""
    scores = one @ other.transpose(-1, -2) / math.sqrt(one.shape[-1])
    return scores.masked_fill(~mask[:, None, None, :], torch.finfo(scores.dtype).min).log_softmax(-1)


def layers_of(model: Any) -> nn.ModuleList:
    """The layers of a SentenceTransformer. Raises ModelError where it is no transformer, or they are not one list."""
    network = getattr(model[0], "auto_model", None)
    count = getattr(network and network.config, "num_hidden_layers", None)
    found = [part for part in model.modules() if isinstance(part, nn.ModuleList) and len(part) == count]
    if len(found) != 1:
        raise ModelError("the --teacher is no transformer with one list of layers, so none can be left out")
    return found[0]


def keep_layers(model: Any, count: int) -> None:
    """Leave a SentenceTransformer `count` of its layers, evenly spaced, the last among them.

    What comes before the layers, the embeddings, is not learned anew: most of a small model's weights are there, and
    they are the teacher's.
    """
    layers = layers_of(model)
    kept = {math.ceil((place + 1) * len(layers) / count) - 1 for place in range(count)}
    for place in reversed(range(len(layers))):
        if place not in kept:
            del layers[place]
    model.requires_grad_(False)
    layers.requires_grad_(True)
    model[0].auto_model.config.num_hidden_layers = count
