"""A cross-encoder as its difference to the encoder that it was grown from: a thirtieth of its size."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from leanseek.encode import DEFAULT_MODEL, ResolvedModel, resolve_model
from leanseek.encode.models import file_digest
from leanseek.encode.registry import Backends, split_prefix
from leanseek.errors import MissingPackageError, ModelError
from leanseek.files import cache_folder, new_folder
from leanseek.rerank.crossencoder.calibration import Calibration
from leanseek.rerank.crossencoder.cross_encoder import CrossEncoderReranker
from leanseek.rerank.crossencoder.layout import PairModel
from leanseek.rerank.crossencoder.onnx_pairs import EXPORT, OnnxPairModel
from leanseek.rerank.crossencoder.torch_pairs import TorchPairModel
from leanseek.types import Float32Array

PACKAGED = "leanseek/joint-MiniLM-L6"
"""The name of the cross-encoder that comes with the package."""

HOME = Path(__file__).with_name("minilm")
"""Where it lies in the package."""
_PACKED = "difference.safetensors"
_WEIGHTS = "model.safetensors"
_TOKENIZER = "tokenizer.json"
_SCALE = "/scale"
_LEVELS = 127

Tensors = dict[str, Float32Array]


def packaged(folder: Path | None = None) -> ResolvedModel:
    """The packaged cross-encoder as a model's folder, which is made now where it is missing (a second or two).

    `folder` is where it stands, `models` in the cache folder by default.

    Raises ModelError where the default encoder is not here or not the one it was grown from; MissingPackageError,
    StorageError.
    """
    name = f"joint-MiniLM-L6-{file_digest(HOME / _PACKED)[:16]}"
    target = (folder or cache_folder() / "models") / name
    if not target.is_dir():
        unpack(HOME, target)
    return ResolvedModel(PACKAGED, target, "package")


def pack(model: Path, target: Path, base: str = DEFAULT_MODEL) -> None:
    """Write the folder `target` from the one of a `JointReader` grown from `base`: small files, and the difference.

    The layers that read together differ little from those they were copied from, so 8 bits hold the difference:
    a scale for each row of a matrix, rounding errors of at most 1 part in 254 of its greatest change. All else
    that was trained stays in float32. What is as in `base` is left out.

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
    # Not save_file, whose files none but their owner may read.
    (target / _PACKED).write_bytes(save(packed, about))


def unpack(packed: Path, target: Path) -> None:
    """Write the model's folder `target` from what `pack` made.

    Raises ModelError where its base is not here or another, or the difference cannot be read; StorageError.
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
    """What the layers that read together were before training, by their names there."""
    count = 1 + max(int(name.split(".")[2]) for name in base if name.startswith("encoder.layer."))
    first = count - layers
    copied = {}
    for name, tensor in base.items():
        if name.startswith("encoder.layer."):
            _, _, number, rest = name.split(".", 3)
            if int(number) >= first:
                copied[f"joint.{int(number) - first}.{rest}"] = tensor
    return copied


DEFAULT_CROSS_ENCODER = PACKAGED
ADVICE = (
    "Give the folder of a cross-encoder, as cross-encoder:FOLDER, take the one that comes with the package, as "
    "cross-encoder alone, or make one: leanseek train cross-encoder"
)

_BACKENDS: Backends[PairModel] = Backends(TorchPairModel, OnnxPairModel, EXPORT)


def load(
    model: str | None, device: str | None = None, *, long: str = "maxp", cache: bool = True
) -> CrossEncoderReranker:
    """The re-ranker for `cross-encoder:MODEL`, where MODEL is, by default `DEFAULT_CROSS_ENCODER`,

    - a folder or name of a sentence-transformers CrossEncoder with one label: ONNX Runtime in float32 where the
      CPU is to be used and the model can be exported, else torch; the scores are the same within 1e-4;
    - `torch:` and such a folder or name: torch in any case;
    - `onnx:` or `onnx-int8:` and such a folder or name: ONNX Runtime in float32, or with 8-bit products.

    `device` is "cpu", "cuda" or another of torch's; None takes the best there is. `long` is how passages are read
    that do not fit: maxp, firstp, top2 or extract. `cache=False` neither uses nor fills the score cache. Hits get
    a probability where the model's folder holds a calibration.

    Raises ModelError, MissingPackageError, StorageError or UsageError.
    """
    prefix, name = split_prefix(model or DEFAULT_CROSS_ENCODER)
    resolved = _resolve(name)
    loaded = _BACKENDS.load(prefix, resolved, device)
    # A back end's first run costs several times a later one, which would be taken for its pace.
    loaded.logits([loaded.layout.join(np.zeros(2, np.int32), np.zeros(2, np.int32))])
    calibration = Calibration.of(resolved.path)
    return CrossEncoderReranker(loaded, long=long, calibration=calibration, cache=cache)


def _resolve(name: str) -> ResolvedModel:
    return packaged() if name == PACKAGED else resolve_model(name, ADVICE)
