"""Decoders from a folder, a model's name, or a loaded model."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from leanseek.decode.decoder import Decoder
from leanseek.encode.device import accelerated, check_device, half_precision
from leanseek.encode.gguf_model import DEFAULT_DECODER as DEFAULT_DECODER
from leanseek.encode.gguf_model import decoder_folder
from leanseek.encode.models import model_fingerprint, resolve_model
from leanseek.encode.torch_encoder import quiet_loading
from leanseek.errors import MissingPackageError, ModelError, UsageError
from leanseek.types import Progress

Precision: TypeAlias = Literal["float32", "bfloat16", "fast"]

FAMILIES = "a decoder, such as those of the Llama, Qwen, Mistral, Gemma and Phi families"

_STATEFUL = ("linear", "mamba", "recurrent", "conv", "ssm")


def load_decoder(
    model_or_path: Any = DEFAULT_DECODER,
    device: str | None = None,
    *,
    precision: Precision | None = None,
    progress: Progress | None = None,
) -> Decoder:
    """The decoder for a model's folder, GGUF file or name, or a loaded model with its tokenizer.

    - A folder, or a name on the hub, as `leanseek.encode.resolve_model` takes it. `SmolLM2-135M-Instruct`, the
      default, is the packaged one, unless there is a folder of that name.
    - A file that ends in .gguf is converted into the cache folder at the first call; `progress` gets the steps.
    - A loaded model is a pair (model, tokenizer), or an object with these as attributes, or a model whose tokenizer
      lies where it was loaded from, or a `Decoder`, which several re-rankers may share.

    `precision` is what weights are computed in: float32 (on the CPU the default), bfloat16, or "fast": bfloat16
    where the processor multiplies it itself (AMX), some three times as fast, else float32. On CUDA cards the default
    is what they multiply fast, see `leanseek.encode.device`; on other devices they are as they are stored.

    Raises ModelError, MissingPackageError, StorageError, or UsageError for something else.
    """
    if isinstance(model_or_path, Decoder):
        return model_or_path
    if isinstance(model_or_path, (str, os.PathLike)):
        name = os.fspath(model_or_path)
        return from_folder(name, decoder_folder(name, progress), device, precision)
    if device is not None or precision is not None:
        raise UsageError(
            "device and precision go with a model given by name; use model.to(...) on the loaded model"
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


def from_folder(name: str, folder: Path, device: str | None, precision: Precision | None) -> Decoder:
    """The decoder in a folder, loaded. Raises ModelError or MissingPackageError."""
    try:
        import torch
        from transformers import AutoConfig, AutoModelForCausalLM
    except ImportError as error:
        raise MissingPackageError("A decoder", "transformers", "decoder") from error

    check_device(device)
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    kind = chosen_precision(precision, device)
    try:
        with quiet_loading():
            check_configuration(AutoConfig.from_pretrained(str(folder), local_files_only=True), name)
            model = AutoModelForCausalLM.from_pretrained(
                str(folder), local_files_only=True, dtype="auto" if kind is None else getattr(torch, kind)
            )
            model = model.to(device)
    except ModelError:
        raise
    except Exception as error:  # Each architecture's loader has its own errors.
        raise ModelError(f"The model {name} cannot be loaded as a decoder: {error}") from error
    return make_decoder(model, load_tokenizer(str(folder)), name, lambda: model_fingerprint(folder))


def chosen_precision(
    precision: Precision | None, device: str
) -> Literal["float32", "bfloat16", "float16"] | None:
    """What weights are loaded in; None: as they are stored. Raises UsageError for another name."""
    if precision not in (None, *get_args(Precision)):
        raise UsageError(f"'{precision}' is not a precision. Choose from: {', '.join(get_args(Precision))}")
    if accelerated(device):
        import torch

        if precision is None or precision == "fast":
            there = torch.device(device)
            return half_precision(there) or ("float32" if there.type == "cuda" else None)
        return precision
    if precision == "fast":
        return "bfloat16" if multiplies_bfloat16() else "float32"
    return precision or "float32"


def multiplies_bfloat16() -> bool:
    """Whether this machine's processor has instructions for products of bfloat16."""
    import torch

    # The function is younger than the oldest torch that is supported.
    known: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(known.get("amx_bf16"))


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
    return make_decoder(model, tokenizer, name, lambda: weights_fingerprint(model, tokenizer))


def make_decoder(model: Any, tokenizer: Any, name: str, weights: Callable[[], str]) -> Decoder:
    """The decoder. Raises ModelError where its attention cannot be used."""
    check_configuration(model.config, name)
    layers = model.get_decoder() if hasattr(model, "get_decoder") else model.base_model
    if not getattr(layers, "_supports_attention_backend", False):
        raise ModelError(
            f"The attention of {name} cannot be seen: a {type(layers).__name__} does not compute it "
            f"through transformers' attention interface. Choose {FAMILIES}."
        )
    return Decoder(model, tokenizer, name, weights)


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
        raise ModelError(f"{name} is an encoder with a decoder; what is needed is {FAMILIES}.")
    masked = kinds & set(MODEL_FOR_MASKED_LM_MAPPING_NAMES) and not getattr(config, "is_decoder", False)
    both_ways = (
        getattr(text, "use_bidirectional_attention", False) or getattr(text, "is_causal", True) is False
    )
    if masked or both_ways or not kinds & set(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES):
        raise ModelError(
            f"{name} is an encoder (a {config.model_type} model); what is needed is {FAMILIES}. "
            "For an encoder or a cross-encoder choose another re-ranker."
        )
    kinds_of_layers = getattr(text, "layer_types", None) or ()
    stateful = sorted({kind for kind in kinds_of_layers if any(word in kind for word in _STATEFUL)})
    if stateful:
        raise ModelError(
            f"{name} has layers without attention ({', '.join(stateful)}); what is needed is {FAMILIES}."
        )
