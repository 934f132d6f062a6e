"""Digests of model folders, so that vectors of different models are never mixed."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from leanseek.encode.folders import cache_folder

_SETTINGS = (
    "config.json",
    "config_sentence_transformers.json",
    "modules.json",
    "sentence_*_config.json",
    "joint_reader_config.json",
    "artifact.metadata",
    "tokenizer.json",
)
_WEIGHTS = ("*.safetensors", "*.bin")
_VOLATILE = frozenset({"_name_or_path", "__version__", "transformers_version", "padding", "truncation"})


def file_digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal.

    The digest is remembered under the file's size and time of change, since hashing a large model costs
    more than answering a query.
    """
    status = path.stat()
    key = f"{path.resolve()}|{status.st_size}|{status.st_mtime_ns}"
    note = cache_folder() / "digests" / hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()
    try:
        known = note.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        known = ""
    if len(known) == 64:
        return known
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    _remember(note, digest.hexdigest())
    return digest.hexdigest()


def model_fingerprint(folder: Path) -> str:
    """Hex digest (64 characters) of what shapes a model's vectors: weights, tokenizer, pooling, prompts.

    Settings are compared by meaning: names, versions, key order and white space do not count, so that two
    copies of one model have one fingerprint.
    """
    digest = hashlib.sha256()
    for path in _shaping_files(folder):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0")
        digest.update(_meaning(path) if path.suffix == ".json" else file_digest(path).encode())
        digest.update(b"\0")
    return digest.hexdigest()


def derived_fingerprint(source: str, change: str) -> str:
    """Hex digest of a model made from the one with fingerprint `source` by `change`."""
    return hashlib.sha256(f"{source}|{change}".encode()).hexdigest()


def _shaping_files(folder: Path) -> Iterator[Path]:
    for part in _module_folders(folder):
        for pattern in _SETTINGS:
            yield from sorted(part.glob(pattern))
        # A folder may hold the same weights twice; the loaders prefer safetensors.
        for pattern in _WEIGHTS:
            weights = sorted(part.glob(pattern))
            if weights:
                yield from weights
                break
        if not (part / "tokenizer.json").is_file():
            yield from sorted(p for name in ("vocab.*", "merges.txt", "*.model") for p in part.glob(name))


def _module_folders(folder: Path) -> list[Path]:
    listing = folder / "modules.json"
    if not listing.is_file():
        return [folder]
    paths = {folder / entry.get("path", "") for entry in json.loads(listing.read_text(encoding="utf-8"))}
    return sorted(path for path in paths | {folder} if path.is_dir())


def _meaning(path: Path) -> bytes:
    settings = json.loads(path.read_text(encoding="utf-8"))
    if isinstance(settings, dict):
        settings = {key: value for key, value in settings.items() if key not in _VOLATILE}
    return json.dumps(settings, sort_keys=True).encode()


def _remember(note: Path, digest: str) -> None:
    try:
        note.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=note.parent)
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(digest)
        Path(temporary).replace(note)
    except OSError:
        # A cache that cannot be written costs time, nothing else.
        return
