"""The reader against Google's own writer."""

from __future__ import annotations

import flatbuffers  # type: ignore[import-untyped]
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemeter_agent.runtimes.flatbuffer import Table


def written(number: int, text: str, numbers: list[int], texts: list[str]) -> memoryview:
    """Table(int at 0, text at 1, longs at 2, tables of (text at 0) at 3); fields 4 and on are absent."""
    builder = flatbuffers.Builder(64)
    rows = []
    for each in texts:
        name = builder.CreateString(each)
        builder.StartObject(1)
        builder.PrependUOffsetTRelativeSlot(0, name, 0)
        rows.append(builder.EndObject())
    builder.StartVector(4, len(rows), 4)
    for row in reversed(rows):
        builder.PrependUOffsetTRelative(row)
    table_vector = builder.EndVector()
    builder.StartVector(8, len(numbers), 8)
    for value in reversed(numbers):
        builder.PrependInt64(value)
    number_vector = builder.EndVector()
    said = builder.CreateString(text)
    builder.StartObject(6)
    builder.PrependInt32Slot(0, number, -1)
    builder.PrependUOffsetTRelativeSlot(1, said, 0)
    builder.PrependUOffsetTRelativeSlot(2, number_vector, 0)
    builder.PrependUOffsetTRelativeSlot(3, table_vector, 0)
    builder.Finish(builder.EndObject())
    return memoryview(bytes(builder.Output()))


@given(
    st.integers(-(2**31), 2**31 - 1),
    st.text(st.characters(codec="utf-8"), max_size=20),
    st.lists(st.integers(-(2**63), 2**63 - 1), max_size=5),
    st.lists(st.text(st.characters(codec="utf-8"), max_size=9), max_size=4),
)
def test_reads_what_was_written(number: int, text: str, numbers: list[int], texts: list[str]) -> None:
    root = Table.root(written(number, text, numbers, texts))
    assert root.number(0, "i", -1) == number
    assert root.text(1) == text
    assert list(root.numbers(2, "q")) == numbers
    assert [row.text(0) for row in root.tables(3)] == texts
    for index, each in enumerate(texts):
        assert root.item(3, index).text(0) == each


def test_absent_fields_have_defaults() -> None:
    root = Table.root(written(1, "x", [], []))
    for field in (4, 5, 6, 400):
        assert root.number(field, "i", 7) == 7
        assert root.text(field) == ""
        assert root.table(field) is None
        assert list(root.tables(field)) == []
        with pytest.raises(ValueError, match="no element 0"):
            root.item(field, 0)


def test_an_element_beyond_the_vector() -> None:
    with pytest.raises(ValueError, match="no element 2"):
        Table.root(written(1, "x", [], ["a", "b"])).item(3, 2)


@given(st.binary(max_size=200))
def test_rubbish_is_a_value_error(data: bytes) -> None:
    try:
        root = Table.root(memoryview(data))
        root.text(1)
        list(root.numbers(2, "q"))
        [row.text(0) for row in root.tables(3)]
    except ValueError:
        pass


@given(st.data())
def test_half_a_buffer_is_a_value_error_or_reads_the_half_that_is_there(data: st.DataObject) -> None:
    whole = written(5, "hello", [1, 2, 3], ["a", "b"])
    half = whole[: data.draw(st.integers(0, len(whole) - 1))]
    try:
        root = Table.root(half)
        read = (root.text(1), list(root.numbers(2, "q")), [row.text(0) for row in root.tables(3)])
    except ValueError:
        return
    assert read == ("hello", [1, 2, 3], ["a", "b"])
