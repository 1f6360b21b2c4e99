from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgemeter_converters import datasets
from edgemeter_converters.datasets import refusal
from edgemeter_converters.exceptions import ConversionError
from edgemeter_protos.v1 import lab_pb2, refusal_pb2
from tests.unit.converters.table_files import (
    GRID,
    LABELS,
    ROWS,
    arrow_file,
    arrow_stream,
    class_label,
    every,
    image_column,
    labels,
    parquet,
    pixels,
    png,
)

NOT_A_DATASET = refusal_pb2.REFUSAL_REASON_NOT_A_DATASET
TOO_LARGE = refusal_pb2.REFUSAL_REASON_TOO_LARGE


WRITERS = {
    "parquet": (parquet, "d.parquet"),
    "arrow stream": (arrow_stream, "d.arrow"),
    "arrow file": (arrow_file, "d.arrow"),
}


@pytest.fixture(params=WRITERS)
def written(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., datasets.Dataset]:
    write, name = WRITERS[request.param]

    def through(table: pa.Table, **reading: Any) -> datasets.Dataset:
        (tmp_path / "blob").write_bytes(write(table))
        return datasets.read(tmp_path / "blob", name, lab_pb2.DataReading(**reading))

    return through


def test_pictures_and_labels_of_hugging_face(written: Any) -> None:
    table = pa.table({"image": image_column([png(row) for row in range(ROWS)]), "label": LABELS})
    dataset = written(class_label(table, "cat", "dog", "emu", "gnu"))
    assert (len(dataset.training), len(dataset.evaluation)) == (16, 4)
    assert dataset.class_names == ("cat", "dog", "emu", "gnu")
    assert dataset.classes == 4
    by_label = {row: pixels(row) for row in range(ROWS)}
    for picture, label in zip(every(dataset), labels(dataset), strict=True):
        row = next(row for row, known in by_label.items() if np.array_equal(known, picture))
        assert LABELS[row] == label
    assert every(dataset).shape == (ROWS, 5, 4, 3)


def nested(kind: Any) -> pa.Array:
    return pa.array(GRID.tolist(), kind)


@pytest.mark.parametrize(
    "column",
    [
        pytest.param(nested(pa.list_(pa.list_(pa.float32()))), id="lists"),
        pytest.param(nested(pa.large_list(pa.list_(pa.float32(), 3))), id="large and fixed lists"),
        pytest.param(nested(pa.list_(pa.list_(pa.float32(), 3), 2)), id="fixed lists"),
        pytest.param(pa.FixedShapeTensorArray.from_numpy_ndarray(GRID), id="tensors"),
        pytest.param(
            pa.FixedShapeTensorArray.from_numpy_ndarray(GRID.transpose(0, 2, 1).copy().transpose(0, 2, 1)),
            id="tensors stored in another order",
        ),
        pytest.param(
            pa.chunked_array(
                [nested(pa.list_(pa.list_(pa.float32())))[3:], nested(pa.list_(pa.list_(pa.float32())))[:3]]
            ),
            id="chunks that are slices",
        ),
    ],
)
def test_lists_of_numbers(written: Any, column: Any) -> None:
    dataset = written(pa.table({"label": LABELS, "pixels": column}))
    values = every(dataset)
    assert values.shape == (ROWS, 2, 3)
    assert values.dtype == np.float32
    np.testing.assert_array_equal(np.sort(values.reshape(ROWS, -1), axis=0), GRID.reshape(ROWS, -1))


def test_plain_numbers_are_one_input(written: Any) -> None:
    table = pa.table(
        {
            "width": pa.array(range(ROWS), pa.int16()),
            "label": LABELS,
            "height": np.arange(ROWS) / 2,
            "red": [row % 2 == 0 for row in range(ROWS)],
        }
    )
    dataset = written(table)
    values = every(dataset)
    assert values.shape == (ROWS, 3)
    assert values.dtype == np.float64
    np.testing.assert_array_equal(values[:, 1], values[:, 0] / 2)
    assert every(written(table, input_columns=["height", "width"]))[:, 0].max() == 9.5


def test_numbers_beside_lists_are_inputs_of_their_own(written: Any) -> None:
    table = pa.table({"age": range(ROWS), "pixels": nested(pa.list_(pa.list_(pa.float32()))), "y": LABELS})
    dataset = written(table, label_column="y", input_columns=["pixels", "age"])
    assert [array.shape[1:] for array in dataset.training.inputs] == [(2, 3), (1,)]
    np.testing.assert_array_equal(every(dataset, 0)[:, 0, 0], every(dataset, 1)[:, 0] * 6)


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int8(), pa.string())])
def test_labels_that_are_text(written: Any, kind: Any) -> None:
    words = ["emu", "cat", "dog"]
    table = pa.table({"x": range(ROWS), "label": pa.array([words[label] for label in LABELS], kind)})
    dataset = written(table)
    assert dataset.class_names == ("cat", "dog", "emu")
    for value, label in zip(every(dataset)[:, 0], labels(dataset), strict=True):
        assert dataset.class_names[label] == words[value % 3]


def test_no_labels(written: Any) -> None:
    dataset = written(pa.table({"x": range(ROWS)}))
    assert (dataset.classes, dataset.evaluation.labels, dataset.class_names) == (0, None, ())


class Word(pa.ExtensionType):  # type: ignore[misc]
    """A type that this process may know and that the file's reader must not care for."""

    def __init__(self) -> None:
        super().__init__(pa.list_(pa.int8(), 2), "edgemeter.test.word")

    def __arrow_ext_serialize__(self) -> bytes:
        return b"code"

    @classmethod
    def __arrow_ext_deserialize__(cls, storage_type: Any, serialized: bytes) -> Word:
        return cls()


@pytest.mark.parametrize("registered", [False, True])
def test_extension_types_are_read_as_what_they_store(written: Any, registered: bool) -> None:
    storage = pa.array([[row, -row] for row in range(ROWS)], pa.list_(pa.int8(), 2))
    table = pa.table({"x": pa.ExtensionArray.from_storage(Word(), storage), "label": LABELS})
    if registered:
        pa.register_extension_type(Word())
    try:
        assert every(written(table)).shape == (ROWS, 2)
    finally:
        if registered:
            pa.unregister_extension_type("edgemeter.test.word")


GOOD = pa.table({"x": range(ROWS), "label": LABELS})


@pytest.mark.parametrize(
    ("table", "reading", "message"),
    [
        pytest.param(
            GOOD, {"label_column": "y"}, "it has no column 'y' (there: x, label)", id="no such label"
        ),
        pytest.param(
            GOOD, {"input_columns": ["z"]}, "it has no column 'z' (there: x, label)", id="no such input"
        ),
        pytest.param(
            GOOD, {"input_columns": ["x", "x"]}, "column 'x' is there, or asked for, twice", id="twice"
        ),
        pytest.param(
            GOOD,
            {"image_height": 8, "image_width": 8},
            "none of its columns holds pictures",
            id="no pictures",
        ),
        pytest.param(GOOD.select(["label"]), {}, "it has no column beside 'label'", id="nothing but labels"),
        pytest.param(GOOD.slice(0, 0), {}, "it has no rows", id="no rows"),
        pytest.param(GOOD.slice(0, 1), {}, "'x' has 1 sample: at least 2 are needed", id="a row"),
        pytest.param(
            pa.table({"x": ["a", "b"]}),
            {},
            "column 'x' holds string: inputs are numbers or pictures; name those to use with --input-column",
            id="text",
        ),
        pytest.param(
            pa.table({"x": [[1], [1, 2]]}),
            {},
            "column 'x' has lists of 1 to 2 numbers: inputs are of one shape; pad or cut them",
            id="lists of two lengths",
        ),
        pytest.param(
            pa.table({"x": [1, None]}),
            {},
            "column 'x' has missing values (1): fill or drop them",
            id="missing",
        ),
        pytest.param(
            pa.table({"x": [[1.0], [None]]}), {}, "column 'x' has missing values (1)", id="missing in a list"
        ),
        pytest.param(
            pa.table({"x": [[1.0], [float("nan")], [2.0]]}), {}, "'x' holds NaN or infinity", id="NaN"
        ),
        pytest.param(pa.table({"x": [[], []]}), {}, "column 'x' holds null", id="empty lists of nothing"),
        pytest.param(
            pa.table({"x": pa.array([[], []], pa.list_(pa.int8()))}),
            {},
            "'x' is empty: its shape is (2, 0)",
            id="empty lists",
        ),
        pytest.param(
            pa.table({"x": [1, 2], "label": [1, 1]}), {}, "'y' is 1 for each of its 2 samples", id="one class"
        ),
        pytest.param(
            pa.table({"x": [1, 2, 3], "label": ["a", None, "b"]}),
            {},
            "column 'label' has missing values: drop the rows without a label",
            id="text labels missing",
        ),
        pytest.param(
            pa.table({"image": image_column([png(1), png(2), None, png(3)])}),
            {},
            "column 'image' has no bytes in row 2: pictures are stored within the file",
            id="a picture by its path",
        ),
        pytest.param(
            pa.table({"image": image_column([png(1), png(2)[:60]])}),
            {},
            "picture 'image, row 1' can't be read: ",
            id="a broken picture",
        ),
        pytest.param(
            pa.table({"image": pa.array([png(1), png(2, height=9)], pa.large_binary())}),
            {},
            "its pictures differ in size: 'image, row 0' is 5x4 (height x width), 'image, row 1' is 9x4",
            id="two sizes",
        ),
    ],
)
def test_refuses(written: Any, table: pa.Table, reading: dict[str, Any], message: str) -> None:
    with pytest.raises(ConversionError) as refused:
        written(table, **reading)
    assert refused.value.message.split(": ", 1)[1].startswith(message)
    assert "\n" not in refused.value.message
    assert refused.value.reason == NOT_A_DATASET


def test_what_unpacks_to_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pq.write_table(pa.table({"x": np.zeros(2_000_000)}), tmp_path / "blob")
    assert (tmp_path / "blob").stat().st_size < 1_000_000
    monkeypatch.setattr(refusal, "MAX_BYTES", 10_000_000)
    with pytest.raises(ConversionError, match=r"d\.parquet: its columns take 10,\d*,\d* bytes") as refused:
        datasets.read(tmp_path / "blob", "d.parquet")
    assert refused.value.reason == TOO_LARGE


@given(writer=st.sampled_from(sorted(WRITERS)), data=st.data())
@settings(deadline=None)
def test_damage_is_refused_in_one_line(
    writer: str, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    write, name = WRITERS[writer]
    table = pa.table({"x": nested(pa.list_(pa.list_(pa.float32()))), "label": ["a", "b"] * (ROWS // 2)})
    content = bytearray(write(table))
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content) - 1))]
    else:
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    path = tmp_path_factory.mktemp("damage") / "blob"
    path.write_bytes(content)
    try:
        datasets.read(path, name)
    except ConversionError as error:
        assert error.reason in (NOT_A_DATASET, TOO_LARGE)  # noqa: PT017
        assert "\n" not in error.message  # noqa: PT017


def test_refuses_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match=r"d\.parquet: there is no such file"):
        datasets.read(tmp_path / "nowhere", "d.parquet")
