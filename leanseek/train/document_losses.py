"""What a document encoder is fitted to: blocks that it is not shown, then pairs of similar documents."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Final

import numpy as np
import torch
from sentence_transformers.base.modules import InputModule
from torch import Tensor, nn
from torch.nn import functional

from leanseek.encode.document_transformer import DocumentTransformer
from leanseek.train.encoder.encoder_recipe import COSINE_SCALE
from leanseek.types import Float32Array

AMPLIFIER: Final = 6.0
"""What SMITH multiplies the cosine of two documents by before the sigmoid."""
SAME: Final = 0.9999
"""Blocks with a higher cosine are taken for the same text."""


class Blocks(InputModule):  # type: ignore[misc]
    """Gives a document's block vectors instead of reading it, so that a trainer of sentence-transformers trains what
    follows.

    Its documents are known in this process alone; what `save` writes and `load` reads is nothing.
    """

    config_keys: ClassVar[list[str]] = []
    tokenizer = None
    max_seq_length = None

    def __init__(
        self, vectors: Float32Array | None = None, rows: Mapping[str, Sequence[int]] | None = None
    ) -> None:
        """The vectors (p, D) of blocks, and the rows of each document's."""
        super().__init__()
        self._vectors = torch.from_numpy(vectors) if vectors is not None else torch.empty(0, 0)
        self._rows = [torch.tensor(places) for places in (rows or {}).values()]
        self._numbers = {text: number for number, text in enumerate(rows or {})}

    def numbers(self, texts: Iterable[str]) -> list[int]:
        """The numbers by which `forward` takes documents. Raises KeyError for one that is not known."""
        return [self._numbers[text] for text in texts]

    def preprocess(self, inputs: Sequence[str], **kwargs: Any) -> dict[str, Tensor]:
        """The numbers (n, 1) of documents, in the place of tokens' ids."""
        return {"input_ids": torch.tensor(self.numbers(inputs))[:, None]}

    def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Adds `blocks` (n, m, D), padded with zeros, and `present` (n, m), which is False there."""
        ids = features["input_ids"]
        rows = [self._rows[number] for number in ids[:, 0].tolist()]
        blocks = nn.utils.rnn.pad_sequence([self._vectors[places] for places in rows], batch_first=True)
        sizes = torch.tensor([len(places) for places in rows])
        present = torch.arange(blocks.shape[1]) < sizes[:, None]
        return {**features, "blocks": blocks.to(ids.device), "present": present.to(ids.device)}

    def save(self, output_path: str, *args: Any, **kwargs: Any) -> None:
        """Write nothing but that there is nothing."""
        self.save_config(output_path)


class MaskedBlocks(nn.Module):  # type: ignore[misc]
    """Which block of all that are masked in a batch is the one at this place (SMITH's masked sentence-block loss).

    `masked` blocks e of each document are not shown. With ê for what is expected at their places,

        loss = mean_i -log softmax_j(20 ê_i·e_j)[i]

    over all masked blocks j of the batch, those with the same text as i left out. While the model learns, blocks are
    drawn anew each time; those of held-out documents are always the same.
    """

    def __init__(self, model: Any, masked: int, seed: int) -> None:
        super().__init__()
        self.model = model
        self._masked, self._seed = masked, seed

    def forward(self, features: Sequence[dict[str, Any]], labels: object = None) -> Tensor:
        """The loss of a batch of documents, each with more blocks than are masked."""
        [given] = features
        source: Blocks = self.model[0]
        transformer: DocumentTransformer = self.model[1]
        found = source(given)
        blocks, present = found["blocks"], found["present"]
        hidden = self.drawn(present, given["input_ids"][:, 0])
        expected = transformer.expected(blocks, present, hidden)
        wanted = blocks[hidden]
        scores = COSINE_SCALE * expected @ wanted.T
        same = wanted @ wanted.T > SAME
        same.fill_diagonal_(False)
        return functional.cross_entropy(
            scores.masked_fill(same, -torch.inf), torch.arange(len(scores), device=scores.device)
        )

    def drawn(self, present: Tensor, numbers: Tensor) -> Tensor:
        """(n, m) True for the blocks that are masked, so many of each document."""
        if self.model.training:
            noise = torch.rand(present.shape)
        else:
            noise = torch.stack(
                [
                    torch.rand(present.shape[1], generator=torch.Generator().manual_seed(self._seed + number))
                    for number in numbers.tolist()
                ]
            )
        places = noise.to(present.device).masked_fill(~present, -1.0).topk(self._masked).indices
        return torch.zeros_like(present).scatter(1, places, True)


class SimilarDocuments(nn.Module):  # type: ignore[misc]
    """Whether two documents are similar: the sigmoid cross-entropy of 6 times the cosine of their vectors (SMITH).

    In a batch of pairs every first document meets every second one. Those known to be `similar`, by their numbers, are;
    all others are taken not to be. Both kinds weigh alike.
    """

    def __init__(self, model: Any, similar: set[tuple[int, int]]) -> None:
        super().__init__()
        self.model = model
        self._similar = similar

    def forward(self, features: Sequence[dict[str, Any]], labels: object = None) -> Tensor:
        """The loss of a batch of pairs, of which the first documents come first."""
        one, other = (self.model(dict(given))["sentence_embedding"] for given in features)
        left, right = (given["input_ids"][:, 0].tolist() for given in features)
        alike = np.array([[a == b or (a, b) in self._similar for b in right] for a in left])
        wanted = torch.from_numpy(alike).to(one.device)
        losses = functional.binary_cross_entropy_with_logits(
            AMPLIFIER * one @ other.T, wanted.to(one.dtype), reduction="none"
        )
        found = losses[wanted].mean()
        return found if bool(wanted.all()) else (found + losses[~wanted].mean()) / 2
