"""The torch back end of cross-encoders: any that sentence-transformers loads."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from leanseek.encode.batches import torch_batch_tokens
from leanseek.encode.device import check_device, halved
from leanseek.encode.models import derived_fingerprint, kind_of
from leanseek.encode.tokenizer import TextTokenizer, model_inputs
from leanseek.encode.torch_encoder import loading, max_tokens_of, own_modules, tokenizer_definition
from leanseek.errors import MissingPackageError, ModelError
from leanseek.rerank.crossencoder.layout import PairIds, PairLayout, find_layout
from leanseek.types import Float32Array

_LAYERS = frozenset({"BertLayer", "RobertaLayer", "XLMRobertaLayer", "ElectraLayer"})
_HEADS = frozenset(
    {
        "BertForSequenceClassification",
        "RobertaForSequenceClassification",
        "XLMRobertaForSequenceClassification",
        "ElectraForSequenceClassification",
    }
)
_SCORING = ("classifier", "score", "classification_head", "logits_proj")
"""What sequence classifiers call the part that gives their scores; decoders call it `score`."""


class TorchPairModel:
    """A CrossEncoder (Reimers and Gurevych, EMNLP 2019; Nogueira and Cho, 2019), run by torch.

    `precision` is float32, on CUDA cards half of it, but for the head that scores.
    """

    def __init__(self, name: str, folder: Path, fingerprint: str, device: str | None = None) -> None:
        """Load the model in `folder`; `device` is a torch device, None for the best there is.

        Raises MissingPackageError where sentence-transformers is absent, ModelError for a folder without a model
        that it can load as one with a single label.
        """
        self._model = load_cross_encoder(folder, device)
        self.name = name
        self.fingerprint = fingerprint
        self.definition = tokenizer_definition(self._model)
        self.max_tokens = max_tokens_of(self._model)
        self.layout = layout_of(self._model, self.definition, folder)
        self.budget = torch_batch_tokens(self._model.device.type)
        self._pad_id, self._pad_left = padding_of(self._model)
        self._inputs = input_names(self._model)
        classifier = getattr(self._model, "transformers_model", None)
        if len(self._model) == 1 and classifier is not None:
            first_token_alone(classifier)
        self.precision = halve(self._model)
        if self.precision != "float32":
            # Its scores go into a cache of their own.
            self.fingerprint = derived_fingerprint(fingerprint, self.precision)

    def logits(self, pairs: Sequence[PairIds]) -> Float32Array:
        """(n,) the raw scores of n pairs."""
        import torch

        given = model_inputs(
            [pair.ids for pair in pairs], self._pad_id, self._pad_left, [pair.types for pair in pairs]
        )
        device = self._model.device
        with torch.inference_mode():
            features = {name: torch.from_numpy(given[name]).to(device) for name in self._inputs}
            found = self._model(features)["scores"].reshape(-1).float().cpu().numpy()
        logits: Float32Array = found
        return logits


def load_cross_encoder(folder: Path, device: str | None) -> Any:
    """The CrossEncoder in `folder`, in float32, whatever precision its weights are stored in.

    Raises MissingPackageError, or ModelError where it is none with a single label.
    """
    if importlib.util.find_spec("sentence_transformers") is None:
        raise MissingPackageError("Re-ranking with a cross-encoder", "sentence-transformers", "encode")
    from sentence_transformers import CrossEncoder

    check_is_classifier(folder)
    check_device(device)
    with loading(folder, device, " as a cross-encoder"):
        modules = own_modules(folder)
        if modules:
            model = CrossEncoder(modules=modules, device=device)
        else:
            model = CrossEncoder(str(folder), device=device, local_files_only=True)
    if model.num_labels != 1:
        raise ModelError(
            f"The model in {folder} has {model.num_labels} labels, which are no order of passages. A re-ranker has "
            "one label, the relevance of the passage"
        )
    if model.default_prompt_name is not None and model.prompts.get(model.default_prompt_name):
        raise ModelError(
            f"The model in {folder} puts the prompt '{model.default_prompt_name}' before its texts, which is not "
            "supported; choose a model without"
        )
    return model.float().eval()


def check_is_classifier(folder: Path) -> None:
    """Raise ModelError for a folder with another kind of model, whose scores would be random."""
    kind = kind_of(folder)
    if kind == "decoder":
        raise ModelError(
            f"The model in {folder} is a decoder, which is not trained to score pairs; a cross-encoder is needed. A "
            f"decoder re-ranks by its attention: in-context:{folder}"
        )
    if kind == "encoder":
        raise ModelError(
            f"The model in {folder} encodes single texts; a cross-encoder is needed, which scores pairs, such as "
            "cross-encoder/ms-marco-MiniLM-L6-v2"
        )


def layout_of(model: Any, definition: str, folder: Path) -> PairLayout:
    """How the CrossEncoder joins pairs. Raises ModelError where `PairLayout` cannot describe it."""
    tokenizer = TextTokenizer(definition, None, special=False)

    def read(query: str, passage: str) -> PairIds:
        features = model.preprocess([(query, passage)])
        ids = features["input_ids"][0].numpy().astype(np.int32)
        types = features.get("token_type_ids")
        return PairIds(ids, types[0].numpy().astype(np.int32) if types is not None else np.zeros_like(ids))

    try:
        return find_layout(read, lambda texts: tokenizer(texts).ids)
    except ModelError as error:
        raise ModelError(f"The model in {folder} cannot re-rank here: {error}") from error


def input_names(model: Any) -> tuple[str, ...]:
    """The names of the arrays that the CrossEncoder reads."""
    return tuple(
        name
        for name in ("input_ids", "attention_mask", "token_type_ids")
        if name in model.preprocess([("a query", "a passage")])
    )


def padding_of(model: Any) -> tuple[int, bool]:
    """The padding token's id, and whether padding is on the left."""
    tokenizer = model.tokenizer
    return int(getattr(tokenizer, "pad_token_id", 0) or 0), getattr(
        tokenizer, "padding_side", "right"
    ) == "left"


def halve(model: Any) -> str:
    """The precision of a CrossEncoder, which is changed in place where its device has a half one.

    What gives the scores computes in float32 still: of half a score many passages would share one. leanseek's own
    kind is left whole, whose similarities are scores.
    """
    if any(type(module).__module__.startswith("leanseek.") for module in model):
        return "float32"
    precision = halved(model)
    if precision == "float32":
        return precision
    network = getattr(model, "transformers_model", None)
    for head in [*list(model)[1:], *(getattr(network, name, None) for name in _SCORING)]:
        if head is not None:
            head.float()
            head.register_forward_pre_hook(_in_float32)
    # A decoder that answers yes or no scores by the logits of tokens; it may read by the same matrix.
    logits = getattr(network, "lm_head", None)
    if logits is not None:
        from torch.nn.functional import linear

        bias = None if logits.bias is None else logits.bias.float()
        logits.forward = lambda states: linear(states.float(), logits.weight.float(), bias)
    return precision


def _in_float32(_: Any, given: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(
        {name: _whole(value) for name, value in one.items()} if isinstance(one, dict) else _whole(one)
        for one in given
    )


def _whole(value: Any) -> Any:
    return value.float() if hasattr(value, "is_floating_point") and value.is_floating_point() else value


def first_token_alone(model: Any) -> None:
    """Have the last layer of a BERT-type sequence classifier compute the first token alone, in place.

    The head reads no other token, so the logits stay what they are (within rounding), and of that layer only
    keys and values are computed for all tokens: of six layers' work a seventh is saved. A model of another kind
    is left as it is.
    """
    if type(model).__name__ not in _HEADS:
        return
    encoder = getattr(model.base_model, "encoder", None)
    layers = getattr(encoder, "layer", None)
    if layers is not None and len(layers) and type(layers[-1]).__name__ in _LAYERS:
        layers[-1] = _first_token_layer(layers[-1])


def _first_token_layer(layer: Any) -> Any:
    """A module like the layer, from hidden states (n, length, D) to those of the first tokens (n, 1, D)."""
    import torch

    class FirstTokenLayer(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.layer = layer

        def forward(self, hidden: Any, attention_mask: Any = None, *_: Any, **__: Any) -> Any:
            attention = self.layer.attention.self
            first = hidden[:, :1]
            shape = (hidden.shape[0], -1, attention.num_attention_heads, attention.attention_head_size)
            query = attention.query(first).view(shape).transpose(1, 2)
            key = attention.key(hidden).view(shape).transpose(1, 2)
            value = attention.value(hidden).view(shape).transpose(1, 2)
            weights = query @ key.transpose(2, 3) * attention.attention_head_size**-0.5
            if attention_mask is not None:
                mask = attention_mask[:, :, :1, :]
                if mask.dtype == torch.bool:
                    weights = weights.masked_fill(~mask, torch.finfo(weights.dtype).min)
                else:
                    weights = weights + mask
            seen = (weights.softmax(-1) @ value).transpose(1, 2).reshape(hidden.shape[0], 1, -1)
            attended = self.layer.attention.output(seen, first)
            return self.layer.output(self.layer.intermediate(attended), attended)

    return FirstTokenLayer()
