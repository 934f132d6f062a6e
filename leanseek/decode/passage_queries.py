"""The queries that a decoder writes for a passage, after a few examples and in a form that it cannot get wrong."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Final

from leanseek.decode.decoder import Decoder
from leanseek.decode.json_form import JsonForm
from leanseek.errors import UsageError

WORDS: Final = 150
"""Words of a passage that a decoder reads."""

GRADES: Final = ("perfect", "partial", "not relevant")
"""How well a passage answers a query, the best first."""

TASK: Final = """\
Passages, and what people type to search. A "perfect" query is answered by the passage, a "partial" one in part, and \
one that is "not relevant" is on another subject.

"""

EXAMPLES: Final[tuple[tuple[str, dict[str, tuple[str, ...]]], ...]] = (
    (
        "Statins lower cholesterol by blocking an enzyme of the liver. Muscle pain is their most common side effect.",
        {
            "perfect": (
                "side effects of statins",
                "how do drugs lower cholesterol",
                "why do my muscles hurt since I take pills for my heart",
            ),
            "partial": ("which drugs prevent heart attacks",),
            "not relevant": ("average weight of a liver",),
        },
    ),
    (
        "The Boeing 747 first flew in 1969. Its hump holds the cockpit, so that cargo can be loaded through the nose.",
        {
            "perfect": (
                "why does the 747 have a hump",
                "when did the first jumbo jet take off",
                "planes that are loaded from the front",
            ),
            "partial": ("largest passenger planes in the world",),
            "not relevant": ("how to sleep on a long flight",),
        },
    ),
    (
        "def join(a, b): return a + os.sep + b  # puts two parts of a path together",
        {
            "perfect": (
                "python join two parts of a path",
                "concatenate folder and file name",
                "what is os.sep for",
            ),
            "partial": ("python list all files in a folder",),
            "not relevant": ("convert a string to a date",),
        },
    ),
    (
        "The Peace of Westphalia ended the Thirty Years' War in 1648. Each prince chose the religion of his land.",
        {
            "perfect": (
                "which treaty ended the thirty years war",
                "what happened in 1648",
                "when could rulers decide what their subjects believe",
            ),
            "partial": ("causes of the thirty years war",),
            "not relevant": ("capital of westphalia",),
        },
    ),
)
"""Passages of four kinds, with queries of each grade that do not say it in the passage's words."""


class PassageQueries:
    """Has a `decoder` write queries for passages: one of each of the `grades` given, which may be given repeatedly.

    The prompt is a text to be continued, not a message: small models continue examples better than they follow
    instructions. The examples are the same for all passages and are read once for those that are read together.

    >>> PassageQueries(decoder, ["perfect", "perfect"]).write(["The Great Wall is 21,196 km long."])
    [['how long is the great wall', 'length of the wall in china']]
    """

    block: Final = 8
    """How many passages are read at a time: those that are read together decide the last digits."""

    def __init__(self, decoder: Decoder, grades: Sequence[str]) -> None:
        """Raises UsageError for no grades or others than those of `GRADES`."""
        if not grades or set(grades) - set(GRADES):
            raise UsageError(f"the grades are {list(grades)}; give one or more of {', '.join(GRADES)}")
        places = [grades[:place].count(grade) for place, grade in enumerate(grades)]
        self._keys = [
            grade + (f" {place + 1}" if place else "") for grade, place in zip(grades, places, strict=True)
        ]
        shown = []
        for passage, queries in EXAMPLES:
            known = {
                key: queries[grade][place]
                for key, grade, place in zip(self._keys, grades, places, strict=True)
                if place < len(queries[grade])
            }
            shown.append(f"Passage: {passage}\n{json.dumps(known)}\n\n")
        self._prompt = TASK + "".join(shown)
        self._decoder = decoder
        self._form = JsonForm(decoder.tokenizer, self._keys, distinct=True)
        described = (decoder.fingerprint, self._prompt, self._keys, WORDS)
        self.fingerprint = hashlib.sha256(json.dumps(described).encode()).hexdigest()[:16]
        """A digest of what decides what is written."""

    def write(self, passages: Sequence[str]) -> list[list[str]]:
        """A query for each of the grades and each of the passages; an empty one where none was found."""
        prompts = [
            f"{self._prompt}Passage: {' '.join(passage.split(maxsplit=WORDS)[:WORDS])}\n"
            for passage in passages
        ]
        found = self._decoder.generate(
            prompts, most=self._form.longest, constraint=self._form, batch_size=self.block
        )
        # A text that did not fit into the model's context was cut, and is no JSON.
        values = [json.loads(one.text) if one.finished else {} for one in found]
        queries = [[" ".join(value.get(key, "").split()) for key in self._keys] for value in values]
        # What is said in the examples' words is not about the passage.
        examples = {query for _, shown in EXAMPLES for one in shown.values() for query in one}
        return [["" if "\ufffd" in query or query in examples else query for query in row] for row in queries]
