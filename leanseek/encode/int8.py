"""Exports with products in 8 bits, but for the few columns that are far larger than the rest.

Transformers carry some features of a hundred times the usual size (Dettmers et al., "LLM.int8()", NeurIPS
2022). They are in the same columns whatever the text is, so a few sequences of random tokens show them.

Processors without VNNI add the products of two neighbouring rows of the matrix in 16 bits, and what does not fit there
is cut off without a word. Activations of 7.5 bits leave room for nearly all such pairs, and columns with larger ones
get a coarser scale: the sums are exact, so that vectors are the same on every processor.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leanseek.encode.export import MODEL_FILE, TOKENIZER_FILE, WEIGHTS_FILE, ExportSettings

_LENGTHS = (0, 1, 4, 16, 64, 200)
_FACTOR = 4.0
_MOST = 4
_WEIGHT_LEVELS = 127.0
_LEVELS = 90.0
"""Of activations: with 127 the pairs of weights would lose more than these lose with 90."""
_ZERO = 91
_PAIR = 32767 // (_ZERO + _LEVELS) - 1
"""The most that two neighbouring weights of one sign may come to; 1 is for their rounding."""


def quantise_export(source: Path, target: Path) -> None:
    """Write the float32 export in the folder `source` to the folder `target` with products in 8 bits."""
    import onnx

    settings = ExportSettings.read(source)
    tokenizer = (source / TOKENIZER_FILE).read_text(encoding="utf-8")
    model = onnx.load(str(source / MODEL_FILE))
    products = _products(model.graph)
    activations = list(dict.fromkeys(node.input[0] for node in products))
    _rewrite(model, products, outlier_columns(model, activations, tokenizer, settings))
    onnx.save(model, str(target / MODEL_FILE), save_as_external_data=True, location=WEIGHTS_FILE)
    (target / TOKENIZER_FILE).write_text(tokenizer, encoding="utf-8")
    settings.write(target)


def _products(graph: Any) -> list[Any]:
    """The nodes that multiply an activation by a constant matrix."""
    matrices = {tensor.name for tensor in graph.initializer if len(tensor.dims) == 2}
    return [node for node in graph.node if node.op_type == "MatMul" and node.input[1] in matrices]


def _rewrite(model: Any, products: list[Any], outliers: dict[str, NDArray[np.int64]]) -> None:
    from onnx.helper import make_opsetid
    from onnx.numpy_helper import to_array

    graph = model.graph
    matrices = {tensor.name: tensor for tensor in graph.initializer}
    outputs = {node.output[0] for node in products}
    nodes: list[Any] = []
    constants = _constants()
    ready: set[str] = set()
    for node in graph.node:
        if node.output[0] not in outputs:
            nodes.append(node)
            continue
        (activation, weight), output = node.input, node.output[0]
        columns = outliers[activation]
        if activation not in ready:
            ready.add(activation)
            width = matrices[weight].dims[0]
            _quantise_rows(activation, columns, width, nodes, constants)
        _multiply(activation, to_array(matrices[weight]), columns, output, nodes, constants)

    needed = {name for node in nodes for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in needed]
    del graph.node[:], graph.initializer[:], graph.value_info[:]
    graph.node.extend(nodes)
    graph.initializer.extend(kept + constants)
    if all(entry.domain != "com.microsoft" for entry in model.opset_import):
        model.opset_import.append(make_opsetid("com.microsoft", 1))


def _quantise_rows(
    name: str, outliers: NDArray[np.int64], width: int, nodes: list[Any], constants: list[Any]
) -> None:
    """Add nodes that make of the activation `name` (..., width) its 8-bit form and the scale of each row."""
    from onnx.helper import make_node
    from onnx.numpy_helper import from_array

    regular = name
    if len(outliers):
        # For the largest magnitude alone: what the 8-bit form has in these columns is multiplied by zeros.
        mask = np.ones(width, np.float32)
        mask[outliers] = 0
        constants += [from_array(mask, f"{name}.mask"), from_array(outliers, f"{name}.columns")]
        regular = f"{name}.regular"
        nodes += [
            make_node("Mul", [name, f"{name}.mask"], [regular]),
            make_node("Gather", [name, f"{name}.columns"], [f"{name}.outliers"], axis=-1),
        ]
    # The maximum and the minimum take less time than writing all magnitudes down for one maximum.
    nodes += [
        make_node("ReduceMax", [regular, "int8.last_axis"], [f"{name}.highest"], keepdims=1),
        make_node("ReduceMin", [regular, "int8.last_axis"], [f"{name}.lowest"], keepdims=1),
        make_node("Neg", [f"{name}.lowest"], [f"{name}.deepest"]),
        make_node("Max", [f"{name}.highest", f"{name}.deepest", "int8.least"], [f"{name}.bound"]),
        make_node("Div", ["int8.levels", f"{name}.bound"], [f"{name}.to_levels"]),
        make_node("Mul", [f"{name}.bound", "int8.level"], [f"{name}.scale"]),
        make_node("Mul", [name, f"{name}.to_levels"], [f"{name}.scaled"]),
        make_node("QuantizeLinear", [f"{name}.scaled", "int8.one", "int8.zero"], [f"{name}.uint8"]),
    ]


def _multiply(
    activation: str,
    matrix: NDArray[np.float32],
    outliers: NDArray[np.int64],
    output: str,
    nodes: list[Any],
    constants: list[Any],
) -> None:
    """Add nodes that compute `output`, the product of a quantised activation and a matrix (inputs, outputs)."""
    from onnx.helper import make_node
    from onnx.numpy_helper import from_array

    regular = matrix.copy()
    regular[outliers] = 0
    scale = column_scales(regular)
    levels = np.clip(np.rint(regular / scale), -_WEIGHT_LEVELS, _WEIGHT_LEVELS).astype(np.int8)
    constants += [
        from_array(levels, f"{output}.int8"),
        from_array(scale.astype(np.float32), f"{output}.scale"),
    ]
    # ONNX Runtime applies the columns' scales while the product is still in registers, but takes one
    # scale alone for the rows, so theirs follows as a product of its own.
    inputs = [f"{activation}.uint8", f"{output}.int8", "int8.one", f"{output}.scale", "int8.zero"]
    total = f"{output}.regular" if len(outliers) else output
    nodes += [
        make_node("MatMulIntegerToFloat", inputs, [f"{output}.product"], domain="com.microsoft"),
        make_node("Mul", [f"{output}.product", f"{activation}.scale"], [total]),
    ]
    if len(outliers):
        constants.append(from_array(np.ascontiguousarray(matrix[outliers]), f"{output}.rows"))
        nodes += [
            make_node("MatMul", [f"{activation}.outliers", f"{output}.rows"], [f"{output}.rest"]),
            make_node("Add", [total, f"{output}.rest"], [output]),
        ]


def column_scales(matrix: NDArray[np.float32]) -> NDArray[np.float32]:
    """(outputs,) the scale of each column of a matrix (inputs, outputs) in 8 bits, no product of which overflows."""
    pairs = np.concatenate([matrix, np.zeros((len(matrix) % 2, matrix.shape[1]), np.float32)])
    pairs = pairs.reshape(-1, 2, matrix.shape[1])
    one_sign = np.maximum(np.maximum(pairs, 0).sum(axis=1), np.maximum(-pairs, 0).sum(axis=1)).max(axis=0)
    scales = np.maximum(np.abs(matrix).max(axis=0) / _WEIGHT_LEVELS, one_sign / _PAIR)
    found: NDArray[np.float32] = np.maximum(scales, 1e-14).astype(np.float32)
    return found


def _constants() -> list[Any]:
    from onnx.numpy_helper import from_array

    return [
        from_array(np.array(_LEVELS, np.float32), "int8.levels"),
        from_array(np.array(1 / _LEVELS, np.float32), "int8.level"),
        from_array(np.array(1e-12, np.float32), "int8.least"),
        from_array(np.array(1, np.float32), "int8.one"),
        from_array(np.array(_ZERO, np.uint8), "int8.zero"),
        from_array(np.array([-1], np.int64), "int8.last_axis"),
    ]


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
