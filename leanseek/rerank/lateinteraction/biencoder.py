"""The tokens of a bi-encoder, which were trained to be averaged, taken one by one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from leanseek.encode import TruncationReport
from leanseek.encode.export_files import ExportSettings
from leanseek.encode.tokens import Int32Array, TextTokenizer
from leanseek.rerank.lateinteraction.model import TokenVectors
from leanseek.types import Float32Array, Int64Array


class Ran(NamedTuple):
    """What the network gives n texts: `tokens` (n, longest, d) and `texts` (n, D), all of length 1."""

    tokens: Float32Array
    texts: Float32Array


class BiEncoderTokens(ABC):
    """A `TokenModel`: all of it but the network itself."""

    whole = True

    def __init__(
        self,
        name: str,
        fingerprint: str,
        definition: str,
        settings: ExportSettings,
        special: Sequence[int],
        budget: int,
    ) -> None:
        """`definition` is the content of the tokenizer's tokenizer.json; `special` are the ids of tokens that stand
        for no part of a text, and are not compared."""
        self.name = name
        self.fingerprint = fingerprint
        self.passage_tokens = settings.max_tokens
        self.budget = budget
        self._settings = settings
        self._tokenizer = TextTokenizer(definition, settings.max_tokens)
        self._special = np.array(special, dtype=np.int64)

    @abstractmethod
    def _run(self, inputs: dict[str, Int64Array]) -> Ran:
        """The vectors of a batch, from the arrays (n, longest) that the model reads, by their names."""

    def lengths(self, passages: Sequence[str]) -> Int32Array:
        """See TokenModel."""
        return self._tokenizer([self._settings.document_prompt + text for text in passages]).lengths

    def cut_queries(self, texts: Sequence[str]) -> TruncationReport:
        """See TokenModel."""
        found = self._tokenizer([self._settings.query_prompt + text for text in texts])
        return TruncationReport.of(found.lengths, self._settings.max_tokens)

    def queries(self, texts: Sequence[str]) -> TokenVectors:
        """See TokenModel."""
        return self._read(texts, self._settings.query_prompt)

    def passages(self, texts: Sequence[str]) -> TokenVectors:
        """See TokenModel."""
        return self._read(texts, self._settings.document_prompt)

    def _read(self, texts: Sequence[str], prompt: str) -> TokenVectors:
        found = self._tokenizer([prompt + text for text in texts]).ids
        width = max(map(len, found))
        ids = np.full((len(texts), width), self._settings.pad_id, dtype=np.int64)
        mask = np.zeros((len(texts), width), dtype=np.int64)
        for row, one in enumerate(found):
            place = slice(width - len(one), width) if self._settings.pad_left else slice(0, len(one))
            ids[row, place], mask[row, place] = one, 1
        given = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        ran = self._run({name: given[name] for name in self._settings.inputs})
        compared = (mask == 1) & ~np.isin(ids, self._special)
        return TokenVectors([ran.tokens[row][compared[row]] for row in range(len(texts))], ran.texts)


def special_of(model: Any) -> tuple[int, ...]:
    """The ids of a SentenceTransformer's special tokens, but for that of unknown words, which stands for something."""
    tokenizer = model.tokenizer
    unknown = getattr(tokenizer, "unk_token_id", None)
    return tuple(sorted({int(one) for one in getattr(tokenizer, "all_special_ids", ())} - {unknown}))


def network_of(model: Any, inputs: Sequence[str]) -> Any:
    """A torch module of a SentenceTransformer: the arrays named `inputs` to the two arrays of `Ran`."""
    import torch

    unit = torch.nn.functional.normalize

    class Network(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, *values: Any) -> Any:
            found = self.model(dict(zip(inputs, values, strict=True)))
            text = found["sentence_embedding"]
            text = text[:, : self.model.truncate_dim] if self.model.truncate_dim else text
            return unit(found["token_embeddings"], dim=2), unit(text, dim=1)

    return Network().eval()
