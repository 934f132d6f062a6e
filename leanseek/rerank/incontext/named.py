"""Re-rankers in context by name."""

from __future__ import annotations

from pathlib import Path

from leanseek.errors import InputError, UsageError
from leanseek.rerank.incontext.heads import read_heads
from leanseek.rerank.incontext.prompts import DEFAULT_KIND, split_prefix
from leanseek.rerank.incontext.reranker import InContextReranker


def load(model: str | None, device: str | None = None) -> InContextReranker:
    """The re-ranker for `in-context:MODEL`, where MODEL is

    - a decoder's folder or name, which is asked to find information;
    - `ie:` or `qa:` and such a folder or name: to find information, or to answer a question;
    - a list of heads that `leanseek train heads` wrote, which has its model and kind of prompt in it.

    Raises UsageError for no model (there is none small enough to be everyone's), for a prefix that is no kind of
    prompt, for another kind than that of the list, and for choices in brackets; InputError for a list that cannot be
    read; and what loading the model raises: ModelError, MissingPackageError.
    """
    if model is not None and model.endswith("]") and not Path(model).exists():
        raise UsageError(
            f"'in-context:{model}' tells a re-ranker that was made in Python, with what stands in brackets; make it "
            "again with InContextReranker, or name the model alone"
        )
    kind, name = (None, model or "") if model is None or Path(model).exists() else split_prefix(model)
    if not name:
        raise UsageError(
            "in-context re-ranking needs a decoder; name one, such as in-context:Qwen/Qwen3-0.6B"
        )
    if not name.endswith(".json"):
        return InContextReranker(name, kind or DEFAULT_KIND, device=device)
    path = Path(name)
    if not path.is_file():
        raise InputError(f"{path}: there is no such list of heads; make one with leanseek train heads")
    if kind is not None and kind != (found := read_heads(path).prompt):
        raise UsageError(
            f"{path}: these heads were found with the prompt {found}, not {kind}; leave out '{kind.lower()}:', or find "
            f"heads for it with: leanseek train heads --prompt {kind}"
        )
    return InContextReranker.from_heads(path, device)
