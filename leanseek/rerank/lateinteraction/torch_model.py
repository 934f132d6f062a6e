"""The torch back end for bi-encoders, on any device that torch knows."""

from __future__ import annotations

from pathlib import Path

from leanseek.encode.onnx_export import settings_of
from leanseek.encode.sentence import load_model, tokenizer_definition
from leanseek.errors import ModelError
from leanseek.rerank.lateinteraction.biencoder import BiEncoderTokens, Ran, network_of, special_of
from leanseek.types import Int64Array

_BUDGET = 2048
_BUDGET_ACCELERATOR = 65536


class TorchTokenModel(BiEncoderTokens):
    """The tokens of a model that sentence-transformers loads, in float32."""

    def __init__(self, name: str, folder: Path, fingerprint: str, device: str | None = None) -> None:
        """Load the model in `folder`; `device` is a torch device, None for the best there is.

        Raises MissingPackageError where sentence-transformers is absent, ModelError for a folder that holds no model
        with tokens in context.
        """
        model = load_model(folder, device)
        if getattr(model[0], "auto_model", None) is None:
            raise ModelError(
                f"The model in {folder} gives words the same vector wherever they stand; late interaction compares "
                "tokens in context. Choose a transformer, such as sentence-transformers/all-MiniLM-L6-v2"
            )
        self._device = model.device
        settings = settings_of(model, int(model.get_embedding_dimension()))
        self._network = network_of(model, settings.inputs)
        budget = _BUDGET if model.device.type == "cpu" else _BUDGET_ACCELERATOR
        definition = tokenizer_definition(model)
        super().__init__(name, fingerprint, definition, settings, special_of(model), budget)

    def _run(self, inputs: dict[str, Int64Array]) -> Ran:
        import torch

        with torch.inference_mode():
            given = [torch.from_numpy(values).to(self._device) for values in inputs.values()]
            tokens, texts = self._network(*given)
        return Ran(tokens.float().cpu().numpy(), texts.float().cpu().numpy())
