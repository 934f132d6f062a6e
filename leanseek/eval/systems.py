"""The system that is evaluated: a way of searching, under a name of its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path, PurePath

from leanseek.encode import DEFAULT_MODEL, Encoder, LearnedEncoder, load_encoder, resolve_model
from leanseek.encode.learned_registry import KIND, learned_fingerprint
from leanseek.encode.models import model_fingerprint
from leanseek.errors import UsageError
from leanseek.eval.results import RerankSettings, SystemSettings, safe_name
from leanseek.indexing.creation import Plan, make_plan
from leanseek.indexing.settings import SparseSettings
from leanseek.rerank.registry import DEFAULT_DEPTH
from leanseek.searcher.fusion.methods import Fusion
from leanseek.searcher.fusion.registry import DEFAULT, THREE_SIDED_DEFAULT, load_fusion
from leanseek.searcher.ranking import Mode
from leanseek.searcher.second_stage import DepthChoice, SecondStage, choose_second_stage
from leanseek.text.registry import VERSIONS
from leanseek.types import Progress

CANDIDATES_DEPTH = 100
EVALUATED: tuple[Mode, ...] = ("hybrid", "dense", "sparse", "learned")
"""The modes of systems: the indexes that are made here have no n-grams."""


@dataclass(frozen=True, slots=True)
class System:
    """A way of searching. The encoder of a sparse search is never loaded; other settings that the mode does not use
    raise UsageError.

    `mode` is hybrid, dense, sparse or learned. `learned` adds the learned side to a hybrid search, and is what mode
    learned searches: by default the packaged model; `learned_weight` None is its default share,
    `fusion` None the default for the sides. With
    `candidates`, a stored run, the best `candidates_depth` documents of each query are re-ranked by the mode, without a
    search. `depth` is the number of candidates of each side;
    None: as many as documents are wanted. `rerank` names re-rankers that score the best documents one after the
    other, `rerank_depth` of them each (100 where none is given), in `rerank_budget` seconds a query; `rerank_long`
    is how passages are read that do not fit. Raises UsageError for what is not allowed.
    """

    mode: Mode = "hybrid"
    encoder: str | Encoder = DEFAULT_MODEL
    dense: str = "flat"
    sparse: SparseSettings = field(default_factory=SparseSettings)
    fusion: str | None = None
    dense_weight: float | None = None
    learned: str | LearnedEncoder | None = None
    learned_terms: int | None = None
    learned_weight: float | None = None
    depth: int | None = None
    chunk_words: int | None = None
    chunk_overlap: int = 0
    candidates: Path | None = None
    candidates_depth: int = CANDIDATES_DEPTH
    rerank: tuple[str, ...] = ()
    rerank_depth: tuple[DepthChoice, ...] = ()
    rerank_budget: float | None = None
    rerank_long: str | None = None
    name: str | None = None

    def __post_init__(self) -> None:
        if self.mode not in EVALUATED:
            raise UsageError(f"'{self.mode}' is not a search mode here. Choose from: {', '.join(EVALUATED)}")
        if self.dense == "none":
            raise UsageError(
                "a search without a dense side is that of mode sparse; give it in place of dense none"
            )
        if self.mode == "learned" and self.learned is None:
            object.__setattr__(self, "learned", KIND)
        for given, wanted in self._idle():
            if given:
                raise UsageError(f"{wanted}; leave it out")
        if self.candidates_depth < 1:
            raise UsageError(f"the candidates' depth is {self.candidates_depth}; it must be at least 1")
        if self.name is not None and safe_name(self.name) != self.name:
            raise UsageError(
                f"'{self.name}' cannot name a system: letters, digits and . _ + = - make a name, such as "
                f"'{safe_name(self.name)}'"
            )
        if self.fusion is None and self.mode == "hybrid":
            object.__setattr__(self, "fusion", DEFAULT if self.learned is None else THREE_SIDED_DEFAULT)
        self.load_fusion()

    def _idle(self) -> Iterator[tuple[bool, str]]:
        """For each setting without effect in this mode: whether it is given, and what it needs."""
        mode = f", and the mode is {self.mode}"
        if self.mode != "hybrid":
            yield self.fusion is not None, f"a fusion ('{self.fusion}') goes with mode hybrid{mode}"
            yield self.dense_weight is not None, f"a dense weight goes with mode hybrid{mode}"
            yield self.learned_weight is not None, f"a learned weight goes with mode hybrid{mode}"
        if self.mode in ("dense", "sparse"):
            yield self.learned is not None, f"a learned side goes with mode hybrid or learned{mode}"
        if self.learned is None:
            side = "a learned side; name one, such as splade"
            yield self.learned_terms is not None, f"learned terms go with {side}"
            yield self.learned_weight is not None, f"a learned weight goes with {side}"
        if self.mode == "dense":
            yield self.sparse != SparseSettings(), f"settings of the sparse side go with a sparse side{mode}"
        if not self.has_dense:
            yield (
                self.dense != _default("dense"),
                f"a vector index ('{self.dense}') goes with a dense side{mode}",
            )
        if self.candidates is None:
            given = self.candidates_depth != CANDIDATES_DEPTH
            yield given, "a candidates' depth goes with candidates, a stored run"
        else:
            yield self.depth is not None, "a depth is for searching, and candidates are all ranked"

    @property
    def has_dense(self) -> bool:
        """Whether the mode searches vectors."""
        return self.mode in ("hybrid", "dense")

    @property
    def has_sparse(self) -> bool:
        """Whether the mode searches by BM25."""
        return self.mode in ("hybrid", "sparse")

    @property
    def label(self) -> str:
        """The name given, or one of what differs from the defaults, such as `bm25` or `rrf-bm25-MODEL`."""
        if self.name is not None:
            return self.name
        parts = [self.fusion] if self.fusion is not None else []
        if self.mode == "hybrid" and self.dense_weight is not None:
            parts.append(f"w{self.dense_weight:g}")
        if self.has_sparse:
            parts.append(sparse_label(self.sparse))
        if self.learned is not None:
            name = self.learned if isinstance(self.learned, str) else self.learned.name
            kind, _, model = name.partition(":")
            parts += [kind, *([PurePath(model).name] if model else [])]
            parts += [f"{self.learned_terms}terms"] if self.learned_terms is not None else []
            parts += [f"lw{self.learned_weight:g}"] if self.learned_weight is not None else []
        if self.has_dense:
            encoder = self.encoder if isinstance(self.encoder, str) else self.encoder.name
            backend, colon, model = encoder.rpartition(":")
            parts += [backend] if colon else []
            parts.append(PurePath(model).name)
            parts += [self.dense] if self.dense != "flat" else []
        if self.depth is not None:
            parts.append(f"depth{self.depth}")
        if self.chunk_words is not None:
            parts.append(f"chunk{self.chunk_words}" + f"+{self.chunk_overlap}" * (self.chunk_overlap > 0))
        if self.candidates is not None:
            parts.append(f"on-{self.candidates.name.removesuffix('.gz').removesuffix('.trec')}")
            parts += [f"top{self.candidates_depth}"] if self.candidates_depth != CANDIDATES_DEPTH else []
        for number, name in enumerate(self.rerank):
            kind, _, wanted = name.partition(":")
            prefix, _, model = wanted.rpartition(":")
            depth = self.rerank_depth[number] if number < len(self.rerank_depth) else DEFAULT_DEPTH
            parts += [part for part in (kind, prefix, PurePath(model).name) if part]
            parts.append(f"top{depth_label(depth)}")
        if self.rerank:
            parts += [self.rerank_long] if self.rerank_long is not None else []
            parts += [f"{self.rerank_budget:g}s"] if self.rerank_budget is not None else []
        return safe_name("-".join(parts))

    def load_fusion(self) -> Fusion | None:
        """The fusion, None where the mode has a single side. Raises UsageError."""
        if self.fusion is None:
            return None
        return load_fusion(self.fusion, self.dense_weight, self.learned_weight)

    def second_stage(self, device: str | None = None, progress: Progress | None = None) -> SecondStage | None:
        """The re-rankers, loaded; None where there are none. Scores are not cached, so that times are true.

        Raises as `choose_second_stage` does.
        """
        return choose_second_stage(
            self.rerank,
            self.rerank_depth,
            self.rerank_budget,
            device,
            long=self.rerank_long,
            cache=False,
            progress=progress,
        )

    def plan(self, device: str | None = None) -> Plan:
        """The plan of an index for this system, with the sides that its mode needs; loads the encoder.

        Raises as `make_plan` does.
        """
        return make_plan(
            encoder=self.encoder if self.has_dense else None,
            dense=self.dense if self.has_dense else None,
            sparse=self.sparse if self.mode != "dense" else None,
            learned=self.learned,
            learned_terms=self.learned_terms,
            chunk_words=self.chunk_words,
            chunk_overlap=self.chunk_overlap,
            device=device,
        )

    def fingerprint(self) -> str | None:
        """The encoder's fingerprint, without loading it where its model's files suffice; None without a dense side.

        Raises ModelError and MissingPackageError.
        """
        if not self.has_dense:
            return None
        if not isinstance(self.encoder, str):
            return self.encoder.fingerprint
        if ":" not in self.encoder:
            return model_fingerprint(resolve_model(self.encoder).path)
        return load_encoder(self.encoder).fingerprint

    def learned_fingerprint(self) -> str | None:
        """The learned sparse encoder's fingerprint, without loading it; None without that side."""
        if self.learned is None:
            return None
        return (
            learned_fingerprint(self.learned) if isinstance(self.learned, str) else self.learned.fingerprint
        )

    def record(self, encoder: str | None, learned: str | None) -> SystemSettings:
        """The system as a result records it; the names are those by which the encoders can be loaded again."""
        hybrid = self.mode == "hybrid"
        return SystemSettings(
            mode=self.mode,
            sparse=self.sparse if self.has_sparse else None,
            dense=self.dense if self.has_dense else None,
            encoder=encoder,
            fusion=self.fusion,
            dense_weight=self.dense_weight if hybrid else None,
            depth=self.depth,
            chunk_words=self.chunk_words,
            chunk_overlap=self.chunk_overlap,
            candidates=str(self.candidates) if self.candidates is not None else None,
            candidates_depth=self.candidates_depth if self.candidates is not None else None,
            rerank=RerankSettings(
                self.rerank, tuple(map(depth_label, self.rerank_depth)), self.rerank_budget, self.rerank_long
            )
            if self.rerank
            else None,
            learned=learned,
            learned_terms=self.learned_terms,
            learned_weight=self.learned_weight,
        )


def _default(setting: str) -> object:
    """The default of a field of `System`."""
    return next(one.default for one in fields(System) if one.name == setting)


def depth_label(depth: DepthChoice) -> int | str:
    """A depth as a name and a record have it."""
    return depth if isinstance(depth, int | str) else f"p{depth.probability:g}-{depth.floor}-{depth.ceiling}"


def sparse_label(settings: SparseSettings) -> str:
    """`bm25`, and what differs from the defaults: `bm25-lucene-lossy_lengths`, `bm25-k1=1.2`."""
    parts = [settings.backend]
    for setting in fields(settings):
        value = getattr(settings, setting.name)
        if setting.name == "backend" or value == setting.default:
            continue
        if setting.name == "analyzer":
            # The newest rules need no mention; @ is no character of a name.
            parts.append(str(value).replace(f"@{VERSIONS[-1]}", "").replace("@", "-"))
        elif value is True:
            parts.append(setting.name)
        else:
            parts.append(
                f"{setting.name}={value:g}" if isinstance(value, float) else f"{setting.name}={value}"
            )
    return "-".join(parts)
