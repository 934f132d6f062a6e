"""Finds the few columns of a model's activations that are far larger than the rest.

Transformers carry some features of a hundred times the usual size (Dettmers et al., "LLM.int8()", NeurIPS
2022). They stand in the same columns whatever the text is, so a few sequences of random tokens show them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leanseek.encode.export_files import ExportSettings

_LENGTHS = (0, 1, 4, 16, 64, 200)
_FACTOR = 4.0
_MOST = 4


def outlier_columns(
    model: Any, activations: Sequence[str], tokenizer: str, settings: ExportSettings
) -> dict[str, NDArray[np.int64]]:
    """For each activation (..., columns) of an ONNX model, its outlying columns: (c,) int64, ascending, c <= 4.

    A column is outlying if its largest magnitude is over 4 times the median column's. `tokenizer` is the
    content of tokenizer.json.
    """
    import onnx
    import onnxruntime
    from tokenizers import Tokenizer

    probed = onnx.ModelProto()
    probed.CopyFrom(model)
    probed.graph.output.extend(
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in activations
    )
    session = onnxruntime.InferenceSession(probed.SerializeToString(), providers=["CPUExecutionProvider"])

    words = Tokenizer.from_str(tokenizer)
    words.no_padding()
    frame = words.encode("").ids
    generator = np.random.default_rng(0)
    largest = {name: np.zeros(0, np.float32) for name in activations}
    for length in _LENGTHS:
        body = generator.integers(words.get_vocab_size(), size=length)
        half = len(frame) // 2
        ids = np.concatenate([frame[:half], body, frame[half:]]).astype(np.int64)
        ids = ids[None, : settings.max_tokens]
        if not ids.size:
            continue
        given = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        found = session.run(list(activations), {name: given[name] for name in settings.inputs})
        for name, values in zip(activations, found, strict=True):
            peaks = np.abs(values).reshape(-1, values.shape[-1]).max(axis=0)
            largest[name] = np.maximum(largest[name], peaks) if largest[name].size else peaks
    return {name: _outlying(peaks) for name, peaks in largest.items()}


def _outlying(peaks: NDArray[np.float32]) -> NDArray[np.int64]:
    columns = np.argsort(-peaks, kind="stable")[:_MOST]
    return np.sort(columns[peaks[columns] > _FACTOR * np.median(peaks)]).astype(np.int64)
