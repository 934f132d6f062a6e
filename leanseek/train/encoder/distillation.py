"""A smaller encoder from a larger one: fewer of its layers, fitted to it on texts without any judgments."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NamedTuple

from leanseek.encode import DEFAULT_MODEL
from leanseek.encode.models import model_fingerprint, resolve_model
from leanseek.encode.torch_encoder import load_model, max_tokens_of, prompts_of
from leanseek.errors import MissingPackageError, UsageError
from leanseek.files import draft_folder
from leanseek.reading import Reading
from leanseek.train.fitting import Schedule, finish, fit
from leanseek.train.texts import texts_of
from leanseek.train.training_set import check_out, write_provenance
from leanseek.types import Document, Progress


@dataclass(frozen=True, slots=True)
class DistilRecipe(Schedule):
    """How a student of so many `layers` is made of its teacher, another encoder.

    `values` is the weight of the relations between values in the loss, see `relations.RelationLoss`. A batch is so many
    texts of up to `max_tokens`; in use the student reads as many tokens as its teacher.

    Raises UsageError for what is out of range.
    """

    teacher: str = DEFAULT_MODEL
    layers: int = 3
    values: float = 1.0
    batch: int = field(default=16, kw_only=True)
    learning_rate: float = field(default=5e-4, kw_only=True)
    max_tokens: int = field(default=64, kw_only=True)
    mix: float = field(default=1.0, kw_only=True)

    def __post_init__(self) -> None:
        Schedule.__post_init__(self)
        if self.layers < 1:
            raise UsageError(f"a student of {self.layers} layers; it must have at least 1")
        if not self.values >= 0.0:
            raise UsageError(
                f"the weight of the relations between values is {self.values}; it must be 0 or more"
            )


class DistilPlan(NamedTuple):
    """What `distil` would do: learn from so many `texts` of the documents, others `held_out`, in `steps` at most."""

    documents: int
    texts: int
    held_out: int
    steps: int


@dataclass(frozen=True, slots=True)
class DistilReport:
    """What a student was made of, and the loss on the held-out texts before and after (see `Learned`).

    `sources` is empty for documents that were not read from files. `checksum` is that of all texts.
    """

    sources: tuple[str, ...]
    documents: int
    texts: int
    held_out: int
    checksum: str
    recipe: DistilRecipe
    teacher_layers: int
    teacher_fingerprint: str
    before: float
    after: float
    steps: int
    stopped: int | None


def plan_distil(
    documents: Iterable[Document], out: Path, recipe: DistilRecipe | None = None, *, limit: int | None = None
) -> DistilPlan:
    """What distilling would do, without loading the teacher. Raises as `distil` does."""
    recipe = recipe or DistilRecipe()
    check_out(out)
    resolve_model(recipe.teacher)
    texts = texts_of(documents, recipe.seed, recipe.max_tokens, limit)
    learn = len(texts.learn)
    return DistilPlan(texts.documents, learn, len(texts.held_out), recipe.steps(learn))


def distil(
    documents: Iterable[Document],
    out: Path,
    recipe: DistilRecipe | None = None,
    *,
    limit: int | None = None,
    device: str | None = None,
    progress: Progress | None = None,
) -> DistilReport:
    """Make a student of a teacher's layers, fit it to the teacher on documents, and write it into the folder `out`.

    The student begins as evenly spaced layers of the teacher, every second where it has half of them, and keeps its
    embeddings. It learns to relate tokens as the teacher's last layer does, and to give its vectors: MiniLM (Wang et
    al., NeurIPS 2020), see `relations.RelationLoss`. Judgments are not needed. Documents are those of
    `leanseek.reading.read` or any others; those longer than the recipe's `max_tokens` give several passages, and of all
    passages `limit` are drawn (None: all are taken). Checkpoints are kept beside `out` until it is done, so that the
    same call continues after an interruption. The folder has the model's provenance in training.json.

    Raises UsageError where `out` holds something else, or the student would not have fewer layers than its teacher;
    InputError for too few texts, and what reading raises; ModelError for a teacher whose relations cannot be seen, or a
    loss that is no number from the start; StorageError, MissingPackageError.
    """
    recipe = recipe or DistilRecipe()
    check_out(out)
    folder = resolve_model(recipe.teacher).path
    teacher = load_model(folder, device)
    try:
        from leanseek.train.encoder.relations import RelationLoss, keep_layers, layers_of
    except ImportError as error:
        raise MissingPackageError("distilling an encoder", error.name or "torch", "train") from error
    layers = len(layers_of(teacher))
    if recipe.layers >= layers:
        raise UsageError(
            f"a student of {recipe.layers} layers, but the teacher '{recipe.teacher}' has {layers}; give fewer"
        )
    student = copy.deepcopy(teacher)
    keep_layers(student, recipe.layers)
    loss = RelationLoss(student, teacher, values=recipe.values)
    if progress is not None:
        progress("reading", 0, None)
    texts = texts_of(documents, recipe.seed, recipe.max_tokens, limit)
    read_in_use = max_tokens_of(student)
    student.max_seq_length = min(recipe.max_tokens, read_in_use or recipe.max_tokens)
    prompt = prompts_of(student)[1]
    checkpoints = out.with_name(out.name + ".checkpoints")
    learned = fit(
        student,
        loss,
        [{"text": prompt + text} for text in texts.learn],
        [{"text": prompt + text} for text in texts.held_out],
        checkpoints,
        recipe,
        share=recipe.mix,
        progress=progress,
    )
    student.max_seq_length = read_in_use
    report = DistilReport(
        tuple(documents.sources) if isinstance(documents, Reading) else (),
        texts.documents,
        len(texts.learn),
        len(texts.held_out),
        texts.checksum(),
        recipe,
        layers,
        model_fingerprint(folder),
        *learned,
    )
    with draft_folder(out) as draft:
        student.save_pretrained(str(draft), create_model_card=False)
        write_provenance(draft, asdict(report))
    finish(checkpoints)
    return report
