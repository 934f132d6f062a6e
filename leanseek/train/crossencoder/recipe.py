"""How a cross-encoder is trained: by sentence-transformers' trainer, saved in its best state on held-out queries."""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from leanseek.encode import DEFAULT_MODEL, resolve_model
from leanseek.errors import MissingPackageError, ModelError, UsageError
from leanseek.files import draft_folder
from leanseek.rerank.crossencoder.torch_pairs import load_cross_encoder
from leanseek.train.crossencoder.mined_groups import Group
from leanseek.types import Progress

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder
    from torch import Tensor

    from leanseek.rerank.crossencoder.joint import JointReader

CERTAIN = 10.0
"""The label of a positive: the loss takes a softmax of labels, and this is 1 beside zeros."""

FRESH = r"\b1\.linear\.|classifier|segment|importance"
"""Parameters that are new, by their names; they learn `FRESH_FASTER` times as fast as the pretrained ones."""
FRESH_FASTER = 20.0

EVALUATE_EVERY = 500
"""Batches between two losses on the held-out queries, at most."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a cross-encoder is trained.

    `joint_layers`: how many layers read query and passage together, while the others read them apart and are not
    trained (see `JointReader`); None trains an ordinary cross-encoder, all of whose layers read both. A `base`
    that is such a model itself is trained further.
    `max_tokens` is a pair's length in training; the joint layers' positions are those of the base, so in use they
    read as many tokens as it has positions for.
    `mix`: with joint layers, the weights that are saved are this share of the trained ones and the rest of those
    that training started from, which already order passages well (Wortsman et al., Robust fine-tuning of zero-shot
    models, CVPR 2022), so that it also works on texts unlike those of the training; 1 takes the trained ones.
    """

    base: str = DEFAULT_MODEL
    joint_layers: int | None = 2
    epochs: float = 1.0
    batch: int = 8
    learning_rate: float = 5e-5
    max_tokens: int = 160
    mix: float = 0.5
    seed: int = 0

    def __post_init__(self) -> None:
        if self.joint_layers is not None and self.joint_layers < 1:
            raise UsageError(
                f"joint layers are {self.joint_layers}; give at least 1, or none for an ordinary model"
            )
        if not 0.0 < self.mix <= 1.0:
            raise UsageError(f"the mix is {self.mix}; it must be more than 0 and at most 1")
        for what, value, least in (
            ("epochs", self.epochs, 0.0),
            ("the batch", self.batch, 0),
            ("the learning rate", self.learning_rate, 0.0),
            ("the longest pair", self.max_tokens, 15),
        ):
            if value <= least:
                raise UsageError(f"{what}: {value} given; it must be more than {least}")


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
        return CrossEncoder(str(folder), num_labels=1, max_length=recipe.max_tokens)
    return grown(str(folder), recipe.joint_layers, recipe.max_tokens)


def grown(folder: str, joint_layers: int, max_tokens: int) -> CrossEncoder:
    """A cross-encoder that scores as the bi-encoder in `folder` does, and has layers to learn more with."""
    import torch
    from sentence_transformers import CrossEncoder
    from sentence_transformers.base.modules import Dense
    from transformers import AutoModel, AutoTokenizer

    from leanseek.rerank.crossencoder.joint import COSINE, JOINT_COSINE, MAXSIM, OVERLAP, JointReader

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


class Learned(NamedTuple):
    """The loss on the held-out groups before and after training, which took `steps` batches."""

    before: float
    after: float
    steps: int


def train(
    recipe: Recipe,
    groups: Sequence[Group],
    held_out: Sequence[Group],
    out: Path,
    *,
    progress: Progress | None = None,
) -> Learned:
    """Train on `groups` and save the model into the folder `out`, in the state that was best on `held_out`.

    With joint layers the saved weights are mixed with the initial ones (see `Recipe`), and `after` is their loss.
    The loss is listwise: the cross-entropy between the softmax of a group's scores and its positive (ListNet:
    Cao et al., ICML 2007). Checkpoints are kept beside `out` until it is done; the same call after an
    interruption continues from the last. On a GPU where there is one.

    Raises MissingPackageError, ModelError, UsageError.
    """
    try:
        import accelerate  # noqa: F401  (the trainer imports it late, after the mining)
        from datasets import Dataset
        from sentence_transformers.cross_encoder import CrossEncoderTrainer, CrossEncoderTrainingArguments
        from sentence_transformers.cross_encoder.losses import ListNetLoss
        from transformers import PrinterCallback

        from leanseek.rerank.crossencoder.joint import JointReader
        from leanseek.train.crossencoder.mined_groups import SimilarLengths
    except ImportError as error:
        raise MissingPackageError("training a cross-encoder", error.name or "accelerate", "train") from error
    model = untrained(recipe)
    start = {name: weights.clone() for name, weights in model.state_dict().items()}
    checkpoints = out.with_name(out.name + ".checkpoints")
    steps = max(1, round(recipe.epochs * len(groups) / recipe.batch))
    # At even intervals, so that the last evaluation is at the last step, where the trainer evaluates in any case.
    often = math.ceil(steps / max(2, math.ceil(steps / EVALUATE_EVERY)))
    arguments = CrossEncoderTrainingArguments(
        output_dir=str(checkpoints),
        max_steps=steps,
        per_device_train_batch_size=recipe.batch,
        per_device_eval_batch_size=recipe.batch,
        learning_rate=recipe.learning_rate,
        learning_rate_mapping={FRESH: recipe.learning_rate * FRESH_FASTER},
        warmup_steps=steps // 10,
        batch_sampler=SimilarLengths,
        eval_strategy="steps",
        eval_steps=often,
        save_steps=often,
        save_total_limit=2,
        load_best_model_at_end=True,
        metric_for_best_model="eval_loss",
        seed=recipe.seed,
        data_seed=recipe.seed,
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=False,
    )
    trainer = CrossEncoderTrainer(
        model=model,
        args=arguments,
        train_dataset=Dataset.from_list(list(map(row, groups))),
        eval_dataset=Dataset.from_list(list(map(row, held_out))),
        loss=ListNetLoss(model),
        callbacks=[reporting(progress)] if progress is not None else None,
    )
    trainer.remove_callback(PrinterCallback)
    before = trainer.evaluate()["eval_loss"]
    trainer.train(resume_from_checkpoint=any(checkpoints.glob("checkpoint-*")))
    after = float(trainer.state.best_metric)
    if isinstance(model[0], JointReader):
        mix(model, start, recipe.mix)
        after = trainer.evaluate()["eval_loss"]
        model[0].max_seq_length = model[0].model.config.max_position_embeddings
    with draft_folder(out) as draft:
        model.save_pretrained(str(draft))
    shutil.rmtree(checkpoints, ignore_errors=True)
    return Learned(before, after, steps)


def mix(model: CrossEncoder, start: Mapping[str, Tensor], share: float) -> None:
    """Make each weight `share` of what it is, and the rest of what it was at the `start`."""
    state = model.state_dict()
    model.load_state_dict(
        {
            name: start[name].to(weights.device).lerp(weights, share)
            if weights.is_floating_point()
            else weights
            for name, weights in state.items()
        }
    )


def row(group: Group) -> dict[str, Any]:
    """A group as the trainer's data set holds it."""
    labels = [CERTAIN, *[0.0] * (len(group.passages) - 1)]
    return {"query": group.query, "docs": group.passages, "labels": labels}


def reporting(progress: Progress) -> object:
    """A trainer's callback that reports the progress."""
    from transformers import TrainerCallback

    class Reporting(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            progress("training", state.global_step, state.max_steps)

    return Reporting()
