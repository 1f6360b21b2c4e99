"""The weights that a .pte holds, read from the file: ExecuTorch's own, and those of XNNPACK's parts.

A .pte is a flatbuffer with segments (`executorch/schema/program.fbs`); each part that XNNPACK computes is a
flatbuffer of its own in it (`xnnpack/serialization/runtime_schema.fbs`), behind a header that says where.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

_XNNPACK_TYPES = {
    "xnn_datatype_fp32": "float32",
    "xnn_datatype_fp16": "float16",
    "xnn_datatype_qint8": "int8",
    "xnn_datatype_quint8": "uint8",
    "xnn_datatype_qcint8": "int8",
    "xnn_datatype_qint32": "int32",
    "xnn_datatype_qcint32": "int32",
}
"""Element types that constants of the precisions which are made here have."""

_SCALAR_TYPES = {6: "float32", 5: "float16", 7: "float64", 1: "int8", 0: "uint8"}
"""Of ExecuTorch's own constants; int64 ones are indices and shapes, no weights."""


_INFINITE = re.compile(rb":\s*(-?)inf\b")


def count(content: bytes) -> tuple[int, int]:
    """Weights, and those that are not zero. A buffer that several layers share counts once."""
    from executorch.exir._serialize._program import deserialize_pte_binary

    file = deserialize_pte_binary(content)
    named = {}
    if file.named_data is not None:
        named = {
            key: bytes(file.named_data.buffers[entry.buffer_index])
            for key, entry in file.named_data.pte_data.items()
        }
    found: dict[object, np.ndarray[Any, Any]] = {}
    for number, plan in enumerate(file.program.execution_plan):
        for delegate_number, delegate in enumerate(plan.delegates):
            payload = _payload(file.program, delegate)
            for key, array in _of_xnnpack(payload, named):
                found[key or (number, delegate_number, len(found))] = array
        for value in plan.values:
            constant = _of_program(file.program, value.val)
            if constant is not None:
                found[constant[0]] = constant[1]
    arrays = found.values()
    return sum(each.size for each in arrays), sum(int(np.count_nonzero(each)) for each in arrays)


def _payload(program: Any, delegate: Any) -> bytes:
    return bytes(program.backend_delegate_data[delegate.processed.index].data)


def _of_program(program: Any, value: Any) -> tuple[object, Any] | None:
    # A tensor that memory planning gave no place, and that has data: a constant.
    index = getattr(value, "data_buffer_idx", 0)
    if not index or getattr(value, "allocation_info", None) is not None or not value.sizes:
        return None
    dtype = _SCALAR_TYPES.get(int(value.scalar_type))
    storage = bytes(program.constant_buffer[index].storage)
    if dtype is None or not storage:
        return None
    return ("program", index), np.frombuffer(storage, dtype)[: int(np.prod(value.sizes))]


def _of_xnnpack(payload: bytes, named: dict[str, bytes]) -> Iterator[tuple[str, Any]]:
    """Key (empty for none) and numbers of each constant of one part."""
    from executorch.backends.xnnpack.serialization.xnnpack_graph_serialize import XNNHeader

    header = XNNHeader.from_bytes(payload[: XNNHeader.EXPECTED_LENGTH])
    graph = _graph(payload[header.flatbuffer_offset : header.flatbuffer_offset + header.flatbuffer_size])
    constants = graph.get("constant_data", [])
    seen: set[int] = set()
    for each in graph.get("xvalues", []):
        value = each["xvalue_union"]
        value = value.get("tensor_value", value)
        index = value.get("constant_buffer_idx", 0)
        dtype = _XNNPACK_TYPES.get(value.get("datatype", ""))
        if not index or index in seen or dtype is None:
            continue
        seen.add(index)
        entry = constants[index]
        key = entry.get("named_key", "")
        begin = header.constant_data_offset + entry.get("offset", 0)
        stored = named[key] if key else payload[begin : begin + entry.get("size", 0)]
        numbers = int(np.prod(value.get("dims", [])))
        yield key, np.frombuffer(stored, dtype)[:numbers]


def _graph(flatbuffer: bytes) -> dict[str, Any]:
    """One part's graph, as flatc, which comes with executorch, turns it into JSON."""
    from executorch.backends.xnnpack.serialization.xnnpack_graph_serialize import _get_schema_bytes
    from executorch.exir._serialize._flatbuffer import _flatc_decompile

    with tempfile.TemporaryDirectory(prefix="edgemeter-pte-") as folder:
        schema, binary = Path(folder) / "schema.fbs", Path(folder) / "graph.bin"
        schema.write_bytes(_get_schema_bytes())
        binary.write_bytes(flatbuffer)
        _flatc_decompile(folder, str(schema), str(binary), ["--raw-binary"])
        # flatc writes infinity as C does, and Python reads it as JavaScript does.
        text = _INFINITE.sub(rb": \1Infinity", (Path(folder) / "graph.json").read_bytes())
        graph: dict[str, Any] = json.loads(text)
        return graph
