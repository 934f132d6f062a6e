"""The vectors of a text's tokens, from bi-encoders."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from leanseek.encode.batches import onnx_batch_tokens, torch_batch_tokens
from leanseek.encode.corpus import TruncationReport
from leanseek.encode.export import ExportSettings, damaged_export, open_session, read_tokenizer
from leanseek.encode.onnx_encoder import settings_of
from leanseek.encode.tokenizer import TextTokenizer, model_inputs
from leanseek.encode.torch_encoder import load_model, tokenizer_definition
from leanseek.errors import ModelError
from leanseek.types import Float32Array, Int32Array, Int64Array

SPECIAL_FILE = "special.json"


class TokenVectors(NamedTuple):
    """Of n texts: `tokens`, an array (tokens that count, d) float32 each, rows of length 1; `texts` (n, D) float32.

    `texts` are the vectors of the texts as a whole, of length 1; None where the model has none.
    """

    tokens: list[Float32Array]
    texts: Float32Array | None


class TextTokens(NamedTuple):
    """The vectors of a text: `tokens` (t, d), and the whole one's (D,) or None."""

    tokens: Float32Array
    text: Float32Array | None


def finite_tokens(read: TokenVectors) -> Iterator[TextTokens]:
    """The vectors of each text. Raises ModelError where they are not finite."""
    for place, tokens in enumerate(read.tokens):
        if not np.isfinite(tokens).all():
            raise ModelError(
                "the model gave vectors that are not finite; they order nothing. Check its weights"
            )
        yield TextTokens(tokens, read.texts[place] if read.texts is not None else None)


class TokenModel(Protocol):
    """Reads texts, each by itself: a text's vectors do not depend on the others of the call, but for rounding."""

    name: str
    """What `load` takes to load it again."""
    fingerprint: str
    """Hex digest of weights, tokenizer and precision."""
    whole: bool
    """Whether it gives texts a vector as a whole, too."""
    passage_tokens: int | None
    """How many of a passage's tokens are read; None: all."""
    budget: int
    """Tokens of a batch that runs fastest."""

    def lengths(self, passages: Sequence[str]) -> Int32Array:
        """(n,) the passages' tokens, before any cut."""
        ...

    def cut_queries(self, texts: Sequence[str]) -> TruncationReport:
        """What is cut off n queries because they are longer than the model reads."""
        ...

    def queries(self, texts: Sequence[str]) -> TokenVectors:
        """The vectors of n queries, all read at once."""
        ...

    def passages(self, texts: Sequence[str]) -> TokenVectors:
        """The vectors of n passages, all read at once."""
        ...


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
        """`definition` is the content of the tokenizer's tokenizer.json; `special` are the ids of tokens that represent
        no part of a text, and are not compared."""
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

    def places(self, passage: str) -> Int32Array:
        """(t, 2) the characters [start, end) of a passage that each of its t vectors stands for."""
        prompt = self._settings.document_prompt
        [ids] = self._tokenizer([prompt + passage]).ids
        places = self._tokenizer.places(prompt + passage) - np.int32(len(prompt))
        return places[~np.isin(ids, self._special)].clip(min=0)

    def _read(self, texts: Sequence[str], prompt: str) -> TokenVectors:
        found = self._tokenizer([prompt + text for text in texts]).ids
        given = model_inputs(found, self._settings.pad_id, self._settings.pad_left)
        ran = self._run({name: given[name] for name in self._settings.inputs})
        compared = (given["attention_mask"] == 1) & ~np.isin(given["input_ids"], self._special)
        return TokenVectors([ran.tokens[row][compared[row]] for row in range(len(texts))], ran.texts)


def special_of(model: Any) -> tuple[int, ...]:
    """The ids of a SentenceTransformer's special tokens, but for that of unknown words, which represents some."""
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


class TorchTokenModel(BiEncoderTokens):
    """The tokens of a model that sentence-transformers loads, in float32."""

    def __init__(self, name: str, folder: Path, fingerprint: str, device: str | None = None) -> None:
        """Load the model in `folder`; `device` is a torch device, None for the best there is.

        Raises MissingPackageError where sentence-transformers is absent, ModelError for a folder that holds no model
        with tokens in context.
        """
        model = load_model(folder, device)
        if getattr(model[0], "auto_model", None) is None:
            raise ModelError(
                f"The model in {folder} gives words the same vector wherever they are; late interaction compares "
                "tokens in context. Choose a transformer, such as sentence-transformers/all-MiniLM-L6-v2"
            )
        self._device = model.device
        settings = settings_of(model, int(model.get_embedding_dimension()))
        self._network = network_of(model, settings.inputs)
        budget = torch_batch_tokens(model.device.type)
        definition = tokenizer_definition(model)
        super().__init__(name, fingerprint, definition, settings, special_of(model), budget)

    def _run(self, inputs: dict[str, Int64Array]) -> Ran:
        import torch

        with torch.inference_mode():
            given = [torch.from_numpy(values).to(self._device) for values in inputs.values()]
            tokens, texts = self._network(*given)
        return Ran(tokens.float().cpu().numpy(), texts.float().cpu().numpy())


class OnnxTokenModel(BiEncoderTokens):
    """The tokens of a bi-encoder exported to ONNX, run by ONNX Runtime."""

    def __init__(self, name: str, folder: Path, fingerprint: str, device: str | None = None) -> None:
        """Load the export in `folder`; `device` is "cpu" (the same as None) or "cuda".

        Raises MissingPackageError where onnxruntime is absent, ModelError for a damaged export, UsageError for a
        device that the installed ONNX Runtime does not have.
        """
        settings = ExportSettings.read(folder)
        self._session = open_session(folder, device)
        definition = read_tokenizer(folder)
        try:
            special = [int(one) for one in json.loads((folder / SPECIAL_FILE).read_text(encoding="utf-8"))]
        except (OSError, ValueError, TypeError) as error:
            raise damaged_export(folder, error) from error
        super().__init__(name, fingerprint, definition, settings, special, onnx_batch_tokens(device))

    def _run(self, inputs: dict[str, Int64Array]) -> Ran:
        return Ran(*self._session.run(["tokens", "text_vectors"], inputs))
