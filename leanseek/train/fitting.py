"""Fits a model to groups by one of sentence-transformers' trainers; its best state on held-out queries is kept."""

from __future__ import annotations

import hashlib
import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from leanseek.errors import MissingPackageError, ModelError, StorageError, UsageError
from leanseek.files import free_space, replacing
from leanseek.types import Progress

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

Row = dict[str, Any]
"""One group as the trainer's data set holds it."""

EVALUATE_EVERY = 500
"""Batches between two losses on the held-out queries, at most."""

COPIES = 8
"""How many times its weights a training keeps on the disk: two states of weights, two moments each, and the model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """How long, how fast and on how much of a text a model learns, and how much of that is saved.

    `batch` groups a step, each group `epochs` times, with a `learning_rate` of at most that. `max_tokens` is a text's
    length in training. `mix` is the share of the trained weights in those saved (see `fit`).

    Raises UsageError for what is out of range.
    """

    epochs: float = 1.0
    batch: int = 8
    learning_rate: float = 5e-5
    max_tokens: int = 160
    mix: float = 0.5
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0.0 < self.mix <= 1.0:
            raise UsageError(f"the mix is {self.mix}; it must be more than 0 and at most 1")
        for what, value, least in (
            ("epochs", self.epochs, 0.0),
            ("the batch", self.batch, 0),
            ("the learning rate", self.learning_rate, 0.0),
            ("the longest text", self.max_tokens, 15),
        ):
            if not value > least:
                raise UsageError(f"{what}: {value} given; it must be more than {least}")

    def steps(self, groups: int) -> int:
        """How many batches that many groups take."""
        return max(1, round(self.epochs * groups / self.batch))


class Learned(NamedTuple):
    """The loss on the held-out groups before and after training, which took `steps` batches.

    Both are equal where nothing was gained. `stopped` is the step at which the loss was no number; the state is that of
    the last evaluation before it.
    """

    before: float
    after: float
    steps: int
    stopped: int | None = None


class Faster(NamedTuple):
    """Parameters that are new learn `times` as fast as the pretrained ones: those whose names match `pattern`."""

    pattern: str
    times: float


class NoNumberError(Exception):
    """A loss that is infinite or no number."""


def fit(
    model: Any,
    loss: Module,
    learn: Sequence[Row],
    held_out: Sequence[Row],
    checkpoints: Path,
    schedule: Schedule,
    *,
    faster: Faster | None = None,
    share: float = 1.0,
    callbacks: Sequence[Any] = (),
    progress: Progress | None = None,
) -> Learned:
    """Fit the model, one of sentence-transformers', by the `loss`; afterwards it is in the state that was best.

    Checkpoints are kept in a folder until `finish` removes it; the same call after an interruption continues from the
    last, while one with other groups, schedule or model begins anew. A loss that becomes no number ends the training at
    the last state that was evaluated. The weights become `share` of the trained ones and the rest of those that
    training started from, which already order passages well (Wortsman et al., Robust fine-tuning of zero-shot models,
    CVPR 2022); `after` is their loss. Where that is no lower than `before`, the model is again what it was. On a GPU
    where there is one.

    Raises MissingPackageError; StorageError where the disk is too full; ModelError where the loss was no number before
    anything was learned.
    """
    trainer_of, arguments_of = trainer_classes(model)
    from datasets import Dataset
    from transformers import PrinterCallback

    from leanseek.train.similar_lengths import SimilarLengths

    start = copy_of(model)
    steps = schedule.steps(len(learn))
    # At even intervals, so that the last evaluation is at the last step, where the trainer evaluates in any case.
    often = math.ceil(steps / max(2, math.ceil(steps / EVALUATE_EVERY)))
    arguments = arguments_of(
        output_dir=str(checkpoints),
        max_steps=steps,
        per_device_train_batch_size=schedule.batch,
        per_device_eval_batch_size=schedule.batch,
        learning_rate=schedule.learning_rate,
        learning_rate_mapping={faster.pattern: schedule.learning_rate * faster.times} if faster else None,
        warmup_steps=steps // 10,
        batch_sampler=SimilarLengths,
        eval_strategy="steps",
        eval_steps=often,
        save_steps=often,
        save_total_limit=2,
        load_best_model_at_end=True,
        metric_for_best_model="eval_loss",
        seed=schedule.seed,
        data_seed=schedule.seed,
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=False,
    )
    watch = watching(model, progress)
    trainer = trainer_of(
        model=model,
        args=arguments,
        train_dataset=Dataset.from_list(list(learn)),
        eval_dataset=Dataset.from_list(list(held_out)),
        loss=checked(loss),
        callbacks=[watch, *callbacks],
    )
    trainer.remove_callback(PrinterCallback)
    stopped = None
    with room_for(model, checkpoints):
        keep_own(checkpoints, model, learn, held_out, schedule)
        try:
            before = float(trainer.evaluate()["eval_loss"])
            trainer.train(resume_from_checkpoint=any(checkpoints.glob("checkpoint-*")))
            after = float(trainer.state.best_metric)
        except NoNumberError as error:
            if watch.best is None:
                raise ModelError(
                    f"the loss was no number at step {trainer.state.global_step}, before anything was learned; give a "
                    f"lower learning rate than {schedule.learning_rate:g}, or another base"
                ) from error
            stopped = trainer.state.global_step
            model.load_state_dict(watch.best)
            after = watch.loss
    if share < 1.0:
        mix(model, start, share)
        after = float(trainer.evaluate()["eval_loss"])
    if after >= before:
        model.load_state_dict(start)
        after = before
    return Learned(before, after, steps, stopped)


def keep_own(
    checkpoints: Path, model: Any, learn: Sequence[Row], held_out: Sequence[Row], schedule: Schedule
) -> None:
    """Remove the checkpoints of another training: of other groups, by another schedule, or of another model."""
    shapes = {name: tuple(weights.shape) for name, weights in model.state_dict().items()}
    digest = hashlib.sha256(repr((schedule, shapes)).encode())
    for row in (*learn, *held_out):
        digest.update(repr(row).encode("utf-8", "surrogatepass"))
    mark = checkpoints / "training.sha256"
    if not mark.is_file() or mark.read_text() != digest.hexdigest():
        finish(checkpoints)
        with replacing(mark) as draft:
            draft.write_text(digest.hexdigest())


def finish(checkpoints: Path) -> None:
    """Remove what was kept for an interruption."""
    shutil.rmtree(checkpoints, ignore_errors=True)


def trainer_classes(model: Any) -> tuple[Any, Any]:
    """The trainer for a model of sentence-transformers, and its arguments. Raises MissingPackageError."""
    try:
        import accelerate  # noqa: F401  (the trainer imports it late, after the mining)
        import datasets  # noqa: F401
        import sentence_transformers as library
    except ImportError as error:
        raise MissingPackageError("training a model", error.name or "accelerate", "train") from error
    for kind in ("CrossEncoder", "SparseEncoder", "SentenceTransformer"):
        if isinstance(model, getattr(library, kind)):
            return getattr(library, f"{kind}Trainer"), getattr(library, f"{kind}TrainingArguments")
    raise AssertionError(f"no trainer for a {type(model).__name__}")


def copy_of(model: Any) -> dict[str, Tensor]:
    """The weights as they are now, in the CPU's memory."""
    return {name: weights.detach().to("cpu", copy=True) for name, weights in model.state_dict().items()}


def mix(model: Any, start: Mapping[str, Tensor], share: float) -> None:
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


def checked(loss: Module) -> Module:
    """The loss, which raises NoNumberError before weights are changed by one that is no number."""
    import torch

    def check(module: Module, given: Any, found: Any) -> None:
        parts = found.values() if isinstance(found, dict) else (found,)
        if not all(bool(torch.isfinite(part).all()) for part in parts):
            raise NoNumberError

    loss.register_forward_hook(check)
    return loss


def watching(model: Any, progress: Progress | None) -> Any:
    """A trainer's callback that reports the progress, and keeps the best state that was evaluated in memory."""
    from transformers import TrainerCallback

    class Watching(TrainerCallback):  # type: ignore[misc]
        best: dict[str, Tensor] | None = None
        loss = math.inf

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if progress is not None:
                progress("training", state.global_step, state.max_steps)

        def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any, **kwargs: Any) -> None:
            if state.global_step and metrics["eval_loss"] < self.loss:
                self.best, self.loss = copy_of(model), float(metrics["eval_loss"])

    return Watching()


@contextmanager
def room_for(model: Any, checkpoints: Path, copies: int = COPIES) -> Iterator[None]:
    """Tells of a full disk before so many `copies` of the weights are written, and when it ends that.

    Raises StorageError.
    """
    home, size = checkpoints.parent, sum(weights.nbytes for weights in model.state_dict().values())
    home.mkdir(parents=True, exist_ok=True)
    held = sum(path.stat().st_size for path in checkpoints.rglob("*") if path.is_file())
    needed, (_, free) = copies * size - held, free_space(home)
    if free < needed:
        raise StorageError(
            f"training writes up to {needed / 1e6:,.0f} MB of checkpoints into '{home}', where {free / 1e6:,.0f} MB "
            "are free. Free space there, or give another folder with --out."
        )
    try:
        yield
    except Exception as error:
        # Each library that writes weights has an error of its own for a full disk.
        if free_space(home)[1] > size:
            raise
        raise StorageError(
            f"the disk of '{home}' is full ({error}). Free space there and repeat the command: it continues from the "
            "last checkpoint."
        ) from error
