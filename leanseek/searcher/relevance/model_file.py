"""The file of a relevance model: tensors and one JSON header, in the safetensors format, with a checksum.

The header is one string, so that the same model is the same bytes: the format keeps several in no fixed order.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from leanseek.errors import MissingPackageError, RelevanceFileError
from leanseek.files import replacing

FORMAT: Final = 2
HEADER: Final = "leanseek-relevance"
MAKE: Final = "make one with: leanseek train relevance COLLECTION --out FILE"

Tensors: TypeAlias = Mapping[str, NDArray[np.float32]]


class Contents(NamedTuple):
    """What a file holds: JSON values and arrays by name."""

    header: dict[str, Any]
    tensors: dict[str, NDArray[np.float32]]


def write_contents(path: Path, header: Mapping[str, Any], tensors: Tensors) -> None:
    """Write a relevance model whole or not at all. Raises StorageError, MissingPackageError."""
    try:
        from safetensors.numpy import save
    except ImportError as error:
        raise MissingPackageError("A relevance model", "safetensors", "encode") from error
    arrays = {name: np.ascontiguousarray(array, np.float32) for name, array in tensors.items()}
    values = {"format": FORMAT, **header}
    text = json.dumps({**values, "sha256": checksum(values, arrays)}, sort_keys=True, allow_nan=False)
    content = save(arrays, {HEADER: text})
    with replacing(path) as draft:
        draft.write_bytes(content)


def read_contents(path: Path) -> Contents:
    """What `write_contents` wrote. Raises RelevanceFileError, MissingPackageError."""
    try:
        from safetensors import SafetensorError
        from safetensors.numpy import load
    except ImportError as error:
        raise MissingPackageError("A relevance model", "safetensors", "encode") from error
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise RelevanceFileError(
            f"{path}: there is no such file. Name a relevance model's file, or {MAKE}"
        ) from error
    except OSError as error:
        raise RelevanceFileError(
            f"{path}: this relevance model cannot be read: {error.strerror or error}"
        ) from error
    try:
        size = int.from_bytes(content[:8], "little")
        header = json.loads(json.loads(content[8 : 8 + size])["__metadata__"][HEADER])
        version = int(header["format"])
        tensors = load(content) if version == FORMAT else {}
    except (ValueError, KeyError, TypeError, RecursionError, SafetensorError) as error:
        raise RelevanceFileError(f"{path}: this is no relevance model, or a damaged one; {MAKE}") from error
    if version < FORMAT:
        raise RelevanceFileError(
            f"{path}: written by an earlier version of leanseek (format {version}, this one knows {FORMAT}), whose "
            f"models look at the lists in another way; {MAKE}"
        )
    if version > FORMAT:
        raise RelevanceFileError(
            f"{path}: written by a newer version of leanseek (format {version}, this one knows {FORMAT}). "
            "Upgrade: pip install --upgrade leanseek"
        )
    if header.pop("sha256", None) != checksum(header, tensors):
        raise RelevanceFileError(
            f"{path}: this relevance model differs from its checksum; restore it, or {MAKE}"
        )
    return Contents(header, tensors)


def checksum(header: Mapping[str, Any], tensors: Tensors) -> str:
    """SHA-256 over the header and the arrays, their names and shapes, hexadecimal."""
    digest = hashlib.sha256(json.dumps(dict(header), sort_keys=True, allow_nan=False).encode())
    for name in sorted(tensors):
        array = tensors[name]
        digest.update(f"\0{name}\0{array.shape}\0".encode())
        digest.update(np.ascontiguousarray(array, "<f4").tobytes())
    return digest.hexdigest()
