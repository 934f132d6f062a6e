"""A text without the repeats of its terms."""

from __future__ import annotations

from leanseek.text.analyzer import Analyzer


def each_term_once(text: str, analyzer: Analyzer) -> str:
    """A text with the same terms, each once, in the order of their first places; the text itself where none repeats.

    What an analyser makes of a part of a text it has to make of that part alone, as those of `load_analyzer` do.
    """
    tokens = analyzer.tokens(text)
    if len(set(tokens)) == len(tokens):
        return text
    seen: set[str] = set()
    kept: list[str] = []
    end = 0
    for span in sorted(analyzer.spans(text), key=lambda span: (span.start, -span.end)):
        # The parts of a word come with the word.
        if span.token not in seen and not (kept and span.end <= end):
            kept.append(text[span.start : span.end])
            end = span.end
        seen.add(span.token)
    return " ".join(kept)
