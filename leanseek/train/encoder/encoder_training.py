"""An encoder from collections: groups mined and judged by a teacher, the model fitted, saved with its provenance."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any, Final

import numpy as np

from leanseek.encode.learned_registry import KIND, resolve_splade
from leanseek.encode.models import resolve_model
from leanseek.encode.torch_encoder import load_model, max_tokens_of
from leanseek.encode.torch_splade import load_splade_model
from leanseek.errors import MissingPackageError, ModelError
from leanseek.files import draft_folder
from leanseek.rerank import load_reranker
from leanseek.text.sentences import split_sentences
from leanseek.train.encoder.encoder_recipe import COSINE_SCALE, EncoderRecipe, SparseRecipe
from leanseek.train.fitting import Row, finish, fit
from leanseek.train.mining import Group
from leanseek.train.training_set import (
    Drawing,
    Source,
    Taken,
    check_out,
    training_set,
    write_provenance,
)
from leanseek.types import Float64Array, Progress

SAMPLE: Final = 128
"""Groups by which the teacher's scale is fitted."""
CHANCE: Final = 0.5


@dataclass(frozen=True, slots=True)
class EncoderReport:
    """What an encoder was trained on, and the loss on the held-out queries before and after (see `Learned`).

    `teacher_right` is the share of pairs, of a relevant and another passage, that the teacher puts in that order; None
    without a teacher.
    """

    sources: tuple[Taken, ...]
    drawing: Drawing
    recipe: EncoderRecipe
    teacher_right: float | None
    before: float
    after: float
    steps: int
    stopped: int | None


def train_encoder(
    sources: Sequence[Source],
    out: Path,
    recipe: EncoderRecipe | None = None,
    drawing: Drawing | None = None,
    *,
    work: Path = Path("results"),
    device: str | None = None,
    progress: Progress | None = None,
) -> EncoderReport:
    """Train an encoder on judged queries and write it, with its provenance, into the folder `out`.

    With a `SparseRecipe` that is a learned sparse encoder, else a dense one. The groups are those of `training_set`.
    Checkpoints are kept beside `out` until it is done, so that the same call continues after an interruption.

    Raises UsageError where `out` holds something else or there are too few queries; ModelError for a base that does not
    fit the loss, a teacher that ranks no better than chance, or a loss that is no number from the start; StorageError,
    MissingPackageError.
    """
    recipe, drawing = recipe or EncoderRecipe(), drawing or Drawing()
    check_out(out)
    # What cannot be loaded is told before anything is indexed.
    model = start_of(recipe, device)
    teacher = load_reranker(recipe.scored_by, device) if recipe.scored_by is not None else None
    limit = max_tokens_of(model)
    model.max_seq_length = recipe.max_tokens if limit is None else min(recipe.max_tokens, limit)
    material = training_set(
        sources,
        drawing,
        seed=recipe.seed,
        work=work,
        teacher=teacher,
        device=device,
        progress=progress,
    )
    right = None
    if teacher is not None:
        right = share_right(material.learn)
        if right <= CHANCE:
            raise ModelError(
                f"the teacher '{recipe.teacher}' puts the relevant passage above another in {right:.0%} of the pairs, "
                "no better than chance: it cannot read these queries, or the judgments are of other documents. Give "
                "another --teacher, or --loss infonce, which asks none"
            )
        scale = teacher_scale(model, material.learn[:SAMPLE], recipe)
        learn, held = (
            [group._replace(scores=[scale * score for score in group.scores]) for group in groups]
            for groups in (material.learn, material.held_out)
        )
    else:
        learn, held = material.learn, material.held_out
    checkpoints = out.with_name(out.name + ".checkpoints")
    loss, callbacks = loss_of(model, recipe)
    learned = fit(
        model,
        loss,
        [row(group, drawing.negatives, views=recipe.ssl > 0) for group in learn],
        [row(group, drawing.negatives, views=recipe.ssl > 0) for group in held],
        checkpoints,
        recipe,
        share=recipe.mix,
        callbacks=callbacks,
        progress=progress,
    )
    model.max_seq_length = limit
    report = EncoderReport(material.taken, drawing, recipe, right, *learned)
    with draft_folder(out) as draft:
        model.save_pretrained(str(draft), create_model_card=False)
        write_provenance(draft, asdict(report))
    finish(checkpoints)
    return report


def start_of(recipe: EncoderRecipe, device: str | None) -> Any:
    """The model that training starts from. Raises ModelError, MissingPackageError."""
    if isinstance(recipe, SparseRecipe):
        name = f"{KIND}:{recipe.base}" if recipe.base else KIND
        return load_splade_model(resolve_splade(name).path, device)
    return load_model(resolve_model(recipe.base).path, device)


def loss_of(model: Any, recipe: EncoderRecipe) -> tuple[Any, Sequence[Any]]:
    """The loss that the model is fitted to, and the trainer's callbacks that it needs. Raises MissingPackageError."""
    try:
        from leanseek.train.encoder.losses import LOSSES
    except ImportError as error:
        raise MissingPackageError(
            "training an encoder", error.name or "sentence-transformers", "train"
        ) from error
    if not isinstance(recipe, SparseRecipe):
        return LOSSES[recipe.loss](model, views=recipe.ssl), ()
    from sentence_transformers.sparse_encoder.callbacks.splade_callbacks import (
        SpladeRegularizerWeightSchedulerCallback,
    )
    from sentence_transformers.sparse_encoder.losses import SpladeLoss

    priced = SpladeLoss(
        model, LOSSES[recipe.loss](model, dot=True), recipe.document_price, recipe.query_price
    )
    return priced, [SpladeRegularizerWeightSchedulerCallback(priced)]


def row(group: Group, negatives: int, *, views: bool = False) -> Row:
    """A group as the trainer's data set holds it: a column for each text. Too few negatives are repeated.

    The labels are the teacher's scores, or without one the grades.
    """
    graded = len(group.grades)
    repeated = islice(cycle(range(graded, len(group.passages))), negatives + 1 - graded)
    places = [*range(graded), *repeated]
    columns: Row = {"query": group.query}
    columns |= {f"passage{column}": group.passages[place] for column, place in enumerate(places)}
    if views:
        columns |= dict(zip(("view1", "view2"), views_of(group.passages[0]), strict=True))
    labels = group.scores or [*group.grades, *[0] * (len(group.passages) - graded)]
    columns["label"] = [float(labels[place]) for place in places]
    return columns


def views_of(text: str) -> tuple[str, str]:
    """Two views of a document: its first sentence or title, and the rest without the words of the first.

    Words that both have would make the task too easy. A text of one sentence is halved.
    """
    spans = split_sentences(text)
    at = spans[0][1] if len(spans) > 1 else len(text) // 2
    first, rest = text[:at], text[at:]
    words = set(re.findall(r"\w+", first.lower()))
    other = re.sub(r"\w+", lambda found: "" if found[0].lower() in words else found[0], rest)
    return first, " ".join(other.split()) or rest


def share_right(groups: Sequence[Group]) -> float:
    """The share of pairs of a group's positive and another passage that its teacher's scores order so."""
    margins = teacher_margins(groups)
    return float((margins > 0).mean() + (margins == 0).mean() / 2)


def teacher_margins(groups: Sequence[Group]) -> Float64Array:
    """(m,): how far the teacher's scores put each group's positive above each other passage."""
    return np.concatenate([group.scores[0] - np.array(group.scores[1:], np.float64) for group in groups])


def teacher_scale(model: Any, groups: Sequence[Group], recipe: EncoderRecipe) -> float:
    """What the teacher's scores are multiplied by so that its margins spread as widely as the model's at the start."""
    sparse = isinstance(recipe, SparseRecipe)
    options = {"convert_to_sparse_tensor": False} if sparse else {"normalize_embeddings": True}
    options |= {"convert_to_tensor": True, "show_progress_bar": False}
    margins = []
    for group in groups:
        query = model.encode_query(group.query, **options)
        scores = (model.encode_document(list(group.passages), **options) @ query).cpu().numpy()
        margins.append((1.0 if sparse else COSINE_SCALE) * (scores[0] - scores[1:]))
    spread = float(np.std(teacher_margins(groups)))
    return float(np.std(np.concatenate(margins))) / spread if spread > 0 else 1.0
