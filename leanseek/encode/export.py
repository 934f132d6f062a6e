"""Models exported to ONNX: each is made once, into a folder of the cache, and run by ONNX Runtime."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from leanseek.encode.device import threads_wanted
from leanseek.errors import LeanseekError, MissingPackageError, ModelError, UsageError
from leanseek.files import cache_folder, new_folder

MODEL_FILE = "model.onnx"
WEIGHTS_FILE = f"{MODEL_FILE}.data"
"""Beside the graph, as ONNX Runtime maps such a file into memory, and copies weights that are inside the graph."""
TOKENIZER_FILE = "tokenizer.json"
SETTINGS_FILE = "settings.json"

PACKAGES = ("onnx", "onnxruntime", "onnxscript")
"""What making an export and running it needs, besides torch."""

INT8 = "int8-3"
"""What folders of the 8-bit form are named by; its number changes with `leanseek.encode.int8`."""

Precision: TypeAlias = Literal["float32", "int8"]


@dataclass(frozen=True, slots=True)
class Export:
    """How the models of one kind are exported.

    `form` and `version` are part of the folders' names. `write(source, target)` makes the folder `target`, in float32,
    from the model in `source`, after checking that it gives what torch gives; `carry(full, folder)` copies from it
    what the 8-bit form needs besides graph, tokenizer and settings.
    """

    form: str
    version: int
    write: Callable[[Path, Path], None]
    carry: Callable[[Path, Path], None] | None = None

    def folder(self, fingerprint: str, precision: Precision) -> Path:
        """The folder for the export of the model with that fingerprint."""
        numbers = INT8 if precision == "int8" else precision
        name = "-".join(part for part in (fingerprint, self.form, numbers, f"v{self.version}") if part)
        return cache_folder() / "onnx" / name

    def made(self, source: Path, fingerprint: str, precision: Precision) -> Path:
        """The folder of the model's export, which is made where it is missing (some seconds, imports torch).

        Raises:
            MissingPackageError: one of `PACKAGES` or torch is not installed.
            ModelError: the model cannot be exported.
            StorageError: the cache folder cannot be written.
        """
        target = self.folder(fingerprint, precision)
        if target.is_dir():
            return target
        for package in PACKAGES:
            if importlib.util.find_spec(package) is None:
                raise MissingPackageError("Exporting a model to ONNX", package, "onnx")
        if precision == "float32":
            self.write(source, target)
            return target
        from leanseek.encode.int8 import quantise_export

        full = self.made(source, fingerprint, "float32")
        with new_folder(target) as folder:
            quantise_export(full, folder)
            if self.carry is not None:
                self.carry(full, folder)
        return target


def write_graph(
    network: Any,
    inputs: Sequence[str],
    outputs: Sequence[str],
    path: Path,
    unsupported: Callable[[str], ModelError],
) -> None:
    """Write a torch module as a graph from int64 arrays (n, length) named `inputs` to arrays named `outputs`.

    Raises what `unsupported` makes of the reason why the module cannot be exported.
    """
    import torch

    # Sizes other than 1, which the exporter would take for constants.
    example = tuple(torch.ones((2, 7), dtype=torch.int64) for _ in inputs)
    rows, columns = torch.export.Dim("rows", min=1), torch.export.Dim("tokens", min=1)
    try:
        with _quiet():
            program = torch.onnx.export(
                network,
                example,
                input_names=list(inputs),
                output_names=list(outputs),
                dynamic_shapes=(tuple({0: rows, 1: columns} for _ in inputs),),
                dynamo=True,
                verbose=False,
            )
            if program is None:
                raise RuntimeError("the exporter gave no program")
            program.save(str(path), external_data=True)
    except (LeanseekError, OSError):
        raise
    except Exception as error:  # The exporter's errors have no common base.
        raise unsupported(" ".join(str(error).split())[:300]) from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


@dataclass(frozen=True, slots=True)
class ExportSettings:
    """What an exported model needs besides its graph and its tokenizer.

    `inputs` are the graph's input names; padding is `pad_id`, on the left where `pad_left`.
    """

    dimensions: int
    max_tokens: int | None
    query_prompt: str
    document_prompt: str
    inputs: tuple[str, ...]
    pad_id: int
    pad_left: bool

    def write(self, folder: Path) -> None:
        """Write settings.json into an existing folder."""
        fields = {name: getattr(self, name) for name in self.__slots__}
        (folder / SETTINGS_FILE).write_text(json.dumps(fields, indent=1), encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> ExportSettings:
        """Read settings.json.

        Raises:
            ModelError: it cannot be read.
        """
        try:
            fields = json.loads((folder / SETTINGS_FILE).read_text(encoding="utf-8"))
            return cls(**{**fields, "inputs": tuple(fields["inputs"])})
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise damaged_export(folder, error) from error


def read_tokenizer(folder: Path) -> str:
    """The content of the export's tokenizer.json.

    Raises:
        ModelError: it cannot be read.
    """
    try:
        return (folder / TOKENIZER_FILE).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise damaged_export(folder, error) from error


def open_session(folder: Path, device: str | None, spinning: bool = True) -> Any:
    """The InferenceSession of the export in a folder; `device` is "cpu" (the same as None), "cuda" or "cuda:1".

    Its idle threads spin, which is fastest, or sleep, which leaves the processors to others.

    Raises:
        MissingPackageError: onnxruntime is not installed.
        ModelError: the graph is damaged.
        UsageError: the installed ONNX Runtime does not have the device.
    """
    if importlib.util.find_spec("onnxruntime") is None:
        raise MissingPackageError("Encoding with ONNX Runtime", "onnxruntime", "onnx")
    import onnxruntime

    kind, _, number = (device or "cpu").partition(":")
    provider = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}.get(kind)
    if provider not in onnxruntime.get_available_providers() or not (number or "0").isdecimal():
        raise UsageError(
            f"ONNX Runtime cannot run on the device {device!r} here. Allowed: cpu, and cuda with the package "
            "onnxruntime-gpu: pip uninstall onnxruntime && pip install 'leanseek[gpu]'. Other devices work with torch: "
            "leave out the prefix onnx:"
        )
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    if (wanted := threads_wanted()) is not None:
        options.intra_op_num_threads = wanted
    if not spinning:
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        chosen = (provider, {"device_id": number or "0"}) if kind == "cuda" else provider
        session = onnxruntime.InferenceSession(str(folder / MODEL_FILE), options, providers=[chosen])
    except Exception as error:  # Its errors have no common base but Exception.
        raise damaged_export(folder, error) from error
    if provider not in session.get_providers():
        raise UsageError(
            f"ONNX Runtime cannot run on the device {device!r}: it finds no card, or not the libraries of CUDA and "
            "cuDNN that it was built for, and would run on the CPU. Leave the device out, or leave out the prefix onnx:"
        )
    return session


def damaged_export(folder: Path, error: Exception) -> ModelError:
    """The error for a file of an export that cannot be read."""
    return ModelError(
        f"The exported model in {folder} cannot be read ({error}). Delete that folder; it is made again."
    )
