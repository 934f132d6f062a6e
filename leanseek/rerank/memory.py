"""Telling that memory ran out, whatever says so."""

from __future__ import annotations

_WORDS = (
    "out of memory",
    "not enough memory",
    "can't allocate memory",
    "failed to allocate memory",
    "bad_alloc",
    # cuBLAS and cuDNN: CUBLAS_STATUS_ALLOC_FAILED.
    "status_alloc_failed",
    # ONNX Runtime's arena: "Available memory of 1234 is smaller than requested bytes of 5678".
    "is smaller than requested bytes",
)


def out_of_memory(error: BaseException) -> bool:
    """Whether the error says that memory ran out, on a device or here: Python's, torch's or ONNX Runtime's."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    text = str(error).lower()
    return not isinstance(error, OSError) and any(words in text for words in _WORDS)
