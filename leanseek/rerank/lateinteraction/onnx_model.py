"""The ONNX Runtime back end for bi-encoders: reads texts without importing torch."""

from __future__ import annotations

import json
from pathlib import Path

from leanseek.encode.export_files import ExportSettings, damaged_export, open_session, read_tokenizer
from leanseek.rerank.lateinteraction.biencoder import BiEncoderTokens, Ran
from leanseek.types import Int64Array

SPECIAL_FILE = "special.json"

# As with encoders: what stays in the processor's cache is worth more than long matrix products.
_BUDGET = 1024
_BUDGET_ACCELERATOR = 65536


class OnnxTokenModel(BiEncoderTokens):
    """The tokens of a bi-encoder exported by `export`, run by ONNX Runtime."""

    def __init__(self, name: str, folder: Path, fingerprint: str, device: str | None = None) -> None:
        """Load the export in `folder`; `device` is "cpu" (the same as None) or "cuda".

        Raises MissingPackageError where onnxruntime is absent, ModelError for a damaged export, UsageError for a
        device that the installed ONNX Runtime does not have.
        """
        settings = ExportSettings.read(folder)
        self._session = open_session(folder, device)
        definition = read_tokenizer(folder)
        try:
            special = [int(one) for one in json.loads((folder / SPECIAL_FILE).read_text(encoding="utf-8"))]
        except (OSError, ValueError, TypeError) as error:
            raise damaged_export(folder, error) from error
        budget = _BUDGET if device in (None, "cpu") else _BUDGET_ACCELERATOR
        super().__init__(name, fingerprint, definition, settings, special, budget)

    def _run(self, inputs: dict[str, Int64Array]) -> Ran:
        return Ran(*self._session.run(["tokens", "text_vectors"], inputs))
