"""Doing in smaller parts what does not fit into memory."""

from __future__ import annotations


def out_of_memory(error: BaseException) -> bool:
    """Whether the error says that memory ran out, on a device or here."""
    import torch

    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and "not enough memory" in str(error)
