"""A pooling over all layers of an encoder, trained on judged queries; the encoder itself stays as it is."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, get_args

from leanseek.encode import DEFAULT_MODEL, load_encoder
from leanseek.encode.registry import split_backend
from leanseek.encode.torch_encoder import TorchEncoder
from leanseek.errors import MissingPackageError, ModelError, UsageError
from leanseek.files import draft_folder
from leanseek.train.encoder.encoder_training import row
from leanseek.train.fitting import Faster, Schedule, finish, fit, room_for
from leanseek.train.mining import Group
from leanseek.train.training_set import (
    Drawing,
    Source,
    Taken,
    check_out,
    training_set,
    write_provenance,
)
from leanseek.types import Progress

if TYPE_CHECKING:
    from leanseek.encode.layer_pooling import LayerPooling
    from leanseek.train.layer_means import LayerMeans

PoolingKind: TypeAlias = Literal["mix", "layers"]
"""`mix`: a weight for each layer; `layers`: attention over the layers (see `LayerPooling`)."""

MIX_FASTER: Final = Faster(r"\bweights$", 50.0)
"""A mix has a few weights, each of which must move far."""


@dataclass(frozen=True, slots=True)
class PoolingRecipe(Schedule):
    """How a pooling over layers is trained.

    `base` is an encoder that runs on torch, as `load_encoder` takes it: MODEL, or decoder:MODEL[…]. With `latents`
    queries attend `layers`. The weights of a mix learn faster than at the `learning_rate`, by `MIX_FASTER`.
    `max_tokens` of a text are read in training, in use as many as by the base.

    Raises UsageError for what is out of range.
    """

    base: str = DEFAULT_MODEL
    kind: PoolingKind = "layers"
    latents: int = 16
    epochs: float = field(default=10.0, kw_only=True)
    batch: int = field(default=32, kw_only=True)
    learning_rate: float = field(default=1e-3, kw_only=True)
    max_tokens: int = field(default=256, kw_only=True)
    mix: float = field(default=1.0, kw_only=True)

    def __post_init__(self) -> None:
        if self.kind not in get_args(PoolingKind):
            raise UsageError(f"'{self.kind}' is no pooling; choose from: {', '.join(get_args(PoolingKind))}")
        if self.latents < 1:
            raise UsageError(f"{self.latents} latents given; it must be at least 1")
        Schedule.__post_init__(self)


@dataclass(frozen=True, slots=True)
class PoolingReport:
    """What a pooling was trained on, and the loss on the held-out queries before and after (see `Learned`).

    Before is the pooling as it starts, which is about the mean over the last layer's tokens.
    """

    sources: tuple[Taken, ...]
    drawing: Drawing
    recipe: PoolingRecipe
    before: float
    after: float
    steps: int
    stopped: int | None


def train_pooling(
    sources: Sequence[Source],
    out: Path,
    recipe: PoolingRecipe | None = None,
    drawing: Drawing | None = None,
    *,
    work: Path = Path("results"),
    device: str | None = None,
    progress: Progress | None = None,
) -> PoolingReport:
    """Train a pooling over an encoder's layers and write the encoder with it, and its provenance, into `out`.

    The loss is InfoNCE on the groups of `training_set` (see `leanseek.train.encoder.losses`). The encoder's own weights
    stay as they are, so that its layers are computed once, into `out`.layers; there and in `out`.checkpoints
    the same call continues after an interruption, and both are removed at the end.

    Raises UsageError where `out` holds something else, the base is no model on torch, or there are too few queries;
    ModelError for a base without layers of tokens' states, or a loss that is no number from the start; StorageError,
    MissingPackageError.
    """
    recipe, drawing = recipe or PoolingRecipe(), drawing or Drawing()
    check_out(out)
    for package in ("sentence_transformers", "accelerate", "datasets"):
        if importlib.util.find_spec(package) is None:
            raise MissingPackageError("training a pooling", package.replace("_", "-"), "train")
    encoder = backbone(recipe.base, device)
    model = encoder.model
    material = training_set(sources, drawing, seed=recipe.seed, work=work, device=device, progress=progress)
    learn, held = ([as_read(group, encoder) for group in groups] for groups in material[:2])
    states, checkpoints = (out.with_name(f"{out.name}.{kind}") for kind in ("layers", "checkpoints"))
    with room_for(model, checkpoints, copies=1):
        means = means_of_groups(encoder, [*learn, *held], states, recipe, progress)
        pooling = new_pooling(means, recipe)
        trained, loss = around(pooling, model, means)
        learned = fit(
            trained,
            loss,
            [row(group, drawing.negatives) for group in learn],
            [row(group, drawing.negatives) for group in held],
            checkpoints,
            recipe,
            faster=MIX_FASTER if recipe.kind == "mix" else None,
            share=recipe.mix,
            progress=progress,
        )
        model[1] = pooling
        report = PoolingReport(material.taken, drawing, recipe, *learned)
        with draft_folder(out) as draft:
            model.save_pretrained(str(draft), create_model_card=False)
            write_provenance(draft, asdict(report))
    finish(checkpoints)
    shutil.rmtree(states, ignore_errors=True)
    return report


def backbone(name: str, device: str | None) -> TorchEncoder:
    """The encoder whose layers are pooled, which then gives all of them.

    Raises UsageError for one that does not run on torch, ModelError for one that has no layers and pooling.
    """
    backend, _ = split_backend(name)
    if backend not in ("", "decoder"):
        raise UsageError(
            f"'{name}' does not run on torch, where its layers could be seen; give the model without its back end, or "
            "decoder:MODEL"
        )
    encoder = load_encoder(name, device)
    assert isinstance(encoder, TorchEncoder)
    kinds = [type(module).__name__ for module in encoder.model]
    config: Any = getattr(getattr(encoder.model[0], "auto_model", None), "config", None)
    if kinds[1:2] not in (["Pooling"], ["LayerPooling"]) or not hasattr(config, "num_hidden_layers"):
        raise ModelError(
            f"'{name}' is made of {', '.join(kinds)}; what is needed is a transformer and a pooling after it"
        )
    config.output_hidden_states = True
    encoder.model.float()  # what is learned and averaged is not halved, on any device
    return encoder


def as_read(group: Group, encoder: TorchEncoder) -> Group:
    """The group with the encoder's prompts before its texts."""
    query, document = encoder.prompts
    return group._replace(
        query=query + group.query, passages=[document + passage for passage in group.passages]
    )


def means_of_groups(
    encoder: TorchEncoder,
    groups: Sequence[Group],
    folder: Path,
    recipe: PoolingRecipe,
    progress: Progress | None,
) -> LayerMeans:
    """The layer means of all texts of the groups. Raises as `compute_layer_means`."""
    from leanseek.train.layer_means import compute_layer_means

    texts = [text for group in groups for text in (group.query, *group.passages)]
    model, limit = encoder.model, encoder.max_tokens
    model.max_seq_length = recipe.max_tokens if limit is None else min(recipe.max_tokens, limit)
    try:
        return compute_layer_means(
            model, texts, folder, f"{encoder.fingerprint} {model.max_seq_length}", progress
        )
    finally:
        model.max_seq_length = limit


def new_pooling(means: LayerMeans, recipe: PoolingRecipe) -> LayerPooling:
    """The pooling that training starts from, the same for the same seed."""
    import torch

    from leanseek.encode.layer_pooling import LayerPooling

    with torch.random.fork_rng():
        torch.manual_seed(recipe.seed)
        pooling = LayerPooling(recipe.kind, *means.shape, recipe.latents)
    if recipe.kind == "layers":
        pooling.centre, pooling.spread = means.statistics()
    return pooling


def around(pooling: LayerPooling, model: Any, means: LayerMeans) -> tuple[Any, Any]:
    """What is trained, and its loss: the pooling, with what is known before it and the model's other modules after."""
    from sentence_transformers import SentenceTransformer

    from leanseek.train.encoder.losses import InfoNce
    from leanseek.train.layer_means import Remembered

    after = list(model)[2:]
    for module in after:
        module.requires_grad_(False)
    trained = SentenceTransformer(
        modules=[Remembered(means), pooling.to(model.device), *after], device=str(model.device)
    )
    return trained, InfoNce(trained)
