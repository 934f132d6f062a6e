"""A document encoder, trained on documents without judgments: which block is missing, and which half belongs."""

from __future__ import annotations

import importlib.util
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from leanseek.encode import DEFAULT_MODEL, load_encoder
from leanseek.encode.corpus import make_encoding
from leanseek.errors import InputError, MissingPackageError, UsageError
from leanseek.files import draft_folder
from leanseek.reading import Reading
from leanseek.searcher.likeness import BLOCKS, spread
from leanseek.train.fitting import Learned, Row, Schedule, finish, fit
from leanseek.train.texts import Texts, passages, texts_of
from leanseek.train.training_set import check_out, write_provenance
from leanseek.types import Document, Float32Array, Progress, Qrels

if TYPE_CHECKING:
    from leanseek.encode.document_transformer import DocumentTransformer
    from leanseek.text.chunking import Chunking

FEWEST_PAIRS: Final = 20
SEPARATOR: Final = "\x1e"
"""Between the blocks of a document in the text that stands for it in training."""


@dataclass(frozen=True, slots=True)
class DocumentRecipe(Schedule):
    """How a document encoder is trained: a transformer of `layers`, `width` wide, over the vectors of `encoder`.

    Blocks are passages of about `max_tokens`, and so many of each document are `masked`. A batch is so many documents.
    Pairs of similar documents are learned from afterwards, each `pair_epochs` times.

    Raises UsageError for what is out of range.
    """

    encoder: str = DEFAULT_MODEL
    layers: int = 3
    width: int = 256
    masked: int = 2
    pair_epochs: float = 1.5
    epochs: float = field(default=6.0, kw_only=True)
    batch: int = field(default=48, kw_only=True)
    learning_rate: float = field(default=5e-4, kw_only=True)
    max_tokens: int = field(default=80, kw_only=True)
    mix: float = field(default=1.0, kw_only=True)

    def __post_init__(self) -> None:
        Schedule.__post_init__(self)
        if self.layers < 1:
            raise UsageError(f"a document encoder of {self.layers} layers; it must have at least 1")
        if self.width < 8 or self.width % 8:
            raise UsageError(f"a document encoder {self.width} wide; give a multiple of 8")
        if not 1 <= self.masked < BLOCKS:
            raise UsageError(f"{self.masked} masked blocks of each document; give 1 to {BLOCKS - 1}")
        if not self.pair_epochs > 0.0:
            raise UsageError(f"{self.pair_epochs} epochs on pairs; it must be more than 0")


class DocumentsPlan(NamedTuple):
    """What `train_documents` would do: learn from so many `texts`, documents of at least `masked` + 1 blocks, others
    `held_out`, in `steps` at most; then from so many `pairs`, others `pairs_held_out`, in `pair_steps`."""

    documents: int
    texts: int
    held_out: int
    steps: int
    pairs: int
    pairs_held_out: int
    pair_steps: int


@dataclass(frozen=True, slots=True)
class DocumentsReport:
    """What a document encoder was trained on, and the loss on held-out documents before and after (see `Learned`).

    `of_pairs` says the same of the pairs, which were `judged`, or halves of documents. `sources` is empty for documents
    that were not read from files. `checksum` is that of the documents' blocks, of which there were so many `blocks`.
    """

    sources: tuple[str, ...]
    documents: int
    texts: int
    held_out: int
    checksum: str
    blocks: int
    judged: bool
    pairs: int
    pairs_held_out: int
    recipe: DocumentRecipe
    encoder_fingerprint: str
    before: float
    after: float
    steps: int
    stopped: int | None
    of_pairs: Learned


class Material(NamedTuple):
    """What is learned from: documents as texts of blocks, and the rows of pairs of them, those held out apart."""

    texts: Texts
    pairs: list[Row]
    pairs_held_out: list[Row]

    def everything(self) -> list[str]:
        """Every document once."""
        of_pairs = (text for row in (*self.pairs, *self.pairs_held_out) for text in row.values())
        return list(dict.fromkeys([*self.texts.learn, *self.texts.held_out, *of_pairs]))


def plan_documents(
    documents: Iterable[Document],
    out: Path,
    recipe: DocumentRecipe | None = None,
    *,
    pairs: Qrels | None = None,
    limit: int | None = None,
) -> DocumentsPlan:
    """What training would do, without loading the encoder. Raises as `train_documents` does."""
    recipe = recipe or DocumentRecipe()
    check_out(out)
    material = material_of(documents, recipe, pairs, limit)
    learn, held_out, count = material.texts
    return DocumentsPlan(
        count,
        len(learn),
        len(held_out),
        recipe.steps(len(learn)),
        len(material.pairs),
        len(material.pairs_held_out),
        of_pairs(recipe).steps(len(material.pairs)),
    )


def train_documents(
    documents: Iterable[Document],
    out: Path,
    recipe: DocumentRecipe | None = None,
    *,
    pairs: Qrels | None = None,
    limit: int | None = None,
    device: str | None = None,
    cache: bool = True,
    progress: Progress | None = None,
) -> DocumentsReport:
    """Train a document encoder on documents and write it, with its provenance, into the folder `out`.

    It reads the vectors that an encoder, which stays as it is, has made of a document's blocks. Without judgments it
    learns which of all blocks that are masked in a batch belongs where (`document_losses.MaskedBlocks`), from documents
    with more blocks than are masked, of which `limit` are drawn (None: all). Then it learns which documents are similar
    (`document_losses.SimilarDocuments`): those with a grade above 0 in the judgments of `pairs`, whose ids are of
    documents on both sides; without any, the halves of a document, one of every second block. All others are taken not
    to be. Block vectors go through the vector cache unless `cache` is False. Checkpoints are kept beside `out` until it
    is done, so that the same call continues after an interruption.

    Raises UsageError where `out` holds something else; InputError for too few documents or pairs; ModelError for a loss
    that is no number from the start; StorageError, MissingPackageError.
    """
    recipe = recipe or DocumentRecipe()
    check_out(out)
    for package in ("sentence_transformers", "accelerate", "datasets"):
        if importlib.util.find_spec(package) is None:
            raise MissingPackageError("training a document encoder", package.replace("_", "-"), "train")
    from sentence_transformers import SentenceTransformer

    from leanseek.train.document_losses import Blocks, MaskedBlocks, SimilarDocuments

    encoder = load_encoder(recipe.encoder, device)
    if progress is not None:
        progress("reading", 0, None)
    material = material_of(documents, recipe, pairs, limit)
    places, vectors = encoded(material.everything(), encoder, cache, progress)
    source = Blocks(vectors, places)
    transformer = untrained(recipe, vectors.shape[1], encoder.fingerprint)
    model = SentenceTransformer(modules=[source, transformer], device=device)
    checkpoints = out.with_name(out.name + ".checkpoints")
    learned = fit(
        model,
        MaskedBlocks(model, recipe.masked, recipe.seed),
        [{"text": text} for text in material.texts.learn],
        [{"text": text} for text in material.texts.held_out],
        checkpoints,
        recipe,
        share=recipe.mix,
        progress=progress,
    )
    rows = [*material.pairs, *material.pairs_held_out]
    similar = {(a, b) for row in rows for a, b in [source.numbers(row.values())]}
    # Inside the others, with which they are removed where the documents have changed.
    learned_of_pairs = fit(
        model,
        SimilarDocuments(model, similar | {(b, a) for a, b in similar}),
        material.pairs,
        material.pairs_held_out,
        checkpoints / "pairs",
        of_pairs(recipe),
        share=recipe.mix,
        progress=progress,
    )
    report = DocumentsReport(
        tuple(documents.sources) if isinstance(documents, Reading) else (),
        material.texts.documents,
        len(material.texts.learn),
        len(material.texts.held_out),
        material.texts.checksum(),
        len(vectors),
        pairs is not None,
        len(material.pairs),
        len(material.pairs_held_out),
        recipe,
        encoder.fingerprint,
        *learned,
        learned_of_pairs,
    )
    with draft_folder(out) as draft:
        transformer.save(str(draft))
        write_provenance(draft, asdict(report))
    finish(checkpoints)
    return report


def of_pairs(recipe: DocumentRecipe) -> DocumentRecipe:
    """The schedule by which pairs are learned from."""
    return replace(recipe, epochs=recipe.pair_epochs)


def material_of(
    documents: Iterable[Document], recipe: DocumentRecipe, pairs: Qrels | None, limit: int | None
) -> Material:
    """Documents and pairs, the same for the same seed. Raises as `train_documents`."""
    named: dict[str, str] = {}
    judged = {one for first, others in (pairs or {}).items() for one in (first, *others)}

    def whole(document: Document, chunking: Chunking) -> Iterator[str]:
        blocks = [text.replace(SEPARATOR, " ") for text in passages(document, chunking)]
        text = SEPARATOR.join(blocks[place] for place in spread(np.arange(len(blocks))))
        if document.id in judged:
            named[document.id] = text
        if len(blocks) > recipe.masked:
            yield text

    texts = texts_of(
        documents,
        recipe.seed,
        recipe.max_tokens,
        limit,
        parts=whole,
        what=f"documents of more than {recipe.masked} blocks",
    )
    if pairs is None:
        return Material(texts, list(map(halves, texts.learn)), list(map(halves, texts.held_out)))
    learn, held_out = split_pairs(pairs, named, set(texts.held_out), recipe.seed)
    return Material(texts, learn, held_out)


def halves(text: str) -> Row:
    """Every second block of a document, and the others."""
    blocks = text.split(SEPARATOR)
    return {"one": SEPARATOR.join(blocks[::2]), "other": SEPARATOR.join(blocks[1::2])}


def split_pairs(
    pairs: Qrels, named: dict[str, str], kept: set[str], seed: int
) -> tuple[list[Row], list[Row]]:
    """The pairs with a grade above 0 to learn from, and those held out: any with a document of those `kept` out.

    Each is there once, in a random order; a pair of the same texts is none. Raises InputError for too few.
    """
    found: dict[tuple[str, ...], None] = {}
    missing = ""
    for first, others in pairs.items():
        for other, grade in others.items():
            if grade > 0 and first != other:
                if first in named and other in named:
                    found[tuple(sorted((named[first], named[other])))] = None
                else:
                    missing = missing or (first if first not in named else other)
    rows = [{"one": one, "other": other} for one, other in found if one != other]
    random.Random(seed).shuffle(rows)
    learn = [row for row in rows if kept.isdisjoint(row.values())]
    held_out = [row for row in rows if not kept.isdisjoint(row.values())]
    if len(learn) < FEWEST_PAIRS or not held_out:
        hint = f"; the sources have no document {missing!r}, for one" if missing else ""
        raise InputError(
            f"there are {len(learn)} pairs of similar documents to learn from, and {len(held_out)} to hold out; "
            f"training needs at least {FEWEST_PAIRS}, and hundreds are good{hint}. Add pairs, or leave them out"
        )
    return learn, held_out


def encoded(
    texts: Sequence[str], encoder: Any, cache: bool, progress: Progress | None
) -> tuple[dict[str, list[int]], Float32Array]:
    """The rows of each document's blocks, and the vectors (p, D) of all blocks, each distinct one once."""
    rows: dict[str, int] = {}
    places = {text: [rows.setdefault(block, len(rows)) for block in text.split(SEPARATOR)] for text in texts}

    def tick(done: int) -> None:
        if progress is not None:
            progress("encoding", done, len(rows))

    vectors, _ = make_encoding(encoder, (), cache).documents(list(rows), tick)
    return places, vectors


def untrained(recipe: DocumentRecipe, dimensions: int, fingerprint: str) -> DocumentTransformer:
    """The document encoder that training starts from, the same for the same seed."""
    import torch

    from leanseek.encode.document_transformer import DocumentTransformer

    with torch.random.fork_rng():
        torch.manual_seed(recipe.seed)
        return DocumentTransformer(dimensions, BLOCKS, recipe.layers, recipe.width, fingerprint)
