"""Re-ranking by the attention of a language model that has read the query after the documents."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from leanseek.encode.fingerprint import derived_fingerprint
from leanseek.errors import UsageError
from leanseek.rerank.base import ByScore, Judged, Reranked, check_lists, reorder
from leanseek.rerank.deadline import Deadline
from leanseek.rerank.incontext.blocks import BlockReader
from leanseek.rerank.incontext.capturing import Heads
from leanseek.rerank.incontext.driving import Driver
from leanseek.rerank.incontext.explaining import AttentionExplanation, DocumentAttention, cut_to, extract
from leanseek.rerank.incontext.heads import HeadList, chosen, published_for, read_heads
from leanseek.rerank.incontext.listing import Listing
from leanseek.rerank.incontext.loading import load_decoder
from leanseek.rerank.incontext.pieces import in_pieces
from leanseek.rerank.incontext.prompts import NO_QUERY, Frame, Wording, chat_frame, check_kind, prefixed
from leanseek.rerank.incontext.reading import Reader
from leanseek.types import Hit, Progress

PUBLISHED = "published"
"""Stands for the head list that was published for the model."""


class InContextReranker(ByScore):
    """Documents and query stand in one prompt; a document's score is the attention that the query pays to it.

    Two forward passes, however many documents; nothing is generated. With nothing but the first five arguments
    this is the published method: Chen, Gutiérrez, Su: "Attention in Large Language Models Yields Efficient
    Zero-Shot Re-Rankers", ICLR 2025.

    >>> reranker = InContextReranker("Qwen/Qwen3-0.6B")
    >>> hits = reranker.rerank("do statins help?", searcher.search("do statins help?", k=20))
    """

    def __init__(
        self,
        model_or_path: Any,
        prompt: str = "IE",
        prompt_prefix: str | None = None,
        prompt_suffix: str | None = None,
        separator: str = "\n\n",
        *,
        heads: HeadList | str | os.PathLike[str] | None = None,
        layers: tuple[int, int] | None = None,
        calibrated: bool = True,
        window: int | None = None,
        stride: int | None = None,
        batch_size: int = 1,
        block_memory: int | None = None,
        device: str | None = None,
    ) -> None:
        """Any decoder of transformers, by its folder or name, or loaded: `(model, tokenizer)`.

        - `prompt`: "IE" asks to find information, "QA" to answer a question.
        - `prompt_prefix`, `prompt_suffix`: what stands around the prompt; by default what the model's chat
          template puts there, nothing where it has none.
        - `heads`: the heads that count, from `leanseek train heads` (a `HeadList` or its file), or "published" for
          the list that was published for the model; by default all. Layers after the deepest one are not run.
        - `layers`: (first, end), only the layers from the first up to, not including, the end count; layers after
          them are not run.
        - `calibrated`: whether the attention paid by the query "N/A" is subtracted.
        - `window`: how many documents stand together at most, moved by `stride` (by default half a window) from
          the least promising to the most promising end. By default as many as the model's context holds.
        - `batch_size`: how many queries are read at a time. More pay off on a GPU.
        - `block_memory`: documents are read each by itself, see `blocks`, and so many bytes of what was computed of
          them are kept for other queries; 0 keeps nothing. By default each document sees those before it.
        - `device`: "cpu", "cuda" or another of torch's, for a model given by name.

        Raises ModelError, MissingPackageError, UsageError or InputError.
        """
        kind = check_kind(prompt)
        if batch_size < 1:
            raise UsageError(f"a batch of {batch_size} queries is none; give 1 or more")
        check_windows(window, stride)
        self._decoder = load_decoder(model_or_path, device)
        self._loaded_by = prefixed(kind, self._decoder.name)
        self._notes: list[str] = []
        frame = self._frame(prompt_prefix, prompt_suffix)
        counted = self._heads(heads, layers)
        self._wording = Wording(frame, kind, separator)
        self._window, self._stride = window, stride
        self.reader = Reader(self._decoder, self._wording, counted, calibrated)
        self._blocks = block_memory is not None
        if block_memory is None:
            self._driver = Driver(self.reader.read, batch_size)
        else:
            blocks = BlockReader(self._decoder, self._wording, counted, calibrated, block_memory)
            self._driver = Driver(blocks.read, batch_size)
        how = (sorted(counted.layers.items()), calibrated, window, stride, self._blocks)
        self._settings = repr((self._wording, how))

    @classmethod
    def from_heads(cls, path: str | os.PathLike[str], device: str | None = None) -> InContextReranker:
        """The re-ranker of the model, heads and prompt in a file of `leanseek train heads`. Raises as loading does."""
        listed = read_heads(Path(path))
        found = cls(listed.model, listed.prompt, heads=listed, device=device)
        found._loaded_by = os.fspath(path)
        return found

    @property
    def name(self) -> str:
        """What `load_reranker` takes to load this one again (see `named.load`)."""
        return f"in-context:{self._loaded_by}"

    @property
    def fingerprint(self) -> str:
        """Hex digest of everything that shapes a score."""
        return derived_fingerprint(self._decoder.fingerprint, self._settings)

    @property
    def notes(self) -> tuple[str, ...]:
        """What was not as usual so far: no chat template, windows, passages in pieces, memory that ran out."""
        return (*self._notes, *self._driver.notes)

    def score(self, query: str, documents: Sequence[str]) -> list[float]:
        """One score for each document; they stand in the prompt in the order given, the most promising last.

        Documents that do not fit into the model's context together are read in windows, and scores are then
        comparable only by their order; one that does not fit by itself is read in pieces and gets its best
        piece's score. No documents give no scores.

        Raises UsageError for a query that leaves no room for documents.
        """
        found = self._drive([query], [documents])[0]
        return [] if found is None else [float(score) for score in scores_of(found)]

    def explain(self, query: str, documents: Sequence[str]) -> list[DocumentAttention]:
        """For each document its score, as `score` gives it, and the attention on each of its tokens."""
        found = self._drive([query], [documents])[0]
        return found.attention() if found is not None else []

    def judge(
        self,
        queries: Sequence[str],
        hits: Sequence[Sequence[Hit]],
        *,
        progress: Progress | None = None,
        deadline: Deadline | None = None,
    ) -> list[Judged]:
        """The scores of each query's hits, of which the best stands last in the prompt.

        At the deadline a query's hits have all their scores or none: those of an unfinished list mean nothing.
        """
        found = self._drive(queries, list(map(texts_of, hits)), progress, deadline)
        return [judged(len(one), listing) for one, listing in zip(hits, found, strict=True)]

    def rerank_batch(
        self,
        queries: Sequence[str],
        hits: Sequence[Sequence[Hit]],
        *,
        progress: Progress | None = None,
        deadline: Deadline | None = None,
    ) -> list[Reranked]:
        """`rerank` for many queries, each with its hits.

        Hits that have an explanation get an `AttentionExplanation`: the attention on each token, and as snippet an
        extract of what was looked at most.

        Raises UsageError where there is not one list of hits for each query, or as `score` does.
        """
        check_lists(queries, hits)
        found = self._drive(queries, list(map(texts_of, hits)), progress, deadline)
        return [
            reorder(explained(one, listing), judged(len(one), listing), self.name)
            for one, listing in zip(hits, found, strict=True)
        ]

    def _drive(
        self,
        queries: Sequence[str],
        documents: Sequence[Sequence[str]],
        progress: Progress | None = None,
        deadline: Deadline | None = None,
    ) -> list[Listing | None]:
        def make(number: int, room: int | None) -> Listing:
            return self._listing(queries[number], documents[number], room)

        def done(count: int) -> None:
            if progress is not None:
                progress("re-ranking", count, len(queries))

        found = self._driver.drive(len(queries), make, deadline, done)
        for listing in found:
            if listing is not None and listing.windows > 1 and self._window is None:
                self._note("documents that do not fit into one prompt together were read in windows")
            if listing is not None and len({piece.owner for piece in listing.pieces}) < len(listing.pieces):
                self._note("passages too long for the model were read in pieces; the best piece counts")
        return found

    def _listing(self, query: str, documents: Sequence[str], least: int | None) -> Listing:
        room = self._room(query)
        if least is not None:
            room = least if room is None else min(room, least)
        # Two pieces at least must stand together, or there is nothing to compare. Blocks stand side by side, and
        # only each of them must fit.
        longest = room and (room if self._blocks else room // 2)
        pieces = in_pieces(self._decoder.tokenizer, documents, self._wording.separator, longest)
        return Listing(query, pieces, least if self._blocks else room, self._window, self._stride)

    def _room(self, query: str) -> int | None:
        """How many tokens of documents fit into a prompt. Raises UsageError where the query leaves none."""
        if self._decoder.context is None:
            return None
        used = max(
            len(self._decoder.tokenizer(self._wording.compose(text, ()).text, verbose=False)["input_ids"])
            for text in (query, NO_QUERY)
        )
        room = self._decoder.context - used
        if room < _LEAST_ROOM:
            raise UsageError(
                f"the query with its instruction has {used:,} tokens, which leaves no room for documents in the "
                f"model's context of {self._decoder.context:,}; shorten the query or choose another model"
            )
        return room

    def _frame(self, prefix: str | None, suffix: str | None) -> Frame:
        if prefix is not None and suffix is not None:
            return Frame(prefix, suffix)
        frame = chat_frame(self._decoder.tokenizer)
        if frame is None:
            self._note(
                f"{self._decoder.name} has no chat template: nothing stands before and after its prompt "
                "but the prompt_prefix and prompt_suffix given"
            )
            frame = Frame("", "")
        return Frame(frame.prefix if prefix is None else prefix, frame.suffix if suffix is None else suffix)

    def _heads(
        self, heads: HeadList | str | os.PathLike[str] | None, layers: tuple[int, int] | None
    ) -> Heads:
        if heads is None:
            first, end = layers or (0, self._decoder.depth)
            if not 0 <= first < end <= self._decoder.depth:
                raise UsageError(
                    f"layers {first} to {end} are none; {self._decoder.name} has those from 0 to "
                    f"{self._decoder.depth}: give (first, end) with first < end"
                )
            return Heads(dict.fromkeys(range(first, end)))
        if layers is not None:
            raise UsageError("heads name their layers; give heads or layers, not both")
        if heads == PUBLISHED:
            heads = published_for(self._decoder.name)
        elif not isinstance(heads, HeadList):
            heads = read_heads(Path(heads))
        heads.check(self._decoder)
        return chosen(heads.heads)

    def _note(self, note: str) -> None:
        if note not in self._notes:
            self._notes.append(note)


_LEAST_ROOM = 32
"""Tokens of documents that a prompt must hold."""


def text_of(hit: Hit) -> str:
    """What of a hit stands in the prompt: its title and text, on lines of their own."""
    return f"{hit.title}\n{hit.text}" if hit.title else hit.text


def texts_of(hits: Sequence[Hit]) -> list[str]:
    """The hits' texts in the order of the prompt: the best last."""
    return [text_of(hit) for hit in reversed(hits)]


def judged(count: int, listing: Listing | None) -> Judged:
    """The scores of `count` hits, the best hit first; NaN where the listing was not finished."""
    return Judged(np.full(count, np.nan) if listing is None else scores_of(listing)[::-1])


def explained(hits: Sequence[Hit], listing: Listing | None) -> list[Hit]:
    """The hits; those with an explanation get one that tells what was looked at in them."""
    if listing is None or all(hit.explanation is None for hit in hits):
        return list(hits)
    found = []
    for hit, attention in zip(hits, reversed(listing.attention()), strict=True):
        if (was := hit.explanation) is not None:
            whole = text_of(hit)
            text = cut_to(attention.tokens, len(whole) - len(hit.text), len(whole))
            title = cut_to(attention.tokens, 0, len(hit.title))
            shown = extract(hit.text, text)
            hit = replace(
                hit, explanation=AttentionExplanation(was.sparse, was.dense, was.terms, shown, title, text)
            )
        found.append(hit)
    return found


def scores_of(listing: Listing) -> Any:
    """(documents,) the scores of a finished listing."""
    return np.zeros(0) if listing.scores is None else listing.scores


def check_windows(window: int | None, stride: int | None) -> None:
    """Raise UsageError where the windows would not move over the list, or skip documents."""
    if window is not None and window < 2:
        raise UsageError(f"a window of {window} documents compares nothing; give 2 or more")
    if stride is not None and (window is None or not 1 <= stride < window):
        raise UsageError("stride goes with a window and lies between 1 and the window less 1")
