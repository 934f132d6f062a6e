"""The folder of a model exported to ONNX: its files, and the session that runs its graph."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from leanseek.errors import MissingPackageError, ModelError, UsageError

MODEL_FILE = "model.onnx"
TOKENIZER_FILE = "tokenizer.json"
SETTINGS_FILE = "settings.json"


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


def open_session(folder: Path, device: str | None) -> Any:
    """The InferenceSession of the export in a folder; `device` is "cpu" (the same as None) or "cuda".

    Raises:
        MissingPackageError: onnxruntime is not installed.
        ModelError: the graph is damaged.
        UsageError: the installed ONNX Runtime does not have the device.
    """
    if importlib.util.find_spec("onnxruntime") is None:
        raise MissingPackageError("Encoding with ONNX Runtime", "onnxruntime", "onnx")
    import onnxruntime

    providers = {None: "CPUExecutionProvider", "cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
    provider = providers.get(device)
    if provider is None or provider not in onnxruntime.get_available_providers():
        raise UsageError(
            f"ONNX Runtime cannot run on the device {device!r} here. Allowed: cpu, and cuda with the package "
            "onnxruntime-gpu. Other devices work with torch: leave out the prefix onnx:"
        )
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(str(folder / MODEL_FILE), options, providers=[provider])
    except Exception as error:  # Its errors have no common base but Exception.
        raise damaged_export(folder, error) from error


def damaged_export(folder: Path, error: Exception) -> ModelError:
    """What to raise where a file of the export in a folder cannot be read."""
    return ModelError(
        f"The exported model in {folder} cannot be read ({error}). Delete that folder; it is made again."
    )
