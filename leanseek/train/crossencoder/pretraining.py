"""A cross-encoder that learns from texts alone which words stand for a text, before it learns from judged queries."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from leanseek.encode import resolve_model
from leanseek.encode.models import model_fingerprint
from leanseek.errors import InputError, ModelError, UsageError
from leanseek.files import draft_folder
from leanseek.reading import Reading
from leanseek.train.crossencoder.recipe import FRESH, FRESH_FASTER, Recipe, untrained
from leanseek.train.crossencoder.word_sets import Method, SetPair, set_pairs
from leanseek.train.fitting import Faster, finish, fit
from leanseek.train.texts import Texts, texts_of
from leanseek.train.training_set import check_out, write_provenance
from leanseek.types import Document, Progress, silent


@dataclass(frozen=True, slots=True)
class PretrainRecipe(Recipe):
    """How a cross-encoder is pre-trained: as by `Recipe`, on `pairs` pairs of word sets of each text.

    `method` says which of two sets is the better: by the base's own attention ("b-prop") or by counts ("prop"). A batch
    is so many pairs. Raises UsageError for what is out of range.
    """

    method: Method = "b-prop"
    pairs: int = 10
    batch: int = field(default=32, kw_only=True)
    mix: float = field(default=1.0, kw_only=True)

    def __post_init__(self) -> None:
        Recipe.__post_init__(self)
        if self.method not in ("b-prop", "prop"):
            raise UsageError(f"the method is '{self.method}'; it can be b-prop or prop")
        if self.pairs < 1:
            raise UsageError(f"{self.pairs} pairs of word sets of each text; give at least 1")


class PretrainPlan(NamedTuple):
    """What `pretrain` would do: learn from the word sets of so many texts, others `held_out`, in `steps` at most."""

    documents: int
    texts: int
    held_out: int
    steps: int


@dataclass(frozen=True, slots=True)
class PretrainReport:
    """What a cross-encoder was pre-trained on, and the loss on the held-out texts before and after (see `Learned`).

    `pairs` are those of the texts to learn from; `sources` is empty for documents that were not read from files.
    """

    sources: tuple[str, ...]
    documents: int
    texts: int
    held_out: int
    checksum: str
    pairs: int
    recipe: PretrainRecipe
    base_fingerprint: str
    before: float
    after: float
    steps: int
    stopped: int | None


def plan_pretrain(
    documents: Iterable[Document],
    out: Path,
    recipe: PretrainRecipe | None = None,
    *,
    limit: int | None = None,
) -> PretrainPlan:
    """What pre-training would do, without loading the base. Raises as `pretrain` does."""
    recipe = recipe or PretrainRecipe()
    check_out(out)
    resolve_model(recipe.base)
    texts = texts_of(documents, recipe.seed, recipe.max_tokens, limit)
    learn = len(texts.learn)
    return PretrainPlan(texts.documents, learn, len(texts.held_out), recipe.steps(learn * recipe.pairs))


def pretrain(
    documents: Iterable[Document],
    out: Path,
    recipe: PretrainRecipe | None = None,
    *,
    limit: int | None = None,
    device: str | None = None,
    progress: Progress | None = None,
) -> PretrainReport:
    """Pre-train a cross-encoder on documents without judgments, and write it into the folder `out`.

    Of two sets of a text's words it learns to score the one higher that stands for the text: PROP and B-PROP (see
    `word_sets`), with the hinge loss max(0, 1 - better + worse). Passages are drawn from the documents as by `distil`,
    `limit` of them (None: all). The folder is a `base` for `train_cross_encoder`. Checkpoints are kept beside `out`
    until it is done, so that the same call continues after an interruption.

    Raises UsageError where `out` holds something else; InputError for too few texts or words; ModelError for a base
    that is a cross-encoder already; StorageError, MissingPackageError.
    """
    recipe = recipe or PretrainRecipe()
    check_out(out)
    folder = resolve_model(recipe.base).path
    if (folder / "joint_reader_config.json").is_file():
        raise ModelError(
            f"'{recipe.base}' is a cross-encoder already; give the bi-encoder that it is to grow from"
        )
    model = untrained(recipe)
    if progress is not None:
        progress("reading", 0, None)
    texts = texts_of(documents, recipe.seed, recipe.max_tokens, limit)
    learn, held_out = pairs_of(texts, recipe, folder, device, progress or silent)
    checkpoints = out.with_name(out.name + ".checkpoints")
    learned = fit(
        model,
        hinge_loss(model),
        [pair._asdict() for pair in learn],
        [pair._asdict() for pair in held_out],
        checkpoints,
        recipe,
        faster=Faster(FRESH, FRESH_FASTER),
        share=recipe.mix,
        progress=progress,
    )
    report = PretrainReport(
        tuple(documents.sources) if isinstance(documents, Reading) else (),
        texts.documents,
        len(texts.learn),
        len(texts.held_out),
        texts.checksum(),
        len(learn),
        recipe,
        model_fingerprint(folder),
        *learned,
    )
    with draft_folder(out) as draft:
        model.save_pretrained(str(draft))
        write_provenance(draft, asdict(report))
    finish(checkpoints)
    return report


def pairs_of(
    texts: Texts, recipe: PretrainRecipe, base: Path, device: str | None, progress: Progress
) -> tuple[list[SetPair], list[SetPair]]:
    """The pairs of word sets of the texts to learn from, and of those held out. Raises InputError for too few."""
    # Together, because what words say of all texts is counted over all.
    found = set_pairs(
        [*texts.learn, *texts.held_out], recipe.method, recipe.pairs, recipe.seed, base, device, progress
    )
    kept = set(texts.held_out)
    learn = [pair for pair in found if pair.text not in kept]
    held_out = [pair for pair in found if pair.text in kept]
    if len(learn) < recipe.batch or not held_out:
        raise InputError(
            f"{len(learn) + len(held_out)} pairs of word sets were found; texts of fewer than 10 different words give "
            "none. Give more or longer documents"
        )
    return learn, held_out


def hinge_loss(model: Any) -> Any:
    """The loss of pairs: how much less than 1 the text's score with the better set is above that with the worse."""
    import torch
    from sentence_transformers.util import batch_to_device

    class HingeLoss(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, inputs: list[list[str]], labels: object = None, **_: object) -> torch.Tensor:
            better, worse, texts = inputs
            features = self.model.preprocess(list(zip([*better, *worse], [*texts, *texts], strict=True)))
            scores = self.model(batch_to_device(features, self.model.device))["scores"].view(2, -1)
            return torch.relu(1.0 - scores[0] + scores[1]).mean()

    return HingeLoss()
