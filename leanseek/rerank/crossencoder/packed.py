"""The packaged cross-encoder: its difference to the encoder that it was grown from, a thirtieth of its size."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from leanseek.encode import DEFAULT_MODEL, ResolvedModel, resolve_model
from leanseek.encode.models import file_digest
from leanseek.errors import MissingPackageError, ModelError
from leanseek.files import cache_folder, new_folder
from leanseek.types import Float32Array

PACKAGED = "leanseek/joint-MiniLM-L6"
"""The name of the cross-encoder that comes with the package."""

HOME = Path(__file__).with_name("minilm")
"""Its folder in the package."""

_PACKED = "difference.safetensors"
_WEIGHTS = "model.safetensors"
_TOKENIZER = "tokenizer.json"
_SCALE = "/scale"
_LEVELS = 127

Tensors = dict[str, Float32Array]


def packaged(folder: Path | None = None) -> ResolvedModel:
    """The packaged cross-encoder as a model's folder, which is made where it is missing (a second or two).

    That is in `folder`, by default `models` in the cache folder.

    Raises ModelError where the default encoder is missing or not the one it was grown from; MissingPackageError,
    StorageError.
    """
    name = f"joint-MiniLM-L6-{file_digest(HOME / _PACKED)[:16]}"
    target = (folder or cache_folder() / "models") / name
    if not target.is_dir():
        unpack(HOME, target)
    return ResolvedModel(PACKAGED, target, "package")


def pack(model: Path, target: Path, base: str = DEFAULT_MODEL) -> None:
    """Write the folder `target` from the one of a `JointReader` grown from `base`: small files, and the difference.

    The layers that read both texts together differ little from those they were copied from, so 8 bits hold the
    difference: a scale for each row of a matrix, rounding errors of at most 1 part in 254 of its greatest change.
    Other trained weights stay in float32; those equal to the `base` are left out.

    Raises ModelError where `base` is not what the model was grown from.
    """
    origin = resolve_model(base).path / _WEIGHTS
    layers = json.loads((model / "joint_reader_config.json").read_text(encoding="utf-8"))["joint_layers"]
    known, trained = _read(origin), _read(model / _WEIGHTS)
    copied = _copied(known, layers)
    packed: dict[str, np.ndarray[tuple[int, ...], np.dtype[np.generic]]] = {}
    for name, tensor in trained.items():
        if name.startswith("model."):
            if not np.array_equal(tensor, known.get(name.removeprefix("model."), np.empty(0))):
                raise ModelError(f"the model in {model} was not grown from {base}: its {name} is another")
        elif name in copied and tensor.ndim == 2:
            change = tensor - copied[name]
            scale = np.maximum(np.abs(change).max(1, keepdims=True) / _LEVELS, np.finfo(np.float32).tiny)
            packed[name] = np.rint(change / scale).astype(np.int8)
            packed[name + _SCALE] = scale
        else:
            packed[name] = tensor
    from safetensors.numpy import save

    left_out = shutil.ignore_patterns(_WEIGHTS, _TOKENIZER, "README.md")
    shutil.copytree(
        model,
        target,
        dirs_exist_ok=True,
        ignore=lambda folder, names: left_out(folder, names) if Path(folder) == model else set(),
        copy_function=shutil.copyfile,
    )
    about = {"base": base, "sha256": file_digest(origin), "layers": str(layers)}
    # save_file makes files that only their owner may read.
    (target / _PACKED).write_bytes(save(packed, about))


def unpack(packed: Path, target: Path) -> None:
    """Write the model's folder `target` from what `pack` made.

    Raises ModelError where its base is missing or another one, or the difference cannot be read; StorageError.
    """
    try:
        from safetensors import SafetensorError, safe_open
        from safetensors.numpy import save_file
    except ImportError as error:
        raise MissingPackageError("Re-ranking with a cross-encoder", "safetensors", "encode") from error

    try:
        with safe_open(packed / _PACKED, "numpy") as file:
            about: Mapping[str, str] = file.metadata()
            stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (no mapping)
        base, digest, layers = about["base"], about["sha256"], int(about["layers"])
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{packed / _PACKED} cannot be read ({error}); install leanseek again") from error
    home = resolve_model(base).path
    found = file_digest(home / _WEIGHTS)
    if found != digest:
        raise ModelError(
            f"the cross-encoder was grown from {base} with the SHA-256 {digest}; {home / _WEIGHTS} has {found}. "
            "Delete that copy of the model, or name another cross-encoder: cross-encoder:FOLDER"
        )
    known = _read(home / _WEIGHTS)
    copied = _copied(known, layers)
    tensors: Tensors = {
        f"model.{name}": tensor for name, tensor in known.items() if not name.startswith("pooler.")
    }
    for name, tensor in stored.items():
        if name + _SCALE in stored:
            tensors[name] = copied[name] + tensor.astype(np.float32) * stored[name + _SCALE]
        elif not name.endswith(_SCALE):
            tensors[name] = tensor
    with new_folder(target) as folder:
        shutil.copytree(packed, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(_PACKED))
        shutil.copyfile(home / _TOKENIZER, folder / _TOKENIZER)
        save_file(tensors, folder / _WEIGHTS)


def _read(path: Path) -> Tensors:
    """The float tensors of a file."""
    from safetensors.numpy import load_file

    return {name: tensor for name, tensor in load_file(path).items() if tensor.dtype == np.float32}


def _copied(base: Tensors, layers: int) -> Tensors:
    """The weights that the joint layers had before training, by their names in the `JointReader`."""
    count = 1 + max(int(name.split(".")[2]) for name in base if name.startswith("encoder.layer."))
    first = count - layers
    copied = {}
    for name, tensor in base.items():
        if name.startswith("encoder.layer."):
            _, _, number, rest = name.split(".", 3)
            if int(number) >= first:
                copied[f"joint.{int(number) - first}.{rest}"] = tensor
    return copied
