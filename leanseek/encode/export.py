"""What the exports of all kinds of models to ONNX share: each is made once, into the cache folder."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from leanseek.encode.int8 import quantise_export
from leanseek.errors import LeanseekError, MissingPackageError, ModelError
from leanseek.files import cache_folder, new_folder

Precision: TypeAlias = Literal["float32", "int8"]

PACKAGES = ("onnx", "onnxruntime", "onnxscript")
"""What making an export and running it needs, besides torch."""


@dataclass(frozen=True, slots=True)
class Export:
    """How the models of one kind are exported.

    `form` and `version` tell the kind's folders from others'. `write(source, target)` makes the folder `target`,
    in float32, of the model in `source`, and keeps it where it gives what torch gives; `carry(full, folder)` copies
    from it what the 8-bit form needs besides graph, tokenizer and settings.
    """

    form: str
    version: int
    write: Callable[[Path, Path], None]
    carry: Callable[[Path, Path], None] | None = None

    def folder(self, fingerprint: str, precision: Precision) -> Path:
        """Where the export of the model with that fingerprint stands, or will stand."""
        name = "-".join(part for part in (fingerprint, self.form, precision, f"v{self.version}") if part)
        return cache_folder() / "onnx" / name

    def made(self, source: Path, fingerprint: str, precision: Precision) -> Path:
        """The folder of the model's export, which is made now where it is missing (some seconds, imports torch).

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

    # Sizes other than 1 keep the exporter from taking them for constants.
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
            program.save(str(path), external_data=False)
    except (LeanseekError, OSError):
        raise
    except Exception as error:  # The exporter's errors are as many as the models.
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
