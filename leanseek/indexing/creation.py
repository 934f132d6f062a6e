"""What a new index is to be: its settings, and the encoder that they name; and the encoder of one that exists."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal, NamedTuple

from leanseek.encode import DEFAULT_MODEL, Encoder, load_document_encoder, load_encoder, load_query_encoder
from leanseek.encode.corpus import words_that_fit
from leanseek.encode.device import check_device
from leanseek.encode.learned_vectors import LearnedEncoder
from leanseek.errors import ModelError, UsageError
from leanseek.indexing.dense.registry import check_dense
from leanseek.indexing.learned import check_vocabulary, learned_settings
from leanseek.indexing.settings import (
    EncoderSettings,
    IndexSettings,
    LeanSettings,
    LearnedSettings,
    NGramSettings,
    SparseSettings,
)
from leanseek.indexing.sparse import check_sparse
from leanseek.text import load_analyzer

if TYPE_CHECKING:
    from leanseek.indexing.document_expansion import DocumentExpansion
    from leanseek.indexing.ngrams.decoder_tokens import DecoderTokens

AUTO_OVERLAP = 5
"""Passages that are made to fit the encoder share a fifth of their words with the next."""
WORDS_ALONE = "none"
"""The generator of an index whose n-grams are of words alone."""
MOST_LEARNING_QUERIES = 10_000
"""More teach a reduction nothing new."""


class Plan(NamedTuple):
    """What an index is to be: its settings, and the encoder that they name."""

    settings: IndexSettings
    encoder: Encoder | None
    learning_queries: tuple[str, ...] = ()
    learned: LearnedEncoder | None = None
    expansion: DocumentExpansion | None = None
    tokens: DecoderTokens | None = None
    device: str | None = None
    """Where vectors are indexed; None is where the encoder runs."""


def make_plan(
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
) -> Plan:
    """Check the settings of a new index (see `Index.create`) and load its encoders.

    Raises UsageError, ModelError or MissingPackageError.
    """
    # To search needs neither, and both take a while to import.
    from leanseek.indexing.document_expansion import plan_expansion
    from leanseek.text.chunking import Chunking

    check_device(device)
    if isinstance(chunk_words, str) and chunk_words != "auto":
        raise UsageError(f"chunk_words is {chunk_words!r}; it must be a number of words, 'auto' or None")
    if isinstance(chunk_words, int):
        Chunking(chunk_words, chunk_overlap)
    if sparse is not None:
        check_sparse(sparse)
        load_analyzer(sparse.analyzer)
    if dense == "none":
        dense = None
    if dense is not None:
        check_dense(dense, lean)
    given = tuple(text for text in learning_queries if text.strip())
    if dense not in ("auto", "lean") and (given or lean != LeanSettings()):
        raise UsageError(
            "dims, kind, recall, precision, primary, reduction and learning queries are for reduced vectors; "
            f"choose the dense index 'lean' or 'auto' with them, not '{dense or 'none'}'"
        )
    if dense is None or encoder is None:
        if sparse is None:
            raise UsageError(
                "an index needs a dense side, a sparse side, or both; this one would have neither"
            )
        loaded = None
    else:
        try:
            loaded = load_encoder(encoder, device) if isinstance(encoder, str) else encoder
        except ModelError as error:
            raise ModelError(
                f"{error}\nTo index without vectors: --dense none, or encoder=None in Python."
            ) from error
    if loaded is not None and lean.dims is not None and lean.dims > loaded.dimensions:
        # Else it would be reported only when everything is encoded.
        raise UsageError(
            f"dims is {lean.dims}; the vectors of '{loaded.name}' have {loaded.dimensions}, so it must be from 1 to "
            f"{loaded.dimensions}, or 'auto'"
        )
    expanding, expansion = plan_learned(learned, learned_terms, sparse, device)
    grams, tokens = plan_ngrams(ngrams, generator)
    writer = None if ngrams and (expand_documents is None or generator == WORDS_ALONE) else generator
    written = plan_expansion(expand_documents, writer, sparse, device)
    chunk_tokens = None
    if chunk_words == "auto":
        chunk_tokens = loaded.max_tokens if loaded is not None else None
        chunk_words = words_that_fit(chunk_tokens) if chunk_tokens is not None else None
        chunk_overlap = chunk_words // AUTO_OVERLAP if chunk_words is not None else 0
    settings = IndexSettings(
        dense=dense if loaded is not None else None,
        encoder=encoder_settings(loaded) if loaded is not None else None,
        lean=lean,
        sparse=sparse,
        chunk_words=chunk_words,
        chunk_overlap=chunk_overlap,
        chunk_tokens=chunk_tokens,
        learned=expansion,
        expansion=written.settings if written is not None else None,
        ngrams=grams,
    )
    return Plan(settings, loaded, given[:MOST_LEARNING_QUERIES], expanding, written, tokens, device)


def plan_ngrams(wanted: bool, generator: str | None) -> tuple[NGramSettings | None, DecoderTokens | None]:
    """What is recorded of a new index's n-grams, and the tokens that they are of; None where there are none.

    Raises ModelError or MissingPackageError, also where they cannot be built here.
    """
    if not wanted:
        return None, None
    from leanseek.encode.gguf_model import DEFAULT_DECODER
    from leanseek.indexing.ngrams.decoder_tokens import DecoderTokens
    from leanseek.indexing.ngrams.fm_index import kernel

    kernel()
    if generator == WORDS_ALONE:
        return NGramSettings(), None
    tokens = DecoderTokens(generator or DEFAULT_DECODER)
    return NGramSettings(tokens.name, tokens.vocabulary), tokens


def plan_learned(
    learned: str | LearnedEncoder | None,
    terms: int | None,
    sparse: SparseSettings | None,
    device: str | None,
) -> tuple[LearnedEncoder | None, LearnedSettings | None]:
    """The learned sparse encoder of a new index, loaded, and what is recorded of that side; None where it has none."""
    if learned is None:
        if terms is not None:
            raise UsageError("learned_terms goes with a learned side; give learned as well, such as 'splade'")
        return None, None
    if sparse is None:
        raise UsageError(
            "a learned side goes beside BM25, not in its place: names, numbers and codes are matched by BM25 alone; "
            "leave out sparse=None (--sparse none)"
        )
    from leanseek.encode.learned_registry import load_learned_encoder

    loaded = load_learned_encoder(learned, device) if isinstance(learned, str) else learned
    return loaded, learned_settings(loaded, terms)


def recorded_learned(
    recorded: LearnedSettings, device: str | None = None, for_queries: bool = False
) -> LearnedEncoder:
    """Load the learned sparse encoder that an index was made with.

    Raises ModelError where it cannot be loaded, or is another one by now.
    """
    from leanseek.encode.learned_registry import load_learned_encoder

    try:
        encoder = load_learned_encoder(recorded.name, device, for_queries)
    except (ModelError, UsageError) as error:
        raise ModelError(
            f"the index was made with the learned sparse encoder '{recorded.name}', which cannot be loaded: {error}"
        ) from error
    check_vocabulary(encoder, recorded)
    return encoder


def encoder_settings(encoder: Encoder) -> EncoderSettings:
    """What an index records of its encoder."""
    return EncoderSettings(encoder.name, encoder.fingerprint, encoder.dimensions, encoder.max_tokens)


def recorded_encoder(
    recorded: EncoderSettings, device: str | None = None, for_queries: bool = False
) -> Encoder:
    """Load the encoder that an index was made with, for documents or, by the back end that starts fastest, for queries.

    Raises ModelError where it cannot be loaded, or is another one by now.
    """
    try:
        encoder = (load_query_encoder if for_queries else load_document_encoder)(recorded.name, device)
    except ModelError as error:
        raise ModelError(
            f"the index was made with the encoder '{recorded.name}', which cannot be loaded: {error}"
        ) from error
    return _checked(encoder, recorded)


def given_encoder(
    settings: IndexSettings, encoder: str | Encoder | None, device: str | None = None
) -> Encoder | None:
    """The caller's encoder in place of the recorded one; None where the caller names none."""
    if encoder is None:
        return None
    if settings.encoder is None:
        raise UsageError("this index has no dense side, so it takes no encoder")
    loaded = load_encoder(encoder, device) if isinstance(encoder, str) else encoder
    return _checked(loaded, settings.encoder)


def given_learned(
    settings: IndexSettings, learned: str | LearnedEncoder | None, device: str | None = None
) -> LearnedEncoder | None:
    """The caller's learned sparse encoder in place of the recorded one; None where the caller names none."""
    if learned is None:
        return None
    if settings.learned is None:
        raise UsageError("this index has no learned side, so it takes no learned sparse encoder")
    from leanseek.encode.learned_registry import load_learned_encoder

    loaded = load_learned_encoder(learned, device) if isinstance(learned, str) else learned
    check_vocabulary(loaded, settings.learned)
    return loaded


def _checked(encoder: Encoder, recorded: EncoderSettings) -> Encoder:
    """`encoder` itself where it makes the index's vectors. Raises ModelError otherwise."""
    if encoder.fingerprint != recorded.fingerprint:
        raise ModelError(
            f"the encoder '{encoder.name}' (fingerprint {encoder.fingerprint[:12]}) is not the one that the "
            f"index was made with: '{recorded.name}' (fingerprint {recorded.fingerprint[:12]}). "
            "Use that one, or index again."
        )
    return encoder
