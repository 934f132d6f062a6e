"""The index as its owner sees it: create, add, delete, compact. One writer at a time; every change commits whole."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from leanseek.encode import DEFAULT_MODEL, Encoder, LearnedEncoder
from leanseek.errors import IndexExistsError, UsageError
from leanseek.filters import Filter, parse_filter
from leanseek.indexing.catalog import CATALOG, Change, State, create_catalog, read_sources, read_state
from leanseek.indexing.creation import Plan, given_encoder, given_learned, make_plan
from leanseek.indexing.document_expansion import DocumentExpansion
from leanseek.indexing.folder import claim_folder, remove_files
from leanseek.indexing.intake import OnDuplicate
from leanseek.indexing.settings import FusionSettings, IndexSettings, LeanSettings, SparseSettings
from leanseek.indexing.synchronisation import SyncReport
from leanseek.indexing.writer import AddReport, CompactReport, Writer
from leanseek.reading import Fields, OnError, ReadReport
from leanseek.reading.sources import ReadOptions, unread
from leanseek.types import Document, Progress, silent

if TYPE_CHECKING:
    from leanseek.indexing.ngrams import NGrams
    from leanseek.indexing.ngrams.decoder_tokens import DecoderTokens


class Index:
    """An index directory, to write to. Search it with `Searcher`.

    >>> index = Index.create("papers.index", encoder=None)
    >>> index.add([Document("1", "Statins lower cholesterol.")]).documents
    1
    """

    def __init__(
        self,
        path: Path,
        state: State,
        encoder: Encoder | None = None,
        learned: LearnedEncoder | None = None,
        expansion: DocumentExpansion | None = None,
        tokens: DecoderTokens | None = None,
        device: str | None = None,
    ) -> None:
        self.path = path
        self._writer = Writer(path, state, encoder, learned, expansion, tokens, device)
        self._ngrams: tuple[int, NGrams] | None = None
        # At the interpreter's exit too: a merge under way is dropped, nothing else is.
        weakref.finalize(self, self._writer.abandon)

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        *,
        encoder: str | Encoder | None = DEFAULT_MODEL,
        dense: str | None = "auto",
        lean: LeanSettings = LeanSettings(),  # noqa: B008 - frozen
        learning_queries: Iterable[str] = (),
        sparse: SparseSettings | None = SparseSettings(),  # noqa: B008 - frozen
        chunk_words: int | Literal["auto"] | None = None,
        chunk_overlap: int = 0,
        learned: str | LearnedEncoder | None = None,
        learned_terms: int | None = None,
        expand_documents: int | None = None,
        generator: str | None = None,
        ngrams: bool = False,
        device: str | None = None,
    ) -> Index:
        """Make a new, empty index at `path`, which must not exist or be an empty folder.

        `encoder` is a model's name (see `load_encoder`) or an object of your own that follows the `Encoder`
        protocol; None, or `dense=None`, makes an index without vectors. `dense` is "flat" (exact), "lean"
        (reduced as `lean` specifies, see `LeanVecIndex`; `learning_queries` are texts to learn from, in place of
        some made from the documents), or "auto": lean from 20,000 vectors on. `sparse=None` makes one without
        postings. `chunk_words` splits documents into passages of at most so many words; "auto" makes them fit the
        encoder's window, and leaves documents whole where there is none. `learned` adds a learned sparse side beside
        BM25: `splade:MODEL`, `splade` for the packaged model (see `load_learned_encoder`), or an object that follows
        `LearnedEncoder`; of each passage all its terms are kept, or the heaviest `learned_terms`.
        `expand_documents` has a decoder, the packaged one or `generator` (see `load_decoder`), write so many queries
        for each passage, by which BM25 finds it as well; they are never shown. `ngrams` keeps the n-grams of the
        passages' words and of the tokens of a decoder, the packaged one or `generator`; of words alone where that is
        "none" (see `NGrams`).

        Raises IndexExistsError, ModelError, MissingPackageError, UsageError or StorageError.
        """
        folder = Path(path)
        plan = make_plan(
            encoder=encoder,
            dense=dense,
            lean=lean,
            learning_queries=learning_queries,
            sparse=sparse,
            chunk_words=chunk_words,
            chunk_overlap=chunk_overlap,
            learned=learned,
            learned_terms=learned_terms,
            expand_documents=expand_documents,
            generator=generator,
            ngrams=ngrams,
            device=device,
        )
        if (folder / CATALOG).exists():
            raise IndexExistsError(
                f"'{folder}' already holds an index. Open it with Index.open, or choose another path."
            )
        with claim_folder(folder):
            if (folder / CATALOG).exists():
                raise IndexExistsError(f"'{folder}' was made into an index by another process just now.")
            create_catalog(folder, plan.settings, plan.learning_queries)
        return cls(
            folder, read_state(folder), plan.encoder, plan.learned, plan.expansion, plan.tokens, plan.device
        )

    @classmethod
    def make(
        cls,
        path: str | os.PathLike[str],
        documents: Iterable[Document],
        plan: Plan,
        *,
        origin: str | None = None,
        check: Callable[[State], None] | None = None,
        on_duplicate: OnDuplicate = "reject",
        progress: Progress | None = None,
        cache: bool = True,
        background: bool = True,
    ) -> AddReport:
        """Make `path` an index of just these documents, whether it is new or refreshed, under one lock.

        `check` is called with the state of an index that exists, and raises to leave it unchanged. After an error
        an index that did not exist before does not exist. `background`: whether that is measured.
        """
        folder = Path(path)
        with claim_folder(folder):
            fresh = not (folder / CATALOG).exists()
            if fresh:
                create_catalog(folder, plan.settings, plan.learning_queries)
            state = read_state(folder)
            if check is not None and not fresh:
                check(state)
            writer = Writer(folder, state)
            writer.remove_orphans()
            try:
                report = writer.rebuild(documents, plan, origin, on_duplicate, progress or silent, cache)
            except BaseException:
                if fresh and writer.state.generation == 0:
                    remove_files(folder)
                raise
            return replace(report, generation=writer.measure_background()) if background else report

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        encoder: str | Encoder | None = None,
        learned: str | LearnedEncoder | None = None,
    ) -> Index:
        """Open an existing index for writing.

        `encoder` replaces the recorded one: another name for the same model, or the object given to
        `create`; `learned` likewise the learned sparse encoder.

        Raises IndexNotFoundError, IndexFormatError, IndexDamagedError or ModelError.
        """
        folder = Path(path)
        state = read_state(folder)
        return cls(
            folder,
            state,
            given_encoder(state.settings, encoder),
            given_learned(state.settings, learned),
        )

    def __enter__(self) -> Index:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self, *, patience: float | None = 10.0) -> str | None:
        """Finish the merge that an add has begun, and let go of all files; every change is on the disk without it.

        A merge that takes longer than `patience` seconds is dropped, and a later add begins it again; None waits
        for it. Returns why small segments are left unmerged, or None. The object can be used again.
        """
        return self._writer.close(patience)

    @property
    def merging(self) -> bool:
        """Whether a merge that an add has begun is under way."""
        return self._writer.merging

    @property
    def settings(self) -> IndexSettings:
        """What the index was created with, or rebuilt with since."""
        return self._writer.state.settings

    @property
    def ngrams(self) -> NGrams:
        """The n-grams of what is in the index, as of the last commit. Raises UsageError where it has none."""
        generation = read_state(self.path).generation
        if self._ngrams is None or self._ngrams[0] != generation:
            from leanseek.indexing.snapshot import Snapshot

            snapshot = Snapshot.open(self.path, dense=False)
            self._ngrams = snapshot.state.generation, snapshot.ngrams
        return self._ngrams[1]

    @property
    def generation(self) -> int:
        """The number of the last commit that this object has seen."""
        return self._writer.state.generation

    def add(
        self,
        documents: Iterable[Document],
        *,
        on_duplicate: OnDuplicate = "reject",
        progress: Progress | None = None,
        cache: bool = True,
        background: bool = True,
    ) -> AddReport:
        """Add documents, all in one commit: after an error, or Ctrl-C, the index is as it was.

        An id that the index or an earlier document has raises DuplicateIdError, or takes its place with
        `on_duplicate="replace"`. Vectors go through the cache, so repeating an interrupted add encodes only
        what is missing; `cache=False` leaves it alone. `background`: whether that of an index that has grown much is
        measured anew.
        """
        with self._writer.locked():
            report = self._writer.add(documents, on_duplicate, progress or silent, cache)
            if not background:
                return report
            return replace(report, generation=self._writer.measure_background(grown=True))

    def rebuild(
        self,
        documents: Iterable[Document],
        *,
        plan: Plan | None = None,
        origin: str | None = None,
        on_duplicate: OnDuplicate = "reject",
        progress: Progress | None = None,
        cache: bool = True,
    ) -> AddReport:
        """Replace everything in the index by `documents`, in one commit; until then nothing changes.

        No documents raise InputError where that would empty the index.

        `plan` (see `make_plan`) brings new settings; `origin` is recorded, see `State`.
        """
        with self._writer.locked():
            report = self._writer.rebuild(documents, plan, origin, on_duplicate, progress or silent, cache)
            return replace(report, generation=self._writer.measure_background())

    def sync(
        self,
        *sources: str | os.PathLike[str],
        id_field: str | None = None,
        text_field: str | None = None,
        title_field: str | None = None,
        encoding: str | None = None,
        on_error: OnError = "auto",
        dry_run: bool = False,
        progress: Progress | None = None,
        cache: bool = True,
    ) -> SyncReport:
        """Bring the index up to its sources (see `read`) in one commit: add what is new, replace what differs, and
        delete what files below the sources no longer hold. Documents from elsewhere stay.

        Files whose size and times are those recorded are not opened, others are compared by their contents, and only
        documents that differ are encoded. A file that cannot be read whole loses nothing. `dry_run` changes nothing.
        Fields and encoding are those of the reading that the index was made by, unless they are named. After an
        error, or Ctrl-C, the index is as it was.

        Raises as `read` and `add` do: DuplicateIdError where two documents of the sources share an id.
        """
        with self._writer.locked():
            options = ReadOptions(Fields(id_field, text_field, title_field), encoding)
            if options == ReadOptions():
                options = read_sources(self.path).options
            reading = unread(sources, options, on_error, ReadReport())
            return self._writer.sync(reading, dry_run, progress or silent, cache)

    def delete(
        self, ids: Iterable[str] = (), *, filter: str | Filter | None = None, ignore_missing: bool = False
    ) -> int:
        """Delete documents by id, by a metadata filter, or both; returns how many were deleted.

        An unknown id raises InputError and nothing is deleted, unless `ignore_missing`.
        """
        if isinstance(ids, str):  # which would count as its characters
            raise UsageError(f"ids is the string {ids!r}; give a list of ids, such as [{ids!r}]")
        wanted = list(ids)
        condition = parse_filter(filter) if isinstance(filter, str) else filter
        with self._writer.locked():
            return self._writer.delete(wanted, condition, ignore_missing)

    def compact(self, *, relearn: bool = False, progress: Progress | None = None) -> CompactReport:
        """Merge all segments into one and drop what was deleted; searching gives the same answers, faster.

        The reduction of the vectors stays, or is learned again from the present documents with `relearn`, which
        raises UsageError where they are too few to be reduced. Learning takes the encoder, also where segments
        without a reduction get their first one together: ModelError where it cannot be loaded.
        """
        with self._writer.locked():
            return self._writer.compact(relearn, progress or silent)

    def choose_fusion(self, choose: Callable[[], FusionSettings | None]) -> FusionSettings | None:
        """Have searches fuse by what `choose` returns, None being the default; returns it.

        `choose` is called under the writer lock, so that it learns from what its choice is for. Raises
        IndexLockedError, and what `choose` raises; the fusion then stays as it was.
        """
        with self._writer.locked():
            state = self._writer.state
            chosen = choose()
            if chosen != state.settings.fusion:
                settings = replace(state.settings, fusion=chosen)
                self._writer.commit(Change(settings=settings, origin=state.origin))
            return chosen

    def choose_relevance(self, choose: Callable[[], Mapping[str, Any] | None]) -> None:
        """Have probabilities come from the relevance model whose values `choose` returns, None being the packaged one.

        `choose` is called under the writer lock. Raises IndexLockedError, and what `choose` raises; the model then
        stays as it was.
        """
        with self._writer.locked():
            state = self._writer.state
            chosen = choose()
            if chosen != state.settings.relevance:
                settings = replace(state.settings, relevance=chosen)
                self._writer.commit(Change(settings=settings, origin=state.origin))
