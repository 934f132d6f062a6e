"""Variants of an encoder that need no training, named `MODEL[temperature=0.9, pool=cls, max_tokens=512]`.

Each is made once, into a folder of the cache, as a model of its own: every back end runs it, at the same speed.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any, Final, NamedTuple

from leanseek.encode.models import ResolvedModel, model_fingerprint, resolve_model
from leanseek.errors import ModelError, UsageError
from leanseek.files import cache_folder, new_folder

POOLS: Final = {
    "mean": "mean",
    "cls": "cls",
    "max": "max",
    "last": "lasttoken",
    "weighted": "weightedmean",
}
"""How a text's token vectors become one, and what sentence-transformers calls it: their mean, the first, the greatest
of each dimension, the last, or the mean weighed by position (Muennighoff, SGPT, arXiv:2202.08904)."""

ATTENTION: Final = ("causal", "bidirectional")
"""Whether a token attends to those before it alone, or to all."""

_NAME = re.compile(r"(?P<base>.+?)\[(?P<settings>[^\[\]]*)\]")
_VERSION: Final = 2
"""In the first, variants of two lengths had one fingerprint, and shared their vectors."""
_LENGTH_FILE: Final = "sentence_bert_config.json"
_QUERY = re.compile(r"\.(query|q_lin|q_proj|q)\.(weight|bias)$")
"""The parameters by which attention makes queries, in the families of BERT, DistilBERT, Llama and T5."""
_PACKED = re.compile(r"\.Wqkv\.(weight|bias)$")
"""The same where queries, keys and values are made by one matrix, the queries first: ModernBERT's family."""
_NOT_SCALED = re.compile(r"relative_attention_bias|q_norm")
"""What is added to the scores of attention, or undoes the queries' scale."""


class Variant(NamedTuple):
    """What is changed in an encoder; None leaves what it has.

    `temperature` is what the scores of attention are divided by in every layer before the softmax. Below 1 attention is
    sharper: vectors of long texts, which lie too near each other, spread (Zhou et al., Length-Induced Embedding
    Collapse, ACL 2025). `pool` is one of `POOLS`. `max_tokens` is how much of a text is read. `attention` is one of
    `ATTENTION`, for models that were made as decoders.
    """

    temperature: float | None = None
    pool: str | None = None
    max_tokens: int | None = None
    attention: str | None = None

    def changed_by(self, other: Variant) -> Variant:
        """What the `other` changes, and the rest as it is here."""
        given = {key: value for key, value in other._asdict().items() if value is not None}
        return self._replace(**given)

    def name(self, base: str) -> str:
        """The variant's name; the `base`'s own where nothing is changed."""
        given = [
            f"{key}={value:g}" if isinstance(value, float) else f"{key}={value}"
            for key, value in self._asdict().items()
            if value is not None
        ]
        return f"{base}[{', '.join(given)}]" if given else base


def split_variant(name: str) -> tuple[str, Variant] | None:
    """The base and the variant that a name stands for; None where it is no such name.

    Raises UsageError for settings that there are not.
    """
    found = _NAME.fullmatch(name.strip())
    if found is None:
        return None
    settings: dict[str, Any] = {}
    for part in found["settings"].split(","):
        key, _, value = (word.strip() for word in part.partition("="))
        if key in settings:
            raise UsageError(f"'{name}' gives {key} twice")
        settings[key] = _setting(name, key, value)
    return found["base"], Variant(**settings)


def with_settings(name: str, **settings: float | int | str | None) -> str:
    """The name of an encoder with more settings, such as `temperature`, in place of those it has; None leaves one.

    A back end's prefix stays. Raises UsageError for settings that there are not.
    """
    base, variant = split_variant(name) or (name, Variant())
    given: dict[str, Any] = {
        key: _setting(name, key, str(value)) for key, value in settings.items() if value is not None
    }
    return variant._replace(**given).name(base)


def _setting(name: str, key: str, value: str) -> float | int | str | None:
    try:
        if key == "temperature" and 0.0 < float(value) <= 10.0:
            return float(value) if float(value) != 1.0 else None  # 1 changes nothing
        if key == "max_tokens" and int(value) >= 8:
            return int(value)
    except ValueError:
        pass
    if (key == "pool" and value in POOLS) or (key == "attention" and value in ATTENTION):
        return value
    allowed = {
        "temperature": "a number above 0 and at most 10",
        "pool": " or ".join(POOLS),
        "max_tokens": "a whole number from 8 on",
        "attention": " or ".join(ATTENTION),
    }
    if key in allowed:
        raise UsageError(f"'{name}': {key} is '{value}'; give {allowed[key]}")
    raise UsageError(
        f"'{name}': '{key}' is no setting of an encoder; there are {', '.join(allowed)}, as in "
        "MODEL[temperature=0.9, pool=cls]"
    )


def resolve_variant(base: str, variant: Variant, advice: str) -> ResolvedModel:
    """The folder of an encoder's variant, which is made where it is missing (some seconds, imports torch).

    Raises UsageError for more tokens than the base has positions for, ModelError where it cannot be changed so,
    MissingPackageError, StorageError.
    """
    origin = resolve_model(base, advice)
    if variant == Variant():
        return origin
    name = variant.name(origin.name)
    key = f"{_VERSION} {model_fingerprint(origin.path)} {variant.name('')}"
    target = cache_folder() / "models" / f"variant-{hashlib.sha256(key.encode()).hexdigest()[:32]}"
    if not target.is_dir():
        from leanseek.encode.torch_encoder import load_model

        model = load_model(origin.path, "cpu")
        change(model, variant, name)
        with new_folder(target) as folder:
            model.save_pretrained(str(folder), create_model_card=False)
            if variant.max_tokens is not None:
                _write_length(folder, variant.max_tokens)
    return ResolvedModel(name, target, origin.source)


def _write_length(folder: Path, max_tokens: int) -> None:
    """Write how much of a text is read among the settings that count for the model's fingerprint.

    sentence-transformers saves it with the tokenizer's settings, which do not.
    """
    file = folder / _LENGTH_FILE
    settings = json.loads(file.read_text("utf-8")) if file.is_file() else {}
    file.write_text(json.dumps({**settings, "max_seq_length": max_tokens}, indent=1) + "\n", "utf-8")


def change(model: Any, variant: Variant, name: str) -> None:
    """Change a SentenceTransformer. Raises as `resolve_variant`."""
    if variant.temperature is not None:
        sharpen(model[0], 1.0 / variant.temperature, name)
    if variant.pool is not None:
        [pooling] = [part for part in model if type(part).__name__ == "Pooling"] or [None]
        if pooling is None:
            raise ModelError(
                f"'{name}': the model does not pool its tokens' vectors, so nothing can be set there"
            )
        pooling.pooling_mode = POOLS[variant.pool]
    if variant.attention is not None:
        turn(model, variant.attention, name)
    if variant.max_tokens is not None:
        config = model[0].auto_model.config
        # The family of RoBERTa numbers its positions from behind the padding's on.
        first = getattr(config, "pad_token_id", 0) + 1 if "oberta" in config.model_type else 0
        most = getattr(config, "max_position_embeddings", None)
        if most is not None and variant.max_tokens > most - first:
            raise UsageError(
                f"'{name}': the model has {most - first} positions, so max_tokens is at most that"
            )
        model.max_seq_length = variant.max_tokens


def turn(model: Any, attention: str, name: str) -> None:
    """Make a SentenceTransformer's attention `causal` or `bidirectional`. Raises ModelError where that fails."""
    ahead = attention == "bidirectional"
    if sees_ahead(model) == ahead:
        return
    model[0].auto_model.config.is_causal = not ahead
    if sees_ahead(model) != ahead:
        raise ModelError(
            f"'{name}': the attention of a {type(model[0].auto_model).__name__} cannot be made {attention}; that "
            "works for decoders, such as those of the Llama, Qwen and Mistral families"
        )


def sees_ahead(model: Any) -> bool:
    """Whether the first token of a SentenceTransformer's input attends to those after it. Two short passes."""
    import torch

    layers = model[0].auto_model
    ids = torch.tensor([[1, 2, 3, 4], [1, 2, 3, 5]], device=model.device)
    with torch.inference_mode():
        first, other = layers(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state[:, 0]
    return not torch.allclose(first, other, atol=1e-6)


def sharpen(transformer: Any, factor: float, name: str) -> None:
    """Multiply the scores of attention in every layer, by multiplying what makes the queries. Raises ModelError."""
    import torch

    parameters = dict(transformer.auto_model.named_parameters())
    if any(map(_NOT_SCALED.search, parameters)):
        raise ModelError(
            f"'{name}': a temperature cannot be built into this model's weights, whose scores of attention are not "
            "proportional to its queries"
        )
    changed = 0
    with torch.no_grad():
        for key, weights in parameters.items():
            if _QUERY.search(f".{key}"):
                weights *= factor
            elif _PACKED.search(f".{key}"):
                weights[: len(weights) // 3] *= factor
            else:
                continue
            changed += 1
    if not changed:
        raise ModelError(f"'{name}': no attention was found in the model whose temperature could be set")
