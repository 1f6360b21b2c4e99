"""Reads FlatBuffers without a schema compiler: as much of https://flatbuffers.dev/internals as ExecuTorch's
programs and traces need. All numbers are little-endian."""

from __future__ import annotations

import struct
from collections.abc import Iterator

FIRST_FIELD = 4
"""Of a vtable: behind its own size and its table's, 16 bits each."""


class Table:
    """A table at a position of a buffer. Fields go by their number in the schema, from 0; absent ones have
    defaults. A union takes two numbers: its type's and, one on, its value's.

    Everything raises ValueError where a position lies outside: then it is no such buffer, or not the whole of
    it.
    """

    def __init__(self, data: memoryview, position: int) -> None:
        self._data = data
        self._position = position
        self._vtable = position - _read("<i", data, position)
        self._vtable_size = _read("<H", data, self._vtable)

    @classmethod
    def root(cls, data: memoryview) -> Table:
        return cls(data, _read("<I", data, 0))

    def number(self, field: int, form: str, default: int = 0) -> int:
        """`form` as in struct: "i", "I", "q", "Q", "B"."""
        at = self._at(field)
        return _read(f"<{form}", self._data, at) if at else default

    def table(self, field: int) -> Table | None:
        at = self._at(field)
        return Table(self._data, self._follow(at)) if at else None

    def text(self, field: int) -> str:
        at = self._at(field)
        if not at:
            return ""
        begin = self._follow(at)
        end = begin + 4 + _read("<I", self._data, begin)
        if end > len(self._data):
            raise ValueError("a text goes on beyond its buffer's end")
        return bytes(self._data[begin + 4 : end]).decode(errors="replace")

    def item(self, field: int, index: int) -> Table:
        """Of a vector of tables."""
        at = self._at(field)
        begin = self._follow(at) if at else 0
        if not at or not 0 <= index < _read("<I", self._data, begin):
            raise ValueError(f"a vector has no element {index}")
        return Table(self._data, self._follow(begin + 4 + 4 * index))

    def tables(self, field: int) -> Iterator[Table]:
        for at in self._elements(field, 4):
            yield Table(self._data, self._follow(at))

    def numbers(self, field: int, form: str) -> Iterator[int]:
        for at in self._elements(field, struct.calcsize(f"<{form}")):
            yield _read(f"<{form}", self._data, at)

    def _elements(self, field: int, size: int) -> Iterator[int]:
        at = self._at(field)
        if at:
            begin = self._follow(at)
            yield from range(begin + 4, begin + 4 + size * _read("<I", self._data, begin), size)

    def _at(self, field: int) -> int:
        """Where a field is; 0 where the table does not have it."""
        entry = FIRST_FIELD + 2 * field
        if entry >= self._vtable_size:
            return 0
        offset = _read("<H", self._data, self._vtable + entry)
        return self._position + offset if offset else 0

    def _follow(self, at: int) -> int:
        return at + _read("<I", self._data, at)


def _read(form: str, data: memoryview, position: int) -> int:
    if position < 0:
        raise ValueError("it points before its buffer's start")
    try:
        value: int = struct.unpack_from(form, data, position)[0]
    except struct.error:
        raise ValueError("it points beyond its buffer's end") from None
    return value
