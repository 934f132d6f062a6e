"""Whether a collection's queries are themselves documents, which a search must not return for themselves.

In ArguAna a query is an argument of the collection and the answer its counter-argument; in Quora it is a question
and the answers its duplicates. There the query's own document would take the first rank of every list, so BEIR's
evaluation leaves it out, and so do we. The id alone does not tell: in Cranfield, CISI and Vaswani query 1 and
document 1 share nothing but a number, and leaving out document 1 would take away an answer. So besides the two
names, a collection has self-hits where documents with the id of a query mostly have its text too.

A query's text can stand anywhere in a corpus of millions. Where queries are documents they are many, and seldom
all at the end, so the first `LOOKED_AT` documents decide; as soon as `ENOUGH` share their ids, they do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice
from typing import Final

from leanseek.types import Document, Query, content

NAMED: Final = ("arguana", "quora")
LOOKED_AT: Final = 100_000
ENOUGH: Final = 50


def has_self_hits(
    name: str, queries: Callable[[], Iterable[Query]], documents: Callable[[], Iterable[Document]]
) -> bool:
    """Decide by the collection's name, else by its queries and the first of its documents."""
    if name.lower() in NAMED:
        return True
    texts = {query.id: plain(query.text) for query in queries()}
    if not texts:
        return False
    shared = same = 0
    for document in islice(documents(), LOOKED_AT):
        text = texts.get(document.id)
        if text is None:
            continue
        shared += 1
        forms = (document.text, document.title, content(document.title, document.text))
        same += bool(text) and text in map(plain, forms)
        if shared == ENOUGH:
            break
    return same * 2 > shared


def plain(text: str) -> str:
    """The text without what its way through files may change: white space and case."""
    return "".join(text.split()).casefold()
