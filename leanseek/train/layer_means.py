"""The means of texts' states in each layer of a model that is not trained: computed once, and kept in files."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from sentence_transformers.base.modules import InputModule
from torch import Tensor

from leanseek.encode.batches import batches
from leanseek.encode.layer_pooling import layer_means
from leanseek.encode.tokenizer import encodable
from leanseek.encode.torch_encoder import stand_in
from leanseek.errors import ModelError, StorageError
from leanseek.files import free_space, replacing
from leanseek.types import Progress

Float16Array = NDArray[np.float16]

PART = 256
"""Texts of a file; what an interruption loses at most."""
TOKENS = 2048
"""Tokens, padding included, that the model reads at a time."""
CHARACTERS_PER_TOKEN = 4


class LayerMeans:
    """Means (L, D) of texts in each layer, float16, in the files of a folder, found by text."""

    def __init__(self, parts: Sequence[Path], places: dict[str, int]) -> None:
        self._parts = [np.load(part, mmap_mode="r") for part in parts]
        self._places = places

    @property
    def shape(self) -> tuple[int, int]:
        """L and D."""
        layers, dimensions = self._parts[0].shape[1:]
        return int(layers), int(dimensions)

    def numbers(self, texts: Iterable[str]) -> Tensor:
        """(n,) int64 by which `of` takes texts. Raises KeyError for one that was not among those computed."""
        return torch.tensor([self._places[text] for text in texts])

    def of(self, numbers: Tensor) -> Tensor:
        """(n, L, D) float32 of the texts with these numbers (n,)."""
        places = (divmod(number, PART) for number in numbers.tolist())
        return torch.from_numpy(np.stack([self._parts[part][row] for part, row in places])).float()

    def statistics(self) -> tuple[Tensor, Tensor]:
        """(L, D) the mean and the standard deviation over all texts."""
        count = sum(map(len, self._parts))
        total = sum(part.sum(0, dtype=np.float64) for part in self._parts)
        squares = sum((part.astype(np.float64) ** 2).sum(0) for part in self._parts)
        centre = total / count
        spread = np.sqrt(np.maximum(squares / count - centre**2, 0.0))
        return torch.from_numpy(centre).float(), torch.from_numpy(np.maximum(spread, 1e-6)).float()


def compute_layer_means(
    model: Any, texts: Sequence[str], folder: Path, key: str, progress: Progress | None = None
) -> LayerMeans:
    """The layer means of distinct texts, computed by a SentenceTransformer, or read where the folder has them.

    `key` names the model and how much it reads: what the folder has of another key or of other texts is removed. An
    interrupted call goes on from the last `PART` texts when it is repeated.

    Raises StorageError where there is too little room, ModelError for a state that is no number in float16.
    """
    # About sorted by length, so that a part needs little padding, and its file is the same after an interruption.
    texts = sorted(dict.fromkeys(texts), key=lambda text: (len(text), text))
    key = hashlib.sha256("\0".join([key, *texts]).encode("utf-8", "surrogatepass")).hexdigest()
    note = folder / "key.json"
    if not note.is_file() or json.loads(note.read_text(encoding="utf-8")) != key:
        shutil.rmtree(folder, ignore_errors=True)
    layers = model[0].auto_model.config
    check_room(folder, len(texts) * layers.num_hidden_layers * layers.hidden_size * 2)
    with replacing(note) as draft:
        draft.write_text(json.dumps(key), encoding="utf-8")
    parts = [folder / f"{start // PART:06d}.npy" for start in range(0, len(texts), PART)]
    for number, part in enumerate(parts):
        if not part.is_file():
            found = means_of(model, texts[number * PART : (number + 1) * PART])
            with replacing(part) as draft, draft.open("wb") as file:
                np.save(file, found)
        if progress is not None:
            progress("computing layers", min(len(texts), (number + 1) * PART), len(texts))
    return LayerMeans(parts, {text: place for place, text in enumerate(texts)})


def means_of(model: Any, texts: Sequence[str]) -> Float16Array:
    """(n, L, D) the texts' means in each layer. Raises ModelError for a state that is no number."""
    found: list[Float16Array] = [np.empty(0, np.float16)] * len(texts)
    nothing, limit = stand_in(model), model.max_seq_length or TOKENS
    lengths = [min(limit, 2 + len(text) // CHARACTERS_PER_TOKEN) for text in texts]
    with torch.inference_mode():
        for batch in batches(lengths, TOKENS):
            features = model.preprocess([encodable(texts[place]) or nothing for place in batch])
            features = {
                name: value.to(model.device) if isinstance(value, Tensor) else value
                for name, value in features.items()
            }
            means = layer_means(model[0](features)).half().cpu().numpy()
            if not np.isfinite(means).all():
                raise ModelError(
                    "the model's layers have states that are no numbers, or above 65,504; pooling over its layers "
                    "cannot be trained"
                )
            for place, one in zip(batch, means, strict=True):
                found[place] = one
    return np.stack(found)


def check_room(folder: Path, needed: int) -> None:
    """Raise StorageError where the disk has not so many bytes for the folder, beside what is in it."""
    held = sum(path.stat().st_size for path in folder.glob("*")) if folder.is_dir() else 0
    home, free = free_space(folder.parent)
    if free < needed - held:
        raise StorageError(
            f"the layers' states take {(needed - held) / 1e6:,.0f} MB in '{home}', where {free / 1e6:,.0f} MB are "
            "free. Free space there, learn from fewer queries, or give another folder with --out."
        )


class Remembered(InputModule):  # type: ignore[misc]
    """Gives a text's layer means instead of reading it, so that a trainer of sentence-transformers trains what follows.

    Its texts are known in this process alone; what `save` writes and `load` reads is nothing.
    """

    config_keys: ClassVar[list[str]] = []
    tokenizer = None
    max_seq_length = None

    def __init__(self, means: LayerMeans | None = None) -> None:
        super().__init__()
        self._means = means

    def preprocess(self, inputs: Sequence[str], **kwargs: Any) -> dict[str, Tensor]:
        """The numbers (n, 1) of texts, in the place of tokens' ids."""
        assert self._means is not None, "loaded from a checkpoint, for its weights alone"
        return {"input_ids": self._means.numbers(inputs)[:, None]}

    def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Adds `layer_means` (n, L, D)."""
        assert self._means is not None, "loaded from a checkpoint, for its weights alone"
        ids = features["input_ids"]
        return {**features, "layer_means": self._means.of(ids[:, 0]).to(ids.device)}

    def save(self, output_path: str, *args: Any, **kwargs: Any) -> None:
        """Write nothing but that there is nothing."""
        self.save_config(output_path)
