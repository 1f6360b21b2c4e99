"""What becomes of a table's columns: inputs, labels and the names of classes.

- Pictures, which Hugging Face's `Image` stores as {bytes, path} and others as bytes: (rows, height, width,
  channels), uint8.
- Lists of numbers, of one length in every row, lists of lists, and Arrow's tensors: (rows, …).
- Plain numbers: where there are nothing else but them, all together are one input (rows, columns); beside
  other inputs each is one, (rows, 1).

Labels are whole numbers, or text, of which the sorted names are the classes. Names that Hugging Face's
`ClassLabel` left in the table's metadata are kept.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgemeter_converters.datasets.pictures import Picture, decode
from edgemeter_converters.datasets.refusal import picture_size
from edgemeter_protos.v1 import lab_pb2

LABEL_COLUMN = "label"

_HUGGING_FACE = b"huggingface"
"""Key of the schema's metadata under which `datasets` keeps the features, as JSON."""


def to_arrays(
    tables: dict[str, Any], reading: lab_pb2.DataReading, file_name: str
) -> dict[str, NDArray[Any]]:
    """Arrays as `named_arrays` wants them.

    Args:
        tables: by "x", or by "x_train" and "x_test": `pyarrow.Table`s.

    Raises:
        ValueError: which column is missing or can't be used, and why.
        ConversionError: a picture can't be read.
    """
    first = next(iter(tables.values()))
    for table in tables.values():
        if table.schema.names != first.schema.names:
            raise ValueError(
                f"its splits have different columns: {', '.join(first.schema.names)}; "
                f"{', '.join(table.schema.names)}"
            )
    label = _label_column(first.schema.names, reading)
    inputs = _input_columns(first.schema.names, reading, label)
    arrays = _inputs(tables, inputs, reading, file_name)
    if label:
        arrays |= _labels(tables, label)
    return arrays


def _label_column(names: list[str], reading: lab_pb2.DataReading) -> str:
    """The label's column; empty where there is none."""
    wanted = reading.label_column or LABEL_COLUMN
    if wanted in names:
        return wanted
    if reading.label_column:
        raise ValueError(f"it has no column {wanted!r} (there: {', '.join(names)})")
    return ""


def _input_columns(names: list[str], reading: lab_pb2.DataReading, label: str) -> list[str]:
    for name in reading.input_columns:
        if name not in names:
            raise ValueError(f"it has no column {name!r} (there: {', '.join(names)})")
    inputs = list(reading.input_columns) or [name for name in names if name != label]
    if not inputs:
        raise ValueError(f"it has no column beside {label!r}: there is nothing to put into a model")
    repeated = next((name for name in inputs if names.count(name) > 1 or inputs.count(name) > 1), None)
    if repeated:
        raise ValueError(f"column {repeated!r} is there, or asked for, twice: each input has a column")
    return inputs


def _inputs(
    tables: dict[str, Any], names: list[str], reading: lab_pb2.DataReading, file_name: str
) -> dict[str, NDArray[Any]]:
    size = picture_size(reading)
    by_column: list[dict[str, NDArray[Any]]] = []
    pictures = 0
    for name in names:
        stored = {split: _combined(table.column(name)) for split, table in tables.items()}
        if all(_holds_pictures(array.type) for array in stored.values()):
            pictures += 1
            by_column.append(_pictures(name, stored, size, file_name))
        else:
            by_column.append({split: _dense(name, array) for split, array in stored.items()})
    if size and not pictures:
        raise ValueError("none of its columns holds pictures: leave --image-size out")
    made: dict[str, NDArray[Any]] = {}
    for split in tables:
        arrays = [column[split] for column in by_column]
        if all(array.ndim == 1 for array in arrays):
            arrays = [np.stack(arrays, axis=1)]
        arrays = [array[:, None] if array.ndim == 1 else array for array in arrays]
        numbered = [split] if len(arrays) == 1 else [f"{split}_{number}" for number in range(len(arrays))]
        made |= dict(zip(numbered, arrays, strict=True))
    return made


def _combined(column: Any) -> Any:
    """One array of all chunks, in its storage type, decoded where it was encoded as a dictionary."""
    import pyarrow

    array = pyarrow.concat_arrays(column.chunks) if column.num_chunks != 1 else column.chunk(0)
    while isinstance(array.type, pyarrow.BaseExtensionType) and not _is_tensor(array.type):
        array = array.storage
    return array.dictionary_decode() if pyarrow.types.is_dictionary(array.type) else array


def _holds_pictures(kind: Any) -> bool:
    from pyarrow import types

    if types.is_struct(kind):
        return any(field.name == "bytes" and _is_binary(field.type) for field in kind)
    return _is_binary(kind)


def _is_tensor(kind: Any) -> bool:
    import pyarrow

    return isinstance(kind, pyarrow.FixedShapeTensorType)


def _is_binary(kind: Any) -> bool:
    from pyarrow import types

    return any((types.is_binary(kind), types.is_large_binary(kind), types.is_binary_view(kind)))


def _pictures(
    name: str, stored: dict[str, Any], size: tuple[int, int] | None, file_name: str
) -> dict[str, NDArray[Any]]:
    """Decoded together: whether they are grey, and of one size, is asked of all splits."""
    pictures: list[Picture] = []
    for split, array in stored.items():
        rows = array.field("bytes") if array.type.num_fields else array
        where = "" if split == "x" else f" of {split.removeprefix('x_')}"
        if array.null_count or rows.null_count:
            missing = next(
                row for row in range(len(rows)) if not (array[row].is_valid and rows[row].is_valid)
            )
            raise ValueError(
                f"column {name!r} has no bytes in row {missing}{where}: pictures are stored within the file, "
                "a path alone can't be followed here"
            )
        pictures += [
            Picture(name=f"{name}, row {row}{where}", content=rows[row].as_py) for row in range(len(rows))
        ]
    decoded = decode(pictures, size, file_name)
    ends = np.cumsum([len(array) for array in stored.values()])[:-1]
    return dict(zip(stored, np.split(decoded, ends), strict=True))


def _dense(name: str, array: Any) -> NDArray[Any]:
    """(rows, …): nested lists of one shape, or plain numbers."""
    from pyarrow import types

    shape = [len(array)]
    tensors = array if _is_tensor(array.type) else None
    array = array if tensors is None else array.storage
    while True:
        if array.null_count:
            raise ValueError(f"column {name!r} has missing values ({array.null_count}): fill or drop them")
        if types.is_fixed_size_list(array.type):
            size = array.type.list_size
        elif types.is_list(array.type) or types.is_large_list(array.type):
            lengths = np.diff(array.offsets.to_numpy())
            if lengths.size and lengths.min() != lengths.max():
                raise ValueError(
                    f"column {name!r} has lists of {lengths.min()} to {lengths.max()} numbers: "
                    "inputs are of one shape; pad or cut them"
                )
            size = int(lengths[0]) if lengths.size else 0
        else:
            break
        shape.append(size)
        array = array.flatten()
    if not (types.is_integer(array.type) or types.is_floating(array.type) or types.is_boolean(array.type)):
        raise ValueError(
            f"column {name!r} holds {array.type}: inputs are numbers or pictures; "
            "name those to use with --input-column"
        )
    if tensors is not None:  # whose dimensions may be stored in another order
        return np.asarray(tensors.to_numpy_ndarray())
    return np.asarray(array.to_numpy(zero_copy_only=False)).reshape(shape)


def _labels(tables: dict[str, Any], name: str) -> dict[str, NDArray[Any]]:
    from pyarrow import types

    stored = {split: _combined(table.column(name)) for split, table in tables.items()}
    if all(types.is_string(array.type) or types.is_large_string(array.type) for array in stored.values()):
        texts = {split: array.to_pylist() for split, array in stored.items()}
        if any(text is None for column in texts.values() for text in column):
            raise ValueError(f"column {name!r} has missing values: drop the rows without a label")
        class_names = sorted({text for column in texts.values() for text in column})
        labels = {text: label for label, text in enumerate(class_names)}
        arrays = {
            split: np.array([labels[text] for text in column], np.int64) for split, column in texts.items()
        }
    else:
        arrays = {split: _dense(name, array) for split, array in stored.items()}
        class_names = _declared_names(next(iter(tables.values())), name)
    made = {split.replace("x", "y", 1): array for split, array in arrays.items()}
    if class_names:
        made["class_names"] = np.array(class_names)
    return made


def _declared_names(table: Any, column: str) -> list[str]:
    """Those of a `ClassLabel`; empty where the metadata tells none."""
    try:
        told: Any = json.loads((table.schema.metadata or {})[_HUGGING_FACE])
        names = told["info"]["features"][column]["names"]
    except (KeyError, TypeError, ValueError, RecursionError):
        return []
    return names if isinstance(names, list) and all(isinstance(name, str) for name in names) else []
