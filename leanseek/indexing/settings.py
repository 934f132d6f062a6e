"""What an index was created with, recorded in it and used by every later command."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, TypeAlias, get_args

from leanseek.errors import IndexDamagedError, UsageError
from leanseek.text.registry import versioned

LeanKind: TypeAlias = Literal["auto", "flat", "ivf", "hnsw"]
"""How reduced vectors are searched: all of them, some lists of them, or along a graph."""
Primary: TypeAlias = Literal["pq4", "lvq4", "lvq8", "sq8", "rabitq"]
"""How reduced vectors are stored."""
Precision: TypeAlias = Literal["float32", "float16", "sq8"]
"""How an element of the vectors in full is stored."""
Method: TypeAlias = Literal["auto", "sphering", "ood-es", "ood-fw", "id"]
"""How the matrices of a reduction are found: see `leanseek.indexing.leanvec.reduction.REDUCTIONS`."""
Source: TypeAlias = Literal["given", "corpus", "vectors"]
"""Of queries: given by the user, made from the corpus, or the indexed vectors in their place."""


@dataclass(frozen=True, slots=True)
class EncoderSettings:
    """The encoder of an index. Vectors are comparable only where `fingerprint` is equal."""

    name: str
    fingerprint: str
    dimensions: int
    max_tokens: int | None


@dataclass(frozen=True, slots=True)
class SparseSettings:
    """How the sparse side analyses and scores: one of the back ends, an analyser, BM25's parameters.

    `analyzer` is given the version of its rules, the newest where it names none (`load_analyzer`). `lossy_lengths`
    rounds the passages' lengths down as Lucene does, for scores that equal Lucene's; the back end `lucene` always
    does that.
    """

    backend: str = "bm25"
    analyzer: str = versioned("english")
    variant: str = "lucene"
    k1: float = 0.9
    b: float = 0.4
    delta: float = 0.5
    lossy_lengths: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "analyzer", versioned(self.analyzer))

    @staticmethod
    def upgraded(values: Mapping[str, Any]) -> dict[str, Any]:
        """Stored values as today's: an analyser that was stored without a version has the first."""
        return {**values, "analyzer": versioned(values["analyzer"], 1)}


@dataclass(frozen=True, slots=True)
class LeanSettings:
    """How reduced vector indexes are made, see `LeanVecIndex.build`.

    `dims` None is the least that suffices, `primary` None what suits the kind; `precision` is that of the
    vectors in full.
    """

    dims: int | None = None
    kind: str = "auto"
    recall: float = 0.95
    precision: str = "sq8"
    primary: str | None = None
    reduction: str = "auto"

    def check(self) -> None:
        """Raise UsageError where a value is out of range."""
        for name, value, allowed in (
            ("kind", self.kind, get_args(LeanKind)),
            ("precision", self.precision, get_args(Precision)),
            ("primary", self.primary or "sq8", get_args(Primary)),
            ("reduction", self.reduction, get_args(Method)),
        ):
            if value not in allowed:
                raise UsageError(
                    f"the {name} of a reduced index is '{value}'; choose one of {', '.join(allowed)}"
                )
        if self.kind == "hnsw" and self.primary not in (None, "sq8"):
            raise UsageError(
                f"primary is '{self.primary}', and a graph holds sq8 alone; choose kind 'ivf' or 'flat' for it"
            )
        if not 0.0 < self.recall <= 1.0:
            raise UsageError(f"recall is {self.recall}; it must lie above 0 and at most at 1 (0.95 is usual)")
        if self.dims is not None and self.dims < 1:
            raise UsageError(f"dims is {self.dims}; it must be at least 1, or 'auto'")


@dataclass(frozen=True, slots=True)
class LearnedSettings:
    """The learned sparse side of an index: its encoder by name and fingerprint, with a vocabulary of so many terms.

    `terms` is how many of a passage are kept, None for all. A weight of 1 is an impact of 1 / `query_step` in a query,
    and of 1 / `document_step` in a passage.
    """

    name: str
    fingerprint: str
    vocabulary: int
    max_tokens: int | None
    terms: int | None
    query_step: float
    document_step: float


@dataclass(frozen=True, slots=True)
class ExpansionSettings:
    """The so many `queries` that a decoder wrote for each passage, by which the sparse side finds it as well.

    `generator` is the decoder's name, `fingerprint` a digest of it and of how it was asked.
    """

    generator: str
    fingerprint: str
    queries: int


@dataclass(frozen=True, slots=True)
class NGramSettings:
    """The n-grams of an index: of its words, and of the tokens of the decoder `generator`; None: of words alone.

    `vocabulary` is a digest of that decoder's tokens.
    """

    generator: str | None = None
    vocabulary: str | None = None


@dataclass(frozen=True, slots=True)
class FusionSettings:
    """How the sides' scores are fused, as learned from `queries` judged queries.

    `fusion` is the fusion's name, `dense_weight` and `learned_weight` are its weights. `gain` is how much nDCG@10 the
    way of choosing them has gained over the default on queries held out in turn, `error` the gain's standard error,
    `default` the default's nDCG@10 on the same queries.
    """

    fusion: str
    dense_weight: float
    queries: int
    default: float
    gain: float
    error: float
    learned_weight: float = 0.0


@dataclass(frozen=True, slots=True)
class Background:
    """How close the passages are to queries made from their own texts, each without the passage it comes from.

    `level`: what 95 % of the `queries` reach, as `list_level` measures their lists. `mean` and `spread` (the standard
    deviation) are those of cosines with passages drawn at random. `passages`: how many there were.
    """

    queries: int
    passages: int
    level: float
    mean: float
    spread: float


OPTIONAL = ("fusion", "background", "relevance", "learned", "expansion", "ngrams")
"""What is stored only where there is something."""


@dataclass(frozen=True, slots=True)
class IndexSettings:
    """The whole of an index's configuration; None where a side, or chunking, is absent.

    A passage has at most `chunk_words` words, and with `chunk_tokens` no more of the encoder's tokens than that, its
    title included. `dense` is `flat`, `lean`, or `auto`: reduced where a segment has so many vectors that it pays.
    `fusion` is None where none was learned: searches then take the default. `background` is None where it was not
    measured, `relevance` (the values of a relevance model) where none was fitted to this index.
    """

    dense: str | None = None
    encoder: EncoderSettings | None = None
    lean: LeanSettings = LeanSettings()
    sparse: SparseSettings | None = None
    chunk_words: int | None = None
    chunk_overlap: int = 0
    chunk_tokens: int | None = None
    fusion: FusionSettings | None = None
    background: Background | None = None
    relevance: Mapping[str, Any] | None = None
    learned: LearnedSettings | None = None
    expansion: ExpansionSettings | None = None
    ngrams: NGramSettings | None = None

    def to_json(self) -> str:
        """One line of JSON that `from_json` reads back."""
        values = asdict(self)
        # As earlier releases write them, so that fingerprints of what is theirs stay the same.
        for name in OPTIONAL:
            if values[name] is None:
                del values[name]
        if self.sparse is not None:
            values["sparse"]["analyzer"] = self.sparse.analyzer.replace("@1", "")
        if self.chunk_tokens is None:
            del values["chunk_tokens"]
        if self.lean.reduction == "auto":
            del values["lean"]["reduction"]
        return json.dumps(values, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> IndexSettings:
        """The settings that `to_json` wrote. Raises IndexDamagedError where they cannot be understood."""
        try:
            values = json.loads(text)
            for name in OPTIONAL:
                values.setdefault(name, None)
            for name, kind in (
                ("encoder", EncoderSettings),
                ("lean", LeanSettings),
                ("sparse", SparseSettings),
                ("fusion", FusionSettings),
                ("background", Background),
                ("learned", LearnedSettings),
                ("expansion", ExpansionSettings),
                ("ngrams", NGramSettings),
            ):
                if name == "sparse" and values[name] is not None:
                    values[name] = SparseSettings.upgraded(values[name])
                if values[name] is not None:
                    values[name] = kind(**known(kind, values[name]))
            return cls(**known(cls, values))
        except (ValueError, TypeError, KeyError) as error:
            raise IndexDamagedError(f"the settings stored in the catalog cannot be read: {error}") from error


def with_learned(settings: IndexSettings, former: IndexSettings) -> IndexSettings:
    """The settings with what was learned under former ones, as far as it holds: where both score passages alike."""
    alike = scoring(settings) == scoring(former)
    return replace(
        settings, fusion=former.fusion if alike else None, relevance=former.relevance if alike else None
    )


def scoring(settings: IndexSettings) -> tuple[object, ...]:
    """What decides the scores that a fusion was learned from."""
    encoder = settings.encoder.fingerprint if settings.encoder is not None else None
    learned = replace(settings.learned, name="") if settings.learned is not None else None
    return (
        encoder,
        settings.sparse,
        learned,
        settings.expansion,
        settings.chunk_words,
        settings.chunk_overlap,
        settings.chunk_tokens,
    )


def known(kind: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """The values that `kind` has fields for: a later minor version may have stored more."""
    names = {field.name for field in fields(kind)}
    return {name: value for name, value in values.items() if name in names}
