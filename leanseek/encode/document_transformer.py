"""One vector of a whole document, from the vectors of its blocks: the upper half of SMITH."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np
import torch
from sentence_transformers.base.modules import Module
from torch import Tensor, nn

from leanseek.encode.models import holds_document_encoder
from leanseek.errors import ModelError
from leanseek.types import Float32Array, Int64Array

HEADS: Final = 8
DROPOUT: Final = 0.1
TOGETHER: Final = 2048
"""Blocks that are read at a time, unless one document has more."""


class DocumentTransformer(Module):  # type: ignore[misc]
    """A transformer over the vectors of a document's blocks, which an encoder has made of its passages.

    The document encoder of SMITH (Yang et al., "Beyond 512 tokens: siamese multi-depth transformer-based hierarchical
    encoder for long-form document matching", CIKM 2020), over an encoder that stays as it is: each block attends to all
    others. The state h_i that it comes to says what is expected where a block is masked, and what a block e_i counts:
    the document's vector is the sum of softmax_i(w·h_i) e_i, with length 1. Before training that is the mean of the
    blocks.

    `encoder` is the fingerprint of the encoder whose vectors it reads.
    """

    config_keys: ClassVar[list[str]] = ["dimensions", "blocks", "layers", "width", "encoder"]

    def __init__(
        self, dimensions: int, blocks: int, layers: int = 3, width: int = 256, encoder: str = ""
    ) -> None:
        """For documents of at most so many `blocks`, whose vectors have so many `dimensions`."""
        super().__init__()
        self.dimensions, self.blocks, self.layers, self.width = dimensions, blocks, layers, width
        self.encoder = encoder
        self.enter = nn.Linear(dimensions, width)
        self.places = nn.Parameter(0.02 * torch.randn(blocks, width))
        self.mask = nn.Parameter(0.02 * torch.randn(width))
        layer = nn.TransformerEncoderLayer(
            width, HEADS, 4 * width, DROPOUT, "gelu", batch_first=True, norm_first=True
        )
        self.reader = nn.TransformerEncoder(layer, layers, nn.LayerNorm(width), enable_nested_tensor=False)
        self.leave = nn.Linear(width, dimensions, bias=False)
        self.weigh = nn.Linear(width, 1, bias=False)
        for new in (self.leave, self.weigh):
            nn.init.zeros_(new.weight)

    def states(self, blocks: Tensor, present: Tensor, masked: Tensor | None = None) -> Tensor:
        """(n, m, width) the blocks (n, m, D) of n documents, each as it is seen among the others.

        `present` (n, m) is False for padding, `masked` (n, m) True for blocks that are not to be seen.
        """
        states = self.enter(blocks)
        if masked is not None:
            states = torch.where(masked[:, :, None], self.mask, states)
        states = states + self.places[: blocks.shape[1]]
        found: Tensor = self.reader(states, src_key_padding_mask=~present)
        return found

    def expected(self, blocks: Tensor, present: Tensor, masked: Tensor) -> Tensor:
        """(h, D) what is expected at each of the h blocks that are `masked`; what is given is as in `states`."""
        found: Tensor = self.leave(self.states(blocks, present, masked)[masked])
        return found

    def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Adds `sentence_embedding` (n, D), of length 1, from `blocks` (n, m, D) and `present` (n, m)."""
        blocks, present = features["blocks"], features["present"]
        weights = (
            self.weigh(self.states(blocks, present))[:, :, 0].masked_fill(~present, -torch.inf).softmax(1)
        )
        features["sentence_embedding"] = nn.functional.normalize(
            torch.einsum("nm,nmd->nd", weights, blocks), dim=1
        )
        return features

    def vectors(self, blocks: Float32Array, starts: Int64Array) -> Float32Array:
        """(d, D) unit vectors of d documents, from the vectors (p, D) of their blocks, one document after the other.

        They begin at the ascending rows `starts` (d,); none has more blocks than this was made for.
        """
        device = self.mask.device
        rows = np.split(np.arange(len(blocks)), starts[1:])
        found: Float32Array = np.empty((len(starts), self.dimensions), np.float32)
        with torch.inference_mode():
            for places in same_sizes(list(map(len, rows))):
                part = torch.from_numpy(blocks[np.stack([rows[place] for place in places])]).to(device)
                present = torch.ones(part.shape[:2], dtype=torch.bool, device=device)
                features = self.forward({"blocks": part, "present": present})
                found[places] = features["sentence_embedding"].cpu().numpy()
        return found

    def save(self, output_path: str, *args: Any, safe_serialization: bool = True, **kwargs: Any) -> None:
        """Write the settings and the weights into a folder."""
        self.save_config(output_path)
        self.save_torch_weights(output_path, safe_serialization=safe_serialization)

    @classmethod
    def load(cls, model_name_or_path: str, subfolder: str = "", **kwargs: Any) -> DocumentTransformer:
        """Read what `save` wrote."""
        places = {
            key: value
            for key, value in kwargs.items()
            if key in ("token", "cache_folder", "local_files_only")
        }
        model = cls(**cls.load_config(model_name_or_path, subfolder=subfolder, **places))
        found = cls.load_torch_weights(model_name_or_path, subfolder=subfolder, model=model, **places)
        assert isinstance(found, DocumentTransformer)
        return found


def same_sizes(sizes: Sequence[int]) -> list[list[int]]:
    """The places of documents of so many blocks each, in batches of one size: nothing has to be padded."""
    groups: dict[int, list[int]] = {}
    for place, size in enumerate(sizes):
        groups.setdefault(size, []).append(place)
    found = []
    for size, places in sorted(groups.items()):
        step = max(1, TOGETHER // size)
        found += [places[at : at + step] for at in range(0, len(places), step)]
    return found


def load_document_transformer(folder: Path, device: str | None = None) -> DocumentTransformer:
    """The document encoder in a folder that `leanseek train documents` has written, to be used.

    Raises ModelError for another folder, or one that is damaged.
    """
    if not holds_document_encoder(folder):
        raise ModelError(
            f"'{folder}' holds no document encoder; leanseek train documents SOURCE --out '{folder}' makes one"
        )
    try:
        model = DocumentTransformer.load(str(folder), local_files_only=True)
        model.to(device or "cpu").eval()
    except Exception as error:  # each library that reads weights has errors of its own
        raise ModelError(f"the document encoder in '{folder}' cannot be loaded: {error}") from error
    return model
