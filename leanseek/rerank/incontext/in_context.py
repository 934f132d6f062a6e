"""Re-ranking by the attention of a language model that has read the query after the documents."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from leanseek.decode.chat import Frame, chat_frame
from leanseek.decode.decoder_loader import Precision, load_decoder
from leanseek.encode.batches import Deadline
from leanseek.encode.gguf_model import DEFAULT_DECODER
from leanseek.encode.models import derived_fingerprint
from leanseek.errors import InputError, ModelError, UsageError
from leanseek.rerank.base import ByScore, Judged, Reranked, check_lists, reorder
from leanseek.rerank.incontext.block_reader import BlockReader
from leanseek.rerank.incontext.driver import Driver
from leanseek.rerank.incontext.explanation import DocumentAttention
from leanseek.rerank.incontext.heads import PUBLISHED, HeadList, heads_of, read_heads
from leanseek.rerank.incontext.listing import Listing, explained, judged, scores_of, texts_of
from leanseek.rerank.incontext.planner import Planner
from leanseek.rerank.incontext.prompts import (
    DEFAULT_KIND,
    SEPARATOR,
    Wording,
    check_kind,
    prefixed,
    split_prefix,
)
from leanseek.rerank.incontext.reader import Reader
from leanseek.rerank.registry import RerankOptions
from leanseek.types import Hit, Progress

_DIGITS = 8


class InContextReranker(ByScore):
    """Documents and query are in one prompt; a document's score is the attention that the query pays to it.

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
        separator: str = SEPARATOR,
        *,
        heads: HeadList | str | os.PathLike[str] | None = None,
        layers: tuple[int, int] | None = None,
        calibrated: bool = True,
        window: int | None = None,
        stride: int | None = None,
        batch_size: int = 1,
        block_memory: int | None = None,
        block_bits: int | None = None,
        device: str | None = None,
        precision: Precision | None = None,
        progress: Progress | None = None,
    ) -> None:
        """Any decoder of transformers, by its folder or name, or loaded: `(model, tokenizer)`.

        - `prompt`: "IE" requests information, "QA" the answer to a question.
        - `prompt_prefix`, `prompt_suffix`: the text around the prompt; by default that of the model's chat template,
          none where it has no template.
        - `heads`: the heads that count, from `leanseek train heads` (a `HeadList` or its file), or "published" for
          the list that was published for the model; by default all. Layers after the deepest one are not run.
        - `layers`: (first, end), only the layers from the first up to, not including, the end count; layers after
          them are not run.
        - `calibrated`: whether the attention paid by the query "N/A" is subtracted.
        - `window`: how many documents are in one prompt at most, moved by `stride` (by default half a window) from
          the least promising to the most promising end. By default as many as the model's context holds.
        - `batch_size`: how many queries are read at a time. More pay off on a GPU.
        - `block_memory`: documents are read each by itself (see `BlockReader`), and so many bytes of what was computed
          of them are kept for other queries; 0 keeps nothing. By default each document sees those before it.
        - `block_bits`: 8 keeps four times the documents of float32 in the same bytes, and scores change by less than
          .01; of bfloat16 it is twice as many, and single scores change by up to .02.
        - `device`: "cpu", "cuda" or another of torch's, `precision` and `progress`: see `load_decoder`; for a model
          given by name.

        Raises ModelError, MissingPackageError, UsageError or InputError.
        """
        kind = check_kind(prompt)
        if batch_size < 1:
            raise UsageError(f"a batch of {batch_size} queries is none; give 1 or more")
        if block_memory is not None and block_memory < 0:
            raise UsageError(f"block_memory is {block_memory} bytes; give 0 or more, 0 to keep nothing")
        if block_bits not in (None, 8):
            raise UsageError(f"block_bits is {block_bits}; give 8, or leave it out to keep what was computed")
        if block_bits is not None and block_memory is None:
            raise UsageError("block_bits goes with block_memory: how many bytes are kept")
        if window is not None and window < 2:
            raise UsageError(f"a window of {window} documents compares nothing; give 2 or more")
        if stride is not None and (window is None or not 1 <= stride < window):
            raise UsageError("stride goes with a window and lies between 1 and the window less 1")
        self._decoder = load_decoder(model_or_path, device, precision=precision, progress=progress)
        self._notes: list[str] = []
        frame = self._frame(prompt_prefix, prompt_suffix)
        counted = heads_of(self._decoder, kind, heads, layers)
        self._wording = Wording(frame, kind, separator)
        self.reader = Reader(self._decoder, self._wording, counted, calibrated)
        apart, packed = block_memory is not None, block_bits is not None
        self._planner = Planner(self._decoder, self._wording, window, stride, apart)
        if block_memory is None:
            self._driver = Driver(self.reader.read, batch_size)
        else:
            blocks = BlockReader(self._decoder, self._wording, counted, calibrated, block_memory, packed)
            self._driver = Driver(blocks.read, batch_size)
        self._name = self._describe(window, stride, apart, packed)
        how = (sorted(counted.layers.items()), calibrated, window, stride, apart, *([8] if packed else []))
        self._settings = repr((self._wording, how))

    @classmethod
    def from_heads(cls, path: str | os.PathLike[str], **loading: Any) -> InContextReranker:
        """The re-ranker of the model, heads and prompt in a file of `leanseek train heads`.

        `loading`: device, precision and progress, as in the constructor. Raises as loading does.
        """
        listed = read_heads(Path(path))
        found = cls(listed.model, listed.prompt, heads=listed, **loading)
        found._name = f"in-context:{os.fspath(path)}"
        return found

    @classmethod
    def packaged(cls, **loading: Any) -> InContextReranker:
        """The re-ranker of the packaged decoder and the heads that were found for it, as fast as the processor can.

        `loading`: as `from_heads`.
        """
        found = cls(DEFAULT_DECODER, heads=PUBLISHED, **{"precision": "fast"} | loading)
        found._name = "in-context"
        return found

    @property
    def name(self) -> str:
        """What `load_reranker` takes to load this one again, such as `in-context:qa:MODEL` (see `load`).

        Choices that no name can make, such as layers or windows, follow in brackets, as in
        `in-context:MODEL[layers 0:2, window 20]`: two re-rankers of one model that give other scores have other names.
        Such a name cannot be loaded.
        """
        return self._name

    @property
    def alone(self) -> bool:
        """False: all hits of a call are in one prompt."""
        return False

    @property
    def fingerprint(self) -> str:
        """Hex digest of everything that shapes a score."""
        return derived_fingerprint(self._decoder.fingerprint, self._settings)

    @property
    def notes(self) -> tuple[str, ...]:
        """What was unusual so far: no chat template, windows, pieces, cut queries, memory that ran out."""
        return (*self._notes, *self._planner.notes, *self._driver.notes)

    def score(self, query: str, documents: Sequence[str]) -> list[float]:
        """One score for each document; their order in the prompt is the one given, the most promising last.

        Documents that do not fit into the model's context together are read in windows, and scores are then
        comparable only by their order; then one that takes more than half of the room is read in pieces and gets
        its best piece's score. A query that leaves no room for documents is cut. No documents give no scores.

        Raises UsageError for a model whose context holds no documents beside the instruction, ModelError for one
        whose attention is no numbers.
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
        """The scores of each query's hits, of which the best comes last in the prompt.

        Under a deadline only as many of a query's best hits are read, all in one list, as there is time for; at least
        two, or none. See docs/incontext.md.
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
        def make(number: int, room: int | None, reach: float | None = None) -> Listing:
            return self._planner.plan(queries[number], documents[number], room, reach)

        def done(count: int) -> None:
            if progress is not None:
                progress("re-ranking", count, len(queries))

        if deadline is None:
            found = self._driver.drive(len(queries), make, done)
        else:
            found = self._driver.drive_until(deadline, len(queries), make, done)
        for listing in filter(None, found):
            self._planner.note(listing)
        return found

    def _frame(self, prefix: str | None, suffix: str | None) -> Frame:
        if prefix is not None and suffix is not None:
            return Frame(prefix, suffix)
        frame = chat_frame(self._decoder.tokenizer)
        if frame is None:
            self._notes.append(
                f"{self._decoder.name} has no chat template: nothing is before and after its prompt but the "
                "prompt_prefix and prompt_suffix given"
            )
            frame = Frame("", "")
        return Frame(frame.prefix if prefix is None else prefix, frame.suffix if suffix is None else suffix)

    def _describe(self, window: int | None, stride: int | None, apart: bool, packed: bool) -> str:
        """The re-ranker's name."""
        choices = []
        layers = sorted(self.reader.heads.layers.items())
        if layers != [(layer, None) for layer in range(self._decoder.depth)]:
            whole = all(heads is None for _, heads in layers)
            span = f"layers {layers[0][0]}:{layers[-1][0] + 1}"
            choices.append(span if whole else f"heads {_digest(layers)}")
        wording = self._wording
        try:
            usual = chat_frame(self._decoder.tokenizer) or Frame("", "")
        except ModelError:  # a template that cannot be used
            usual = None
        if wording.separator != SEPARATOR or wording.frame != usual:
            choices.append(f"wording {_digest((wording.frame, wording.separator))}")
        if not self.reader.calibrated:
            choices.append("not calibrated")
        if window is not None:
            choices.append(f"window {window}" + (f" by {stride}" if stride is not None else ""))
        if apart:
            choices.append(f"documents apart{' in 8 bits' if packed else ''}")
        brackets = f"[{', '.join(choices)}]" if choices else ""
        return f"in-context:{prefixed(wording.kind, self._decoder.name)}{brackets}"


def _digest(choice: object) -> str:
    """A few digits that identify a choice."""
    return derived_fingerprint("", repr(choice))[:_DIGITS]


def load(options: RerankOptions) -> InContextReranker:
    """The re-ranker for `in-context:MODEL`, or for `in-context`: the packaged decoder with its selected heads.

    MODEL is

    - a decoder's folder or name, with the prompt to find information;
    - `ie:` or `qa:` and such a folder or name: the prompt to find information, or to answer a question;
    - a list of heads that `leanseek train heads` wrote, which has its model and kind of prompt in it.

    Raises UsageError for a prefix that is no kind of prompt, for another kind than that of the list, and for choices in
    brackets; InputError for a list that cannot be read; and what loading the model raises: ModelError,
    MissingPackageError, StorageError.
    """
    options.check("in-context")
    model = options.model
    loading: dict[str, Any] = {"device": options.device, "progress": options.progress}
    if model is None:
        return InContextReranker.packaged(**loading)
    if model.endswith("]") and not Path(model).exists():
        raise UsageError(
            f"'in-context:{model}' is the name of a re-ranker that was made in Python, with the choices in brackets; "
            "make it again with InContextReranker, or name the model alone"
        )
    kind, name = (None, model) if Path(model).exists() else split_prefix(model)
    if not name:
        raise UsageError(
            f"'in-context:{model}' names no decoder; name one, such as in-context:qa:{DEFAULT_DECODER}"
        )
    if not name.endswith(".json"):
        return InContextReranker(name, kind or DEFAULT_KIND, **loading)
    path = Path(name)
    if not path.is_file():
        raise InputError(f"{path}: there is no such list of heads; make one with leanseek train heads")
    if kind is not None and kind != (found := read_heads(path).prompt):
        raise UsageError(
            f"{path}: these heads were found with the prompt {found}, not {kind}; leave out '{kind.lower()}:', or find "
            f"heads for it with: leanseek train heads --prompt {kind}"
        )
    return InContextReranker.from_heads(path, **loading)
