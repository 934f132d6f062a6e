"""The torch back end: any model that sentence-transformers loads, on any device that torch knows."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from leanseek.encode.base import Encoded
from leanseek.encode.batches import Batches, torch_batch_tokens
from leanseek.encode.device import check_device, halved
from leanseek.encode.models import settings_in
from leanseek.encode.tokenizer import TextTokenizer, encodable
from leanseek.errors import MissingPackageError, ModelError
from leanseek.types import Float32Array, Int32Array


class TorchEncoder:
    """A sentence-transformers model (Reimers and Gurevych, EMNLP 2019), run by torch.

    `device` is where, `precision` in which: float32, on CUDA cards half of it. Vectors are float32 of unit length.
    """

    def __init__(self, name: str, folder: Path, fingerprint: str, device: str | None = None) -> None:
        """Load the model in `folder`; `device` is a torch device, None for the best there is.

        Raises:
            MissingPackageError: sentence-transformers is not installed.
            ModelError: the folder holds no model that it can load.
            UsageError: the device does not exist.
        """
        self.name = name
        self.model = self.load(folder, device)
        self.precision = halved(self.model)
        self.device = str(self.model.device)
        self.folder = folder
        self.fingerprint = fingerprint
        self.prompts = prompts_of(self.model)
        self.max_tokens = max_tokens_of(self.model)
        self._tokenizer = TextTokenizer(tokenizer_definition(self.model), self.max_tokens)
        self._stand_in = stand_in(self.model)
        budget = torch_batch_tokens(self.model.device.type)
        self._batches = Batches(budget, "text")
        self.dimensions = int(self.model.encode_query(["a"], show_progress_bar=False).shape[1])

    def load(self, folder: Path, device: str | None) -> Any:
        """The SentenceTransformer that encodes."""
        return load_model(folder, device)

    def encode_queries(self, texts: Sequence[str]) -> Encoded:
        """Vectors (n, D) of queries, with the model's own query prompt."""
        return self._encode(texts, self.model.encode_query, self.prompts[0])

    def encode_documents(self, texts: Sequence[str]) -> Encoded:
        """Vectors (n, D) of passages, with the model's own document prompt."""
        return self._encode(texts, self.model.encode_document, self.prompts[1])

    def count_tokens(self, texts: Sequence[str]) -> Int32Array:
        """The lengths (n,) of documents before any cut, prompt and special tokens included."""
        return self._tokenizer([self.prompts[1] + text for text in texts]).lengths

    def _encode(self, texts: Sequence[str], encode: Any, prompt: str) -> Encoded:
        texts = [encodable(text) for text in texts]
        lengths = self._tokenizer([prompt + text for text in texts]).lengths
        cut = lengths if self.max_tokens is None else np.minimum(lengths, self.max_tokens)
        vectors: Float32Array = np.empty((len(texts), self.dimensions), dtype=np.float32)

        def run(batch: list[int]) -> Float32Array:
            found: Float32Array = encode(
                [texts[i] or self._stand_in for i in batch],
                prompt=prompt,
                batch_size=len(batch),
                normalize_embeddings=True,
                show_progress_bar=False,
            )
            return found

        for batch, found in self._batches.run(cut.tolist(), range(len(texts)), run):
            vectors[batch] = found
        if self.precision != "float32":
            # They were brought to unit length in half precision, which is a thousandth off.
            vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.finfo(np.float32).tiny)
        return Encoded(vectors, lengths)


def load_model(folder: Path, device: str | None, **model_options: str) -> Any:
    """The SentenceTransformer in `folder`, in float32, whatever precision its weights are stored in."""
    if importlib.util.find_spec("sentence_transformers") is None:
        raise MissingPackageError("Encoding with torch", "sentence-transformers", "encode")
    check_device(device)
    from sentence_transformers import SentenceTransformer

    with loading(folder, device):
        modules = own_modules(folder, model_options)
        if modules:
            settings = settings_in(folder / "config_sentence_transformers.json")
            model = SentenceTransformer(
                modules=modules,
                device=device,
                prompts=settings.get("prompts"),
                default_prompt_name=settings.get("default_prompt_name"),
            )
        else:
            model = SentenceTransformer(
                str(folder), device=device, local_files_only=True, model_kwargs=model_options
            )
    return model.float().eval()


def own_modules(folder: Path, model_options: Mapping[str, str] | None = None) -> list[Any]:
    """The modules of a model with one of leanseek's own; none where it has none.

    sentence-transformers loads other packages' modules only with permission to run any code in the folder; here its
    own and leanseek's are loaded, and no others. Raises ModelError where there are others.
    """
    try:
        listing = json.loads((folder / "modules.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    names = [entry["type"] for entry in listing]
    if not any(name.startswith("leanseek.") for name in names):
        return []
    strangers = [name for name in names if not name.startswith(("leanseek.", "sentence_transformers."))]
    if strangers:
        raise ModelError(f"it has the module {strangers[0]}, which would run code of others")
    modules = []
    for entry in listing:
        home, _, name = entry["type"].rpartition(".")
        loader = getattr(importlib.import_module(home), name)
        options = {"model_kwargs": dict(model_options)} if model_options else {}
        modules.append(loader.load(str(folder), subfolder=entry["path"], local_files_only=True, **options))
    return modules


@contextlib.contextmanager
def loading(folder: Path, device: str | None, purpose: str = "") -> Iterator[None]:
    """Loads quietly, and raises ModelError for whatever sentence-transformers raises."""
    try:
        with quiet_loading():
            yield
    except Exception as error:  # Each architecture's loader has its own errors.
        raise ModelError(
            f"The model in {folder} cannot be loaded by sentence-transformers{purpose}"
            f"{f' on the device {device!r}' if device else ''}: {error}"
        ) from error


def max_tokens_of(model: Any) -> int | None:
    """The longest input of a SentenceTransformer in tokens; None where it sets no limit."""
    limit = model.max_seq_length
    # Tokenizers without a limit of their own report one of about 1e30.
    return int(limit) if limit is not None and limit < 1 << 24 else None


def prompts_of(model: Any) -> tuple[str, str]:
    """The texts that a model's configuration puts before a query and before a document.

    sentence-transformers gives every model an empty `document` prompt, which would hide a `passage` or
    `corpus` prompt of the configuration; here the first that is not empty counts.
    """
    prompts = model.prompts
    document = next((prompts[role] for role in ("document", "passage", "corpus") if prompts.get(role)), "")
    return prompts.get("query") or "", document


def stand_in(model: Any) -> str:
    """What a SentenceTransformer reads in the place of an empty text, of which some tokenizers make no token at all."""
    tokenizer = model.tokenizer
    if not hasattr(tokenizer, "eos_token") or tokenizer("")["input_ids"]:
        return ""
    return tokenizer.eos_token or tokenizer.bos_token or " "


def tokenizer_definition(model: Any) -> str:
    """The content of a tokenizer.json for a SentenceTransformer's tokenizer.

    Raises:
        ModelError: the tokenizer is not one of the library `tokenizers`.
    """
    tokenizer = model.tokenizer
    tokenizer = getattr(tokenizer, "backend_tokenizer", tokenizer)
    if not hasattr(tokenizer, "to_str"):
        raise ModelError(
            f"The model's tokenizer, a {type(tokenizer).__name__}, cannot be written as a tokenizer.json. "
            "Choose a model that has that file."
        )
    return str(tokenizer.to_str())


@contextlib.contextmanager
def quiet_loading() -> Iterator[None]:
    from transformers.utils import logging

    shown, verbosity = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if shown:
            logging.enable_progress_bar()
