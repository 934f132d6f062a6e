"""Answers written in steps by a decoder, which searches where it is in doubt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Unpack

from leanseek.errors import InputError, UsageError
from leanseek.rag.trigger import Trigger
from leanseek.types import Float64Array

if TYPE_CHECKING:
    from leanseek.decode import Decoder, Generated, Token
    from leanseek.searcher import Context, Searcher, SearchOptions

STEP = 16
"""Tokens that are written before the trigger decides, by default."""
MOST = 64
"""Tokens of an answer at most, by default."""
BATCH = 8
"""Questions whose answers are written together, by default."""

ASK = "Answer the question in a full sentence.\n\nQuestion: "
READ = "Here are some passages:\n\n{}\n\nAnswer the question in a full sentence from these passages.\n\nQuestion: "


class Retrieval(NamedTuple):
    """A search while an answer was written: after how many of its tokens, and the trigger's query."""

    tokens: int
    query: str


@dataclass(frozen=True, slots=True)
class Written:
    """An answer: its text, the searches that went into it, and the passages that its end was written from.

    `finished`: it ended by itself, not because it became too long.
    """

    text: str
    retrievals: tuple[Retrieval, ...]
    context: Context | None
    finished: bool


def write_answer(
    question: str,
    searcher: Searcher,
    decoder: Decoder,
    trigger: Trigger,
    *,
    k: int = 3,
    max_tokens: int = 512,
    step: int = STEP,
    most: int = MOST,
    **options: Unpack[SearchOptions],
) -> Written:
    """The decoder's answer to a question, from passages wherever it was in doubt without them.

    It writes `step` tokens at a time. Where the trigger asks for a search, these are dropped and written again after
    the `k` passages that the question and the trigger's query find, in place of those from before; at most
    `max_tokens` of the decoder's. `options` are those of a search.

    Raises UsageError for a `step`, `most`, `k` or `max_tokens` below 1, InputError for a blank question or one that
    does not fit into the decoder's context, and what searching raises.

    >>> decoder = load_decoder()
    >>> write_answer("what do statins lower?", searcher, decoder, Trigger(0.1)).text
    """
    found = write_answers(
        [question], searcher, decoder, trigger, k=k, max_tokens=max_tokens, step=step, most=most, **options
    )
    return found[0]


def write_answers(
    questions: Sequence[str],
    searcher: Searcher,
    decoder: Decoder,
    trigger: Trigger,
    *,
    k: int = 3,
    max_tokens: int = 512,
    step: int = STEP,
    most: int = MOST,
    batch_size: int = BATCH,
    **options: Unpack[SearchOptions],
) -> list[Written]:
    """`write_answer` for many questions, `batch_size` of them together, which takes less time."""
    if isinstance(questions, str):
        raise UsageError("questions is a single text; give a list, such as [question]")
    if min(step, most, batch_size) < 1:
        raise UsageError(
            f"{most} tokens in steps of {step}, {batch_size} answers at a time, are none; give 1 or more of each"
        )
    if any(not question.strip() for question in questions):
        raise InputError("a question is blank; leave it out")
    found: list[Written] = []
    for start in range(0, len(questions), batch_size):
        drafts = [Draft(decoder, question) for question in questions[start : start + batch_size]]
        while going_on := [draft for draft in drafts if not draft.finished]:
            room = min(step, most - len(going_on[0].tokens))
            renewed = []
            for draft, more in zip(going_on, generated(decoder, going_on, room), strict=True):
                query = draft.decide(trigger, more.tokens)
                if query is not None:
                    asked = f"{draft.question} {query}"
                    context = searcher.context(
                        asked, max_tokens, k=k, count_tokens=draft.count_tokens, **options
                    )
                    if draft.renew(query, context):
                        renewed.append(draft)
                        continue
                draft.take(more, room, most)
            for draft, more in zip(renewed, generated(decoder, renewed, room), strict=True):
                draft.take(more, room, most)
        found += [draft.written() for draft in drafts]
    return found


def generated(decoder: Decoder, drafts: Sequence[Draft], room: int) -> list[Generated]:
    """How each of the drafts goes on, by at most `room` tokens."""
    return decoder.generate([draft.prompt() for draft in drafts], most=room, batch_size=max(1, len(drafts)))


@dataclass
class Draft:
    """An answer that is being written."""

    decoder: Decoder
    question: str
    context: Context | None = None
    tokens: list[Token] = field(default_factory=list)
    retrievals: list[Retrieval] = field(default_factory=list)
    ended: bool = False
    full: bool = False

    @property
    def finished(self) -> bool:
        """Whether nothing comes after its tokens."""
        return self.ended or self.full

    def asked(self) -> str:
        """The question as the model reads it, after the passages."""
        opening = READ.format(self.context.text) if self.context is not None and self.context.text else ASK
        return self.decoder.chat(opening + self.question)

    def prompt(self) -> str:
        """What the answer goes on from."""
        return self.asked() + self._text()

    def decide(self, trigger: Trigger, more: Sequence[Token]) -> str | None:
        """What to search for, now that `more` tokens are written; what was taken before is doubted no more."""
        entropies = [max(0.0, token.entropy) for token in more]
        # No share of attention is above 1, so that it need not be known of tokens that the model was sure of.
        if max(entropies, default=0.0) <= trigger.threshold or not more:
            return None
        asked, attention = self._seen([*self.tokens, *more])
        known = [0.0] * (len(asked) + len(self.tokens))
        texts = [*asked, *(token.text for token in (*self.tokens, *more))]
        # The answer does not go on with the question's last word.
        texts[len(asked)] = "\n" + texts[len(asked)]
        read = self.context.text if self.context is not None else ""
        return trigger.decide(texts, known + entropies, attention, read=read)

    def renew(self, query: str, context: Context) -> bool:
        """Note a search. False where it found what is in the prompt already."""
        self.retrievals.append(Retrieval(len(self.tokens), query))
        former = self.context.text if self.context is not None else ""
        self.context = context
        return context.text != former

    def take(self, more: Generated, room: int, most: int) -> None:
        """Go on with these tokens; fewer than there was room for mean that the model's context is full."""
        self.tokens += more.tokens
        self.ended, self.full = more.finished, len(self.tokens) >= most or len(more.tokens) < room

    def written(self) -> Written:
        """The answer."""
        return Written(self._text().strip(), tuple(self.retrievals), self.context, self.ended)

    @property
    def count_tokens(self) -> Callable[[str], int]:
        """What counts a text's tokens as the decoder does."""
        tokenizer = self.decoder.tokenizer
        return lambda text: len(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])

    def _text(self) -> str:
        # Together: several tokens may make up one character.
        ids = [token.id for token in self.tokens]
        return str(self.decoder.tokenizer.decode(ids, skip_special_tokens=True))

    def _seen(self, answer: Sequence[Token]) -> tuple[list[str], Float64Array]:
        """The texts of the tokens from the question to the answer, and (n, n) what those and the answer's attend to."""
        from leanseek.decode.chat import encoded

        prompt = self.asked()
        begin = prompt.rindex(self.question)
        end = begin + len(self.question)
        ids, offsets = encoded(self.decoder.tokenizer, prompt)
        first = next(place for place, (_, past) in enumerate(offsets) if past > begin)
        texts = [prompt[max(start, begin) : min(past, end)] for start, past in offsets[first:]]
        whole = [*ids, *(token.id for token in answer)]
        return texts, self.decoder.attention_rows(whole, len(whole) - first)[:, first:]
