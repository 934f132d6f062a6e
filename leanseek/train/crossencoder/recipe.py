"""How a cross-encoder is trained: by sentence-transformers' trainer, saved in its best state on held-out queries."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leanseek.encode import DEFAULT_MODEL, resolve_model
from leanseek.encode.torch_encoder import loading
from leanseek.errors import MissingPackageError, ModelError, UsageError
from leanseek.files import draft_folder
from leanseek.rerank.crossencoder.torch_pairs import load_cross_encoder
from leanseek.train.fitting import Faster, Learned, Schedule, finish, fit
from leanseek.train.mining import Group
from leanseek.types import Progress

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder

    from leanseek.rerank.crossencoder.joint import JointReader

CERTAIN = 10.0
"""The label of a passage of grade 1: the loss takes a softmax of labels, and this is 1 beside zeros."""

FRESH = r"\b1\.linear\.|classifier|segment|importance"
"""Parameters that are new, by their names; they learn `FRESH_FASTER` times as fast as the pretrained ones."""
FRESH_FASTER = 20.0


@dataclass(frozen=True, slots=True)
class Recipe(Schedule):
    """How a cross-encoder is trained.

    `joint_layers`: how many layers read query and passage together, while the others read them apart and are not
    trained (see `JointReader`); None trains an ordinary cross-encoder, all of whose layers read both. A `base`
    that is such a model itself is trained further.
    `max_tokens` is a pair's length; the joint layers' positions are those of the base, so in use they read as many
    tokens as it has positions for. `mix` is for joint layers, so that they also work on texts unlike those of the
    training; an ordinary model is saved as it was trained.
    """

    base: str = DEFAULT_MODEL
    joint_layers: int | None = 2

    def __post_init__(self) -> None:
        Schedule.__post_init__(self)
        if self.joint_layers is not None and self.joint_layers < 1:
            raise UsageError(
                f"joint layers are {self.joint_layers}; give at least 1, or none for an ordinary model"
            )


def untrained(recipe: Recipe) -> CrossEncoder:
    """The cross-encoder that training starts from.

    Raises MissingPackageError, ModelError where the base cannot be loaded or is not of BERT's kind.
    """
    try:
        from sentence_transformers import CrossEncoder
    except ImportError as error:
        raise MissingPackageError("training a cross-encoder", "sentence-transformers", "train") from error
    from leanseek.rerank.crossencoder.joint import JointReader

    folder = resolve_model(recipe.base).path
    if (folder / JointReader.config_file_name).is_file():
        model = load_cross_encoder(folder, None)
        model[0].max_seq_length = recipe.max_tokens
        keep_apart(model[0])
        return model
    if recipe.joint_layers is None:
        with loading(folder, None, " as a cross-encoder"):
            return CrossEncoder(str(folder), num_labels=1, max_length=recipe.max_tokens)
    return grown(str(folder), recipe.joint_layers, recipe.max_tokens)


def grown(folder: str, joint_layers: int, max_tokens: int) -> CrossEncoder:
    """A cross-encoder that scores as the bi-encoder in `folder` does, and has layers to learn more with."""
    import torch
    from sentence_transformers import CrossEncoder
    from sentence_transformers.base.modules import Dense
    from transformers import AutoModel, AutoTokenizer

    from leanseek.rerank.crossencoder.joint import COSINE, JOINT_COSINE, MAXSIM, OVERLAP, JointReader

    with loading(Path(folder), None):
        model = AutoModel.from_pretrained(folder, add_pooling_layer=False)
    layers = getattr(getattr(model, "encoder", None), "layer", None)
    if layers is None or len(layers) < joint_layers:
        raise ModelError(
            f"'{folder}' has no {joint_layers} layers of BERT's kind to read pairs with; give a BERT-type bi-encoder, "
            "fewer joint layers, or none for an ordinary cross-encoder"
        )
    reader = JointReader(model, AutoTokenizer.from_pretrained(folder), joint_layers, max_tokens)
    keep_apart(reader)
    head = Dense(reader.width, 1, activation_function=torch.nn.Identity(), module_output_name="scores")
    with torch.no_grad():
        head.linear.weight.zero_()
        head.linear.bias.zero_()
        # Better than the cosine alone on each of eight training collections. With 0 as the last weight the layers
        # that read the texts together would get no gradient at first.
        weights = torch.tensor([0.5, 0.5, 0.1, 0.1])
        head.linear.weight[0, [COSINE, MAXSIM, OVERLAP, JOINT_COSINE]] = weights
    return CrossEncoder(modules=[reader, head])


def keep_apart(reader: JointReader) -> None:
    """Freeze the layers that read the texts apart."""
    reader.model.requires_grad_(False)
    for layer in reader.joint:
        # With dropout on its weights attention could not take torch's fast form.
        layer.attention.self.dropout.p = 0.0


def train(
    recipe: Recipe,
    groups: Sequence[Group],
    held_out: Sequence[Group],
    out: Path,
    *,
    progress: Progress | None = None,
) -> Learned:
    """Train on `groups` and save the model into the folder `out`, in the state that was best on `held_out`.

    With joint layers the saved weights are mixed with the initial ones (see `Recipe`). The loss is listwise: the
    cross-entropy between the softmax of a group's scores and its passages' shares of its grades (ListNet: Cao et al.,
    ICML 2007). See `fit`.

    Raises MissingPackageError, ModelError, StorageError, UsageError.
    """
    model = untrained(recipe)
    from sentence_transformers.cross_encoder.losses import ListNetLoss

    from leanseek.rerank.crossencoder.joint import JointReader

    joint = isinstance(model[0], JointReader)
    checkpoints = out.with_name(out.name + ".checkpoints")
    learned = fit(
        model,
        ListNetLoss(model),
        list(map(row, groups)),
        list(map(row, held_out)),
        checkpoints,
        recipe,
        faster=Faster(FRESH, FRESH_FASTER),
        share=recipe.mix if joint else 1.0,
        progress=progress,
    )
    if joint:
        model[0].max_seq_length = model[0].model.config.max_position_embeddings
    with draft_folder(out) as draft:
        model.save_pretrained(str(draft))
    finish(checkpoints)
    return learned


def row(group: Group) -> dict[str, Any]:
    """A group as the trainer's data set holds it; the softmax of its labels is in proportion to the grades."""
    labels = [CERTAIN + math.log(grade) for grade in group.grades]
    labels += [0.0] * (len(group.passages) - len(labels))
    return {"query": group.query, "docs": group.passages, "labels": labels}
