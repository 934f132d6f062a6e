"""What a re-ranker in context is called: its prompt, its model, and in brackets what was chosen beyond these."""

from __future__ import annotations

from leanseek.encode.fingerprint import derived_fingerprint
from leanseek.errors import ModelError
from leanseek.rerank.incontext.capturing import Heads
from leanseek.rerank.incontext.decoder import Decoder
from leanseek.rerank.incontext.prompts import SEPARATOR, Frame, Wording, chat_frame, prefixed

_DIGITS = 8


def name_of(
    decoder: Decoder,
    wording: Wording,
    counted: Heads,
    calibrated: bool,
    window: int | None,
    stride: int | None,
    apart: bool,
) -> str:
    """Such as `in-context:qa:MODEL`, which `named.load` takes, or `in-context:MODEL[layers 0:2, window 20]`.

    What no name can choose stands in brackets, for people: two re-rankers of one model that give other scores have
    other names.
    """
    chosen = []
    if (layers := sorted(counted.layers.items())) != [(layer, None) for layer in range(decoder.depth)]:
        whole = all(heads is None for _, heads in layers)
        chosen.append(f"layers {layers[0][0]}:{layers[-1][0] + 1}" if whole else f"heads {digest(layers)}")
    if wording.separator != SEPARATOR or wording.frame != usual_frame(decoder):
        chosen.append(f"wording {digest((wording.frame, wording.separator))}")
    if not calibrated:
        chosen.append("not calibrated")
    if window is not None:
        chosen.append(f"window {window}" + (f" by {stride}" if stride is not None else ""))
    if apart:
        chosen.append("documents apart")
    return f"in-context:{prefixed(wording.kind, decoder.name)}" + (f"[{', '.join(chosen)}]" if chosen else "")


def digest(chosen: object) -> str:
    """A few digits that stand for it."""
    return derived_fingerprint("", repr(chosen))[:_DIGITS]


def usual_frame(decoder: Decoder) -> Frame | None:
    """What stands around a prompt where nothing else was asked for; None for a template that cannot be used."""
    try:
        return chat_frame(decoder.tokenizer) or Frame("", "")
    except ModelError:
        return None
