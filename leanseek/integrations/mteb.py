"""leanseek as a model of the `mteb` package (Muennighoff et al.: "MTEB", EACL 2023), version 2 on."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from leanseek.encode import DEFAULT_MODEL, Encoder, VectorCache, encode_corpus, load_encoder
from leanseek.encode.cache import cached_as
from leanseek.errors import MissingPackageError, UsageError
from leanseek.integrations.pipeline import Pipeline, make_documents
from leanseek.types import Float32Array, Query

if TYPE_CHECKING:
    import torch
    from mteb.models.model_meta import ModelMeta

REVISION_LENGTH = 40
"""Characters of a fingerprint that name a revision, as many as a commit of git has."""
UNKNOWN = (
    *("loader", "release_date", "languages", "n_parameters", "memory_usage_mb", "license", "open_weights"),
    *("public_training_code", "public_training_data", "use_instructions", "training_datasets"),
)
"""Fields of mteb's record that leanseek leaves empty."""


class MtebEncoder:
    """A leanseek encoder as an mteb encoder: `mteb.evaluate(MtebEncoder(), tasks)`.

    mteb does the search: it compares every query with every document. Queries and documents get the model's
    own prompts, which mteb's task prompts do not replace; texts that are neither for mteb are encoded as queries.
    Documents go through the vector cache.
    """

    def __init__(self, encoder: str | Encoder = DEFAULT_MODEL, *, device: str | None = None) -> None:
        """`encoder` is a name that `load_encoder` takes, or an object. Raises ModelError or MissingPackageError."""
        self._encoder = load_encoder(encoder, device) if isinstance(encoder, str) else encoder

    @property
    def mteb_model_meta(self) -> ModelMeta:
        """Name and revision, under which mteb keeps results: the encoder's name and its fingerprint."""
        return describe(
            self._encoder.name,
            self._encoder.fingerprint,
            dimensions=self._encoder.dimensions,
            max_tokens=self._encoder.max_tokens,
            kind="dense",
        )

    def encode(
        self,
        inputs: Iterable[Mapping[str, Any]],
        *,
        task_metadata: object,
        hf_split: str,
        hf_subset: str,
        prompt_type: str | None = None,
        **settings: Any,
    ) -> Float32Array:
        """Vectors (n, D) float32, L2-normalised, of the texts of a data loader's batches.

        mteb's protocol names the task, split and subset, which no vector depends on; `settings` are mteb's for
        batches and progress bars, of which leanseek has its own.
        """
        texts = [text for batch in inputs for text in batch["text"]]
        # mteb's PromptType is a string.
        if prompt_type != "document":
            return self._encoder.encode_queries(texts).vectors
        with VectorCache(cached_as(self._encoder)) as cache:
            vectors, _ = encode_corpus(self._encoder, texts, cache)
        return vectors

    def similarity(self, embeddings1: Any, embeddings2: Any) -> torch.Tensor:
        """Inner products (n, m) of the rows of (n, D) and (m, D); a single vector counts as one row."""
        import torch

        return torch.from_numpy(rows(embeddings1) @ rows(embeddings2).T)

    def similarity_pairwise(self, embeddings1: Any, embeddings2: Any) -> torch.Tensor:
        """Inner products (n,) of the corresponding rows of (n, D) and (n, D)."""
        import torch

        return torch.from_numpy(np.einsum("nd,nd->n", rows(embeddings1), rows(embeddings2)))


class MtebSearch:
    """The whole pipeline as an mteb search model: `mteb.evaluate(MtebSearch(Pipeline()), tasks)`.

    leanseek indexes the corpus and does the search. Where a task brings candidates to re-rank, every one of
    them is scored.
    """

    def __init__(self, pipeline: Pipeline | None = None) -> None:
        """None is the default pipeline: hybrid, with the default encoder."""
        self._pipeline = pipeline if pipeline is not None else Pipeline()

    @property
    def mteb_model_meta(self) -> ModelMeta:
        """Name and revision, under which mteb keeps results: the mode with the encoder, and a fingerprint of all
        settings."""
        encoder = self._pipeline.index_settings.encoder
        mode = self._pipeline.mode
        return describe(
            mode if encoder is None or mode == "sparse" else f"{mode}-{encoder.name}",
            self._pipeline.fingerprint,
            dimensions=encoder.dimensions if encoder is not None else None,
            max_tokens=encoder.max_tokens if encoder is not None else None,
            kind=mode,
        )

    def index(self, corpus: Iterable[Mapping[str, Any]], **task: Any) -> None:
        """Index a corpus of `id`, `text` and perhaps `title`; `task` is mteb's description of it, which is not used."""
        self._pipeline.index(make_documents((row["id"], row) for row in corpus))

    def search(
        self,
        queries: Iterable[Mapping[str, Any]],
        *,
        top_k: int,
        top_ranked: Mapping[str, Sequence[str]] | None = None,
        **task: Any,
    ) -> dict[str, dict[str, float]]:
        """Query id → document id → score, at most `top_k` a query; of `top_ranked` only, where it is given.

        Raises UsageError for queries that are conversations.
        """
        wanted = [Query(row["id"], query_text(row)) for row in queries]
        candidates = [top_ranked.get(query.id, ()) for query in wanted] if top_ranked is not None else None
        return self._pipeline.rank(wanted, top_k, candidates)


def query_text(row: Mapping[str, Any]) -> str:
    """A query with its instruction, where there is one, put after it as mteb does."""
    text = row["text"]
    if not isinstance(text, str):
        raise UsageError(
            f"query {row['id']!r} is a conversation; leanseek searches by one text. Choose other tasks"
        )
    instruction = row.get("instruction")
    return f"{text} {instruction}" if instruction is not None else text


def rows(embeddings: Any) -> Float32Array:
    """(n, D) float32 of an array or a tensor of shape (n, D) or (D,)."""
    if hasattr(embeddings, "detach"):
        embeddings = embeddings.detach().cpu()
    return np.atleast_2d(np.asarray(embeddings, dtype=np.float32))


def describe(
    name: str, fingerprint: str, *, dimensions: int | None, max_tokens: int | None, kind: str
) -> ModelMeta:
    """mteb's record of a model. Raises MissingPackageError without mteb."""
    try:
        from mteb.models.model_meta import ModelMeta
    except ImportError as error:
        raise MissingPackageError("evaluating with MTEB", "mteb", "mteb") from error
    return ModelMeta.model_validate(
        dict.fromkeys(UNKNOWN)
        | {
            "name": "leanseek/" + re.sub(r"[^\w.-]+", "-", name).strip("-"),
            "revision": fingerprint[:REVISION_LENGTH],
            "max_tokens": max_tokens,
            "embed_dim": dimensions,
            "framework": [],
            "similarity_fn_name": "cosine" if kind == "dense" else None,
            "model_type": [kind],
        }
    )
