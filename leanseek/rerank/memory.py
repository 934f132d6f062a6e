"""Telling that memory ran out, whatever says so."""

from __future__ import annotations

_WORDS = (
    "out of memory",
    "not enough memory",
    "can't allocate memory",
    "failed to allocate memory",
    "bad_alloc",
)


def out_of_memory(error: BaseException) -> bool:
    """Whether the error says that memory ran out, on a device or here: Python's, torch's or ONNX Runtime's."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    text = str(error).lower()
    return not isinstance(error, OSError) and any(words in text for words in _WORDS)
