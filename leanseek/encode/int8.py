"""Rewrites an ONNX graph so that its weight matrices are multiplied in 8-bit integers.

Both sides of a product are quantised: a weight matrix once, with a scale a column; an activation as it
comes, with a scale a token, as in ZeroQuant (Yao et al., NeurIPS 2022). ONNX Runtime's own dynamic
quantisation has one scale for a whole batch, so that a text's vector would depend on its neighbours.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

_LEVELS = 127.0
_ZERO = 128


def quantised(source: Path, target: Path) -> None:
    """Write the float32 model `source` to `target` with every product by a constant matrix in 8 bits."""
    import onnx

    model = onnx.load(str(source))
    graph = model.graph
    weights = {tensor.name: tensor for tensor in graph.initializer}
    products = [n for n in graph.node if n.op_type == "MatMul" and n.input[1] in weights]
    products = [n for n in products if len(weights[n.input[1]].dims) == 2]
    chosen = {id(n) for n in products}
    replaced = {n.input[1] for n in products}

    nodes: list[Any] = []
    rows: set[str] = set()
    for node in graph.node:
        if id(node) not in chosen:
            nodes.append(node)
            continue
        if node.input[0] not in rows:
            rows.add(node.input[0])
            nodes.extend(_quantise_rows(node.input[0]))
        nodes.extend(_multiply(node.input[0], node.input[1], node.output[0]))

    added = _constants()
    for name in sorted(replaced):
        added.extend(_quantise_columns(name, onnx.numpy_helper.to_array(weights[name])))
    still_used = {name for node in nodes for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in still_used]
    del graph.node[:], graph.initializer[:], graph.value_info[:]
    graph.node.extend(nodes)
    graph.initializer.extend(kept + added)
    if all(entry.domain != "com.microsoft" for entry in model.opset_import):
        model.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1))
    onnx.save(model, str(target))


def _quantise_columns(name: str, matrix: Any) -> list[Any]:
    """A weight matrix (inputs, outputs) in signed 8 bits, and the scale (outputs,) of each column."""
    from onnx.numpy_helper import from_array

    scale = np.maximum(np.abs(matrix).max(axis=0), 1e-12) / _LEVELS
    rounded = np.clip(np.rint(matrix / scale), -_LEVELS, _LEVELS).astype(np.int8)
    return [from_array(rounded, f"{name}.int8"), from_array(scale.astype(np.float32), f"{name}.scale")]


def _quantise_rows(name: str) -> list[Any]:
    """Nodes that make of an activation (..., inputs) its unsigned 8-bit form and the scale of each row."""
    from onnx.helper import make_node

    return [
        make_node("Abs", [name], [f"{name}.abs"]),
        make_node("ReduceMax", [f"{name}.abs", "int8.last_axis"], [f"{name}.largest"], keepdims=1),
        make_node("Max", [f"{name}.largest", "int8.least"], [f"{name}.bound"]),
        make_node("Div", ["int8.levels", f"{name}.bound"], [f"{name}.to_levels"]),
        make_node("Mul", [f"{name}.bound", "int8.level"], [f"{name}.scale"]),
        make_node("Mul", [name, f"{name}.to_levels"], [f"{name}.scaled"]),
        make_node("QuantizeLinear", [f"{name}.scaled", "int8.one", "int8.zero"], [f"{name}.uint8"]),
    ]


def _multiply(activation: str, weight: str, output: str) -> list[Any]:
    from onnx.helper import make_node

    # ONNX Runtime applies the columns' scales while the product is still in registers, but takes one
    # scale alone for the rows, so theirs follows as a product of its own.
    inputs = [f"{activation}.uint8", f"{weight}.int8", "int8.one", f"{weight}.scale", "int8.zero"]
    return [
        make_node("MatMulIntegerToFloat", inputs, [f"{output}.columns"], domain="com.microsoft"),
        make_node("Mul", [f"{output}.columns", f"{activation}.scale"], [output]),
    ]


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
