"""Where a number comes from: versions, commits and digests."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Sequence
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from leanseek.errors import InputError
from leanseek.indexing.catalog import State, checksum

PACKAGES = (
    "numpy",
    "faiss-cpu",
    "PyStemmer",
    "torch",
    "transformers",
    "tokenizers",
    "sentence-transformers",
    "onnxruntime",
    "model2vec",
    "bm25s",
    "rank-bm25",
    "pyserini",
    "ir_measures",
    "pytrec_eval-terrier",
)
"""Distributions whose version can change a number."""


def installed(packages: Sequence[str] = PACKAGES) -> dict[str, str]:
    """Name → version of those that are installed."""
    found: dict[str, str] = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def source_commit() -> str | None:
    """The commit of leanseek's own source, `-dirty` where files were changed; None where it is no clone."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        asked = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return asked.stdout.strip() or None


def utc_now() -> str:
    """The time in UTC as ISO 8601 has it, to the second."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def digest(value: object) -> str:
    """SHA-256 of plain values (what JSON can hold), hexadecimal; the same whatever the order of keys."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def file_checksum(path: Path) -> str:
    """SHA-256 of a file, hexadecimal. Raises InputError where it cannot be read."""
    try:
        return checksum(path)
    except OSError as error:
        raise InputError(f"'{path}' cannot be read: {error.strerror or error}") from error


def index_fingerprint(state: State) -> str:
    """A digest of an index at one generation: its settings, its files' checksums, what was deleted."""
    files = [[segment.number, file.name, file.sha256] for segment in state.segments for file in segment.files]
    deleted = {str(number): ordinals.tolist() for number, ordinals in state.tombstones.items()}
    return digest([state.settings.to_json(), files, deleted])
