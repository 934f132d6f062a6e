"""SPLADE models from their own folders: loaded by sentence-transformers, checked, and run by torch."""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from leanseek.encode.device import check_device
from leanseek.encode.export import ExportSettings
from leanseek.encode.models import settings_in
from leanseek.encode.splade import (
    BUDGET,
    BUDGET_ACCELERATOR,
    TERMS,
    TERMS_ACCELERATOR,
    Pooling,
    Reading,
    SpladeEncoder,
    check_finite,
)
from leanseek.encode.torch_encoder import loading, max_tokens_of, prompts_of, tokenizer_definition
from leanseek.errors import MissingPackageError, ModelError
from leanseek.types import BoolArray, Float32Array

ADVICE = (
    "Choose a sentence-transformers SparseEncoder, or a masked-language model trained with SPLADE pooling, such as "
    "opensearch-project/opensearch-neural-sparse-encoding-doc-v2-distill, or splade alone for the packaged one"
)


class SpladeParts(NamedTuple):
    """A loaded model: `network` is the masked-language model, `projection` its last layer, which gives the logits, and
    `reading` all the rest."""

    network: Any
    projection: Any
    reading: Reading


class TorchSplade(SpladeEncoder):
    """A SPLADE model run by torch in float32."""

    def __init__(self, name: str, folder: Path, fingerprint: str, device: str | None = None) -> None:
        """Load the model in `folder`; `device` is a torch device, None for the best there is.

        Raises MissingPackageError where sentence-transformers is absent or too old, ModelError for a folder that holds
        no model with SPLADE pooling.
        """
        parts = load_splade(folder, device)
        self._network = parts.network
        self._projection = parts.projection
        self._device = next(parts.network.parameters()).device
        on_cpu = self._device.type == "cpu"
        self._terms = TERMS if on_cpu else TERMS_ACCELERATOR
        super().__init__(name, fingerprint, parts.reading, BUDGET if on_cpu else BUDGET_ACCELERATOR)

    def _pooled(self, inputs: dict[str, Any], mask: BoolArray) -> Float32Array:
        import torch

        with torch.inference_mode():
            given = {name: torch.from_numpy(values).to(self._device) for name, values in inputs.items()}
            with states_only(self._projection):
                hidden = self._network(**given).logits
            rows = [
                text[here] for text, here in zip(hidden, torch.from_numpy(mask).to(self._device), strict=True)
            ]
            pooled = torch.zeros((len(rows), self.vocabulary), device=self._device)
            weight, bias = self._projection.weight, self._projection.bias
            for first in range(0, self.vocabulary, self._terms):
                here = slice(first, first + self._terms)
                for text, row in enumerate(rows):
                    logits = row @ weight[here].T
                    if self._pooling.strategy == "sum":
                        logits = logits if bias is None else logits + bias[here]
                        pooled[text, here] = self._activated(logits).sum(dim=0)
                    else:
                        best = logits.amax(dim=0)
                        pooled[text, here] = best if bias is None else best + bias[here]
            if self._pooling.strategy == "max":
                pooled = self._activated(pooled)
        found: Float32Array = pooled.cpu().numpy()
        return check_finite(found, self.name)

    def _activated(self, logits: Any) -> Any:
        found = logits.relu()
        for _ in range(self._pooling.logarithms):
            found = found.log1p()
        return found


@contextmanager
def states_only(projection: Any) -> Iterator[None]:
    """Meanwhile the network gives what its last layer would read, in place of logits."""
    projection.forward = _unchanged
    try:
        yield
    finally:
        del projection.forward


def _unchanged(states: Any) -> Any:
    return states


def load_splade_model(folder: Path, device: str | None, **model_options: str) -> Any:
    """The SparseEncoder in the folder, in float32. Raises as `TorchSplade`."""
    if importlib.util.find_spec("sentence_transformers") is None:
        raise MissingPackageError("Learned sparse vectors", "sentence-transformers", "encode")
    try:
        from sentence_transformers import SparseEncoder
    except ImportError as error:
        raise MissingPackageError("Learned sparse vectors", "sentence-transformers>=5", "encode") from error
    _check_head(folder)
    check_device(device)
    with loading(folder, device, " as a learned sparse encoder"):
        model = SparseEncoder(str(folder), device=device, local_files_only=True, model_kwargs=model_options)
    return model.float().eval()


def load_splade(folder: Path, device: str | None, **model_options: str) -> SpladeParts:
    """The model in the folder, in float32, taken apart. Raises as `TorchSplade`."""
    model = load_splade_model(folder, device, **model_options)
    documents, queries = _routes(folder, model)
    transformer, pooled = _expansion(folder, documents)
    network = transformer.auto_model
    projection = network.get_output_embeddings()
    if projection is None or getattr(projection, "weight", None) is None:
        raise _unfit(folder, f"{type(network).__name__} has no head that gives logits of the vocabulary")
    vocabulary = len(projection.weight)
    table = None
    if queries is not documents:
        table = _table(folder, queries, vocabulary)
    definition = tokenizer_definition(transformer)
    _check_vocabulary(folder, definition, vocabulary)
    query_prompt, document_prompt = prompts_of(model)
    tokenizer = transformer.tokenizer
    settings = ExportSettings(
        dimensions=int(projection.weight.shape[1]),
        max_tokens=max_tokens_of(transformer),
        query_prompt=query_prompt,
        document_prompt=document_prompt,
        inputs=_input_names(network),
        pad_id=int(getattr(tokenizer, "pad_token_id", 0) or 0),
        pad_left=getattr(tokenizer, "padding_side", "right") == "left",
    )
    pooling = Pooling(pooled.pooling_strategy, 2 if pooled.activation_function == "log1p_relu" else 1)
    reading = Reading(
        settings,
        pooling,
        documents=definition,
        queries=definition if table is None else tokenizer_definition(queries[0]),
        query_tokens=max_tokens_of(queries[0]),
        table=table,
        vocabulary=vocabulary,
    )
    return SpladeParts(network, projection, reading)


def _routes(folder: Path, model: Any) -> tuple[list[Any], list[Any]]:
    """The modules that documents and queries pass; the same list where they pass the same."""
    modules = list(model)
    routes = getattr(modules[0], "sub_modules", None)
    if routes is None:
        return modules, modules
    if len(modules) > 1 or not {"query", "document"} <= set(routes):
        found = ", ".join([*routes, *(type(module).__name__ for module in modules[1:])])
        raise _unfit(folder, f"its routes are {found}; a query and a document are read")
    return list(routes["document"]), list(routes["query"])


def _expansion(folder: Path, modules: list[Any]) -> tuple[Any, Any]:
    """The transformer and the pooling of the modules that expand a text."""
    names = [type(module).__name__ for module in modules]
    if len(modules) != 2 or getattr(modules[0], "auto_model", None) is None or names[1] != "SpladePooling":
        raise _unfit(
            folder,
            f"its modules are {' and '.join(names)}, without the pooling (max or sum over the tokens) that makes one "
            "vector of a text",
        )
    return modules[0], modules[1]


def _table(folder: Path, modules: list[Any], vocabulary: int) -> Float32Array:
    """The weights (V,) of the tokens of queries."""
    names = [type(module).__name__ for module in modules]
    if names != ["SparseStaticEmbedding"]:
        raise _unfit(folder, f"its queries pass {' and '.join(names)}; a SparseStaticEmbedding is read")
    weights: Float32Array = modules[0].weight.detach().float().cpu().numpy()
    if len(weights) != vocabulary:
        raise _unfit(
            folder,
            f"its queries have a vocabulary of {len(weights):,} terms, and its documents one of {vocabulary:,}",
        )
    if not np.isfinite(weights).all() or weights.min(initial=0.0) < 0:
        raise _unfit(folder, "its table has weights of queries that are negative or not finite")
    return weights


def _check_head(folder: Path) -> None:
    """Raise ModelError for a transformer without the head of a masked-language model: loading would invent one."""
    if settings_in(folder / "config_sentence_transformers.json").get("model_type") == "SentenceTransformer":
        raise _unfit(folder, "it is a SentenceTransformer, which makes dense vectors")
    for place in {
        path.parent for path in [folder / "config.json", *folder.glob("*/config.json")] if path.is_file()
    }:
        architectures = settings_in(place / "config.json").get("architectures")
        if architectures and not str(architectures[0]).endswith(("ForMaskedLM", "ForPreTraining")):
            raise _unfit(
                folder,
                f"it is a {architectures[0]}, without the head of a masked-language model, which gives the weights",
            )
        if architectures:
            _check_head_weights(folder, place)


def _check_head_weights(folder: Path, place: Path) -> None:
    """Raise ModelError where the files lack weights of the head."""
    if not (place / "model.safetensors").is_file():
        return  # the loader's error says more
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(place / "model.safetensors", "np") as file:
            names = set(file.keys())
    except SafetensorError as error:
        raise ModelError(f"{place / 'model.safetensors'} cannot be read: {error}") from error
    if not any(
        part in name for name in names for part in ("predictions", "lm_head", "vocab_", "decoder", "head.")
    ):
        raise _unfit(folder, "its weights lack the head of a masked-language model, which gives the weights")


def _check_vocabulary(folder: Path, definition: str, vocabulary: int) -> None:
    from tokenizers import Tokenizer

    size = int(Tokenizer.from_str(definition).get_vocab_size())
    if size > vocabulary:
        raise _unfit(
            folder,
            f"its tokenizer has {size:,} tokens, and its network gives weights of {vocabulary:,} terms",
        )


def _input_names(network: Any) -> tuple[str, ...]:
    names = ["input_ids", "attention_mask"]
    if "token_type_ids" in inspect.signature(network.forward).parameters:
        names.append("token_type_ids")
    return tuple(names)


def _unfit(folder: Path, reason: str) -> ModelError:
    return ModelError(f"The model in {folder} is no learned sparse encoder: {reason}. {ADVICE}")
