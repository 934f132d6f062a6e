"""A decoder and its tokenizer: found, checked, and asked for its attention."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from leanseek.encode.fingerprint import derived_fingerprint, model_fingerprint
from leanseek.encode.models import resolve_model
from leanseek.encode.sentence import quiet_loading
from leanseek.errors import MissingPackageError, ModelError, UsageError
from leanseek.rerank.incontext.attending import attending
from leanseek.rerank.incontext.capturing import CURRENT, Capture, Enough, Float64Array, Heads

FAMILIES = "a decoder, such as those of the Llama, Qwen, Mistral, Gemma and Phi families"

_STATEFUL = ("linear", "mamba", "recurrent", "conv", "ssm")


class Decoder:
    """The layers of a causal language model, without its head, and its tokenizer.

    `name` is what it was loaded by. One forward pass at a time is run, whichever thread asks.
    """

    def __init__(self, model: Any, tokenizer: Any, name: str, folder: Path | None = None) -> None:
        check_configuration(model.config, name)
        self.layers = model.get_decoder() if hasattr(model, "get_decoder") else model.base_model
        if not getattr(self.layers, "_supports_attention_backend", False):
            raise ModelError(
                f"The attention of {name} cannot be seen: a {type(self.layers).__name__} does not compute it "
                f"through transformers' attention interface. Choose {FAMILIES}."
            )
        self.tokenizer = tokenizer
        self.name = name
        self._folder = folder
        self._lock = threading.Lock()

    @cached_property
    def weights(self) -> str:
        """Hex digest of the weights and the tokenizer."""
        if self._folder is not None:
            return model_fingerprint(self._folder)
        return weights_fingerprint(self.layers, self.tokenizer)

    @property
    def fingerprint(self) -> str:
        """Hex digest of the weights, the tokenizer and the precision that they are computed in."""
        return derived_fingerprint(self.weights, str(self.layers.dtype))

    @property
    def depth(self) -> int:
        """How many layers it has."""
        return int(self.layers.config.num_hidden_layers)

    @property
    def width(self) -> int:
        """How many attention heads each layer has."""
        return int(self.layers.config.num_attention_heads)

    @property
    def context(self) -> int | None:
        """The longest input in tokens; None where the model sets no limit."""
        limit = getattr(self.layers.config, "max_position_embeddings", None)
        return int(limit) if limit else None

    def attention(
        self,
        prefixes: Sequence[Sequence[int]],
        tails: Sequence[Sequence[Sequence[int]]],
        asking: Sequence[Sequence[int]],
        heads: Heads,
        apart: bool = False,
    ) -> list[Float64Array]:
        """What the ends of b prompts attend to, for several ends with the same b beginnings.

        `prefixes` are b lists of token ids. Each of `tails` has b lists that follow them, of which the last
        `asking` tokens count. One array for each of `tails`: (b, heads, p) the mean attention of those tokens on
        each token of the beginnings (aligned at the end: p is the longest), summed over the heads where they are
        not kept `apart` (then heads is 1).

        The beginnings are computed once, together with the first ends.
        """
        import torch

        longest = max(map(len, prefixes))
        padded = min(map(len, prefixes)) < longest
        found = []
        with self._lock, torch.inference_mode(), attending(self.layers):
            cache = new_cache()
            for number, (ends, counts) in enumerate(zip(tails, asking, strict=True)):
                longest_end = max(map(len, ends))
                ids = np.zeros((len(prefixes), longest + longest_end), dtype=np.int64)
                real = np.zeros_like(ids)
                weights = np.zeros((len(prefixes), longest_end))
                for row, (prefix, end, count) in enumerate(zip(prefixes, ends, counts, strict=True)):
                    whole = slice(longest - len(prefix), longest + len(end))
                    ids[row, whole] = [*prefix, *end]
                    real[row, whole] = 1
                    weights[row, len(end) - count : len(end)] = 1 / count
                start = longest if number else 0
                capture = Capture(heads, self._tensor(weights), longest, apart)
                self._run(ids[:, start:], real if padded else None, cache, capture)
                found.append(capture.stacked() if apart else capture.total()[:, None])
                cache.crop(-longest_end)
        return found

    def _run(self, ids: Any, real: Any, cache: Any, capture: Capture) -> None:
        """One forward pass, as deep as the capture asks. `real` (b, all tokens) is 0 for padding before a prompt."""
        padding = {}
        if real is not None:
            positions = np.maximum(real.cumsum(axis=1) - 1, 0)[:, -ids.shape[1] :]
            padding = {"attention_mask": self._tensor(real), "position_ids": self._tensor(positions)}
        token = CURRENT.set(capture)
        try:
            self.layers(input_ids=self._tensor(ids), past_key_values=cache, use_cache=True, **padding)
        except Enough:
            pass
        finally:
            CURRENT.reset(token)

    def _tensor(self, array: Any) -> Any:
        import torch

        return torch.from_numpy(np.ascontiguousarray(array)).to(self.layers.device)


def new_cache() -> Any:
    """An empty cache that keeps the keys and values of all tokens in every layer.

    That the sliding layers of some models keep only the newest would leave nothing to cut back to.
    """
    from transformers import DynamicCache

    return DynamicCache()


def load_decoder(model_or_path: Any, device: str | None = None) -> Decoder:
    """The decoder for a folder's path or a model's name, or a loaded model with its tokenizer.

    A loaded one is a pair (model, tokenizer), or an object with these as attributes, or a model whose tokenizer
    lies where it was loaded from, or a `Decoder`, which several re-rankers may share. On the CPU weights are
    loaded in float32, elsewhere as they are stored.

    Raises ModelError, MissingPackageError, or UsageError for something else.
    """
    if isinstance(model_or_path, Decoder):
        return model_or_path
    if isinstance(model_or_path, (str, os.PathLike)):
        return from_folder(os.fspath(model_or_path), device)
    if device is not None:
        raise UsageError(
            "device goes with a model given by name; move the loaded model with model.to(device)"
        )
    if isinstance(model_or_path, (tuple, list)) and len(model_or_path) == 2:
        return from_loaded(*model_or_path)
    model, tokenizer = getattr(model_or_path, "model", None), getattr(model_or_path, "tokenizer", None)
    if model is not None and tokenizer is not None:
        return from_loaded(model, tokenizer)
    if hasattr(model_or_path, "config") and hasattr(model_or_path, "forward"):
        folder = getattr(model_or_path.config, "_name_or_path", "")
        if folder:
            return from_loaded(model_or_path, load_tokenizer(str(resolve_model(folder).path)))
        raise UsageError("the model was given without a tokenizer; give both, as (model, tokenizer)")
    raise UsageError(
        f"a {type(model_or_path).__name__} is no model; give a folder's path, a model's name, or (model, tokenizer)"
    )


def from_folder(name: str, device: str | None) -> Decoder:
    """The decoder of that name, loaded. Raises ModelError or MissingPackageError."""
    try:
        import torch
        from transformers import AutoConfig, AutoModelForCausalLM
    except ImportError as error:
        raise MissingPackageError("In-context re-ranking", "transformers", "encode") from error

    folder = str(resolve_model(name).path)
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        with quiet_loading():
            check_configuration(AutoConfig.from_pretrained(folder, local_files_only=True), name)
            model = AutoModelForCausalLM.from_pretrained(
                folder, local_files_only=True, dtype=torch.float32 if device == "cpu" else "auto"
            )
            model = model.to(device).eval()
    except ModelError:
        raise
    except Exception as error:  # Each architecture's loader has its own errors.
        raise ModelError(f"The model {name} cannot be loaded as a decoder: {error}") from error
    return Decoder(model, load_tokenizer(folder), name, Path(folder))


def load_tokenizer(folder: str) -> Any:
    """The tokenizer in a model's folder. Raises ModelError."""
    from transformers import AutoTokenizer

    try:
        with quiet_loading():
            return AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # Each tokenizer has its own errors.
        raise ModelError(f"The tokenizer in {folder} cannot be loaded: {error}") from error


def from_loaded(model: Any, tokenizer: Any) -> Decoder:
    """The decoder made of a model and a tokenizer that are loaded already."""
    if not hasattr(model, "config") or not callable(tokenizer):
        raise UsageError(
            f"({type(model).__name__}, {type(tokenizer).__name__}) is no model of transformers and its tokenizer"
        )
    name = str(getattr(model.config, "_name_or_path", "") or type(model).__name__)
    return Decoder(model.eval(), tokenizer, name)


def weights_fingerprint(model: Any, tokenizer: Any) -> str:
    """Hex digest of a loaded model's weights and its tokenizer's vocabulary."""
    import torch

    digest = hashlib.sha256()
    settings = model.config.to_dict()
    digest.update(
        repr(sorted((key, repr(value)) for key, value in settings.items() if key[0] != "_")).encode()
    )
    for name, weight in sorted(model.state_dict().items()):
        digest.update(f"{name}{tuple(weight.shape)}".encode())
        digest.update(weight.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    vocabulary: Callable[[], dict[str, int]] = tokenizer.get_vocab
    digest.update(repr(sorted(vocabulary().items())).encode())
    return digest.hexdigest()


def check_configuration(config: Any, name: str) -> None:
    """Raise ModelError where the configuration is not that of a decoder."""
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    )

    text = config.get_text_config() if hasattr(config, "get_text_config") else config
    kinds = {config.model_type, text.model_type}
    if getattr(config, "is_encoder_decoder", False):
        raise ModelError(f"{name} is an encoder with a decoder; in-context re-ranking needs {FAMILIES}.")
    masked = kinds & set(MODEL_FOR_MASKED_LM_MAPPING_NAMES) and not getattr(config, "is_decoder", False)
    both_ways = (
        getattr(text, "use_bidirectional_attention", False) or getattr(text, "is_causal", True) is False
    )
    if masked or both_ways or not kinds & set(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES):
        raise ModelError(
            f"{name} is an encoder (a {config.model_type} model); in-context re-ranking needs {FAMILIES}. "
            "For an encoder or a cross-encoder choose another re-ranker."
        )
    kinds_of_layers = getattr(text, "layer_types", None) or ()
    stateful = sorted({kind for kind in kinds_of_layers if any(word in kind for word in _STATEFUL)})
    if stateful:
        raise ModelError(
            f"{name} has layers without attention ({', '.join(stateful)}); in-context re-ranking needs {FAMILIES}."
        )
