"""What an encoder is fitted to: a teacher's margins, or the positive among all passages of a batch.

A batch is b queries with p passages each, the relevant one first; features and vectors come column by column: the
queries, then each query's first passage, its second, and so on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from sentence_transformers.base.losses.merged_forward import embed_columns
from torch import Tensor, nn
from torch.nn import functional

from leanseek.train.encoder.encoder_recipe import COSINE_SCALE, KL_WEIGHT


class GroupLoss(nn.Module):  # type: ignore[misc]
    """A loss over the scores of each query's passages: `COSINE_SCALE` times their cosine, or with `dot` their product.

    With a weight for `views` the last two columns are two views of one document, whose vectors are to be nearer to each
    other than to those of the batch's other documents (Yao et al., Self-supervised Learning for Large-scale Item
    Recommendations, CIKM 2021).
    """

    def __init__(self, model: Any, *, dot: bool = False, views: float = 0.0) -> None:
        super().__init__()
        self.model = model
        self._dot = dot
        self._views = views

    def forward(self, features: Any, labels: Tensor | None = None) -> Tensor:
        """The loss of a batch; `labels` (b, p) are the teacher's scores, or the passages' grades."""
        return self.compute_loss_from_embeddings(embed_columns(self.model, features), labels)

    def compute_loss_from_embeddings(self, embeddings: Sequence[Tensor], labels: Tensor | None) -> Tensor:
        """The same from the vectors (b, D) of each column; sentence-transformers' regularisers call it."""
        if not self._dot:
            embeddings = [functional.normalize(vectors, dim=1) for vectors in embeddings]
        if not self._views:
            return self.of_groups(embeddings[0], torch.stack(list(embeddings[1:]), 1), labels)
        queries, *passages, one, other = embeddings
        loss = self.of_groups(queries, torch.stack(passages, 1), labels)
        return loss + self._views * among(COSINE_SCALE * one @ other.T)

    def scaled(self, scores: Tensor) -> Tensor:
        """Scores as the softmax takes them."""
        return scores if self._dot else COSINE_SCALE * scores

    def of_groups(self, queries: Tensor, passages: Tensor, labels: Tensor | None) -> Tensor:
        """The loss of queries (b, D) and their passages (b, p, D)."""
        raise NotImplementedError


class InfoNce(GroupLoss):
    """The positive among the passages of all queries of a batch (van den Oord et al., arXiv:1807.03748).

    Where a group has passages of lower grades too, each is to get its share of the group's grades.
    """

    def of_groups(self, queries: Tensor, passages: Tensor, labels: Tensor | None) -> Tensor:
        """See `GroupLoss`."""
        everything = passages.transpose(0, 1).reshape(-1, passages.shape[2])  # the positives first
        scores = self.scaled(queries @ everything.T)
        if labels is None:
            return among(scores)
        shares = labels.to(scores.dtype) / labels.sum(1, keepdim=True)
        wanted = torch.diag_embed(shares.T).transpose(0, 1).reshape(len(queries), -1)
        return functional.cross_entropy(scores, wanted)


class MarginMse(GroupLoss):
    """The teacher's margins between the positive and each negative (Hofstätter et al., arXiv:2010.02666).

    To it comes a little of the divergence between the softmax of both models' scores, which weighs the order at the
    top. The teacher's scores are to be on the scale of the model's.
    """

    def of_groups(self, queries: Tensor, passages: Tensor, labels: Tensor | None) -> Tensor:
        """See `GroupLoss`."""
        assert labels is not None, "a teacher's scores"
        scores = self.scaled(torch.einsum("bd,bpd->bp", queries, passages))
        wanted = labels.to(scores.dtype)
        margins = functional.mse_loss(scores[:, :1] - scores[:, 1:], wanted[:, :1] - wanted[:, 1:])
        divergence = functional.kl_div(
            scores.log_softmax(1), wanted.log_softmax(1), reduction="batchmean", log_target=True
        )
        return margins + KL_WEIGHT * divergence


def among(scores: Tensor) -> Tensor:
    """The cross-entropy of scores (b, n), of which those at (i, i) are to be the greatest of their row."""
    return functional.cross_entropy(scores, torch.arange(len(scores), device=scores.device))


LOSSES: dict[str, type[GroupLoss]] = {"margin-mse": MarginMse, "infonce": InfoNce}
