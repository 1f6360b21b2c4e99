"""How models and datasets are looked up: by digest, by unique name, or by what a user types."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection, Row, Table, or_, select

R = TypeVar("R")


class Named(Generic[R]):
    """Look-ups in a table with the columns `digest` and `name`; `read` makes a value of a row."""

    def __init__(self, table: Table, read: Callable[[Row[Any]], R]) -> None:
        self._table = table
        self._read = read

    def by_digest(self, connection: Connection, digest: str) -> R | None:
        row = connection.execute(select(self._table).where(self._table.c.digest == digest)).one_or_none()
        return self._read(row) if row else None

    def by_name(self, connection: Connection, name: str) -> R | None:
        row = connection.execute(select(self._table).where(self._table.c.name == name)).one_or_none()
        return self._read(row) if row else None

    def referred(self, connection: Connection, reference: str) -> list[R]:
        """Those whose name is `reference` or whose digest starts with it."""
        columns = self._table.c
        matches = or_(columns.name == reference, columns.digest.startswith(reference, autoescape=True))
        return [self._read(row) for row in connection.execute(select(self._table).where(matches))]

    def every(self, connection: Connection) -> list[R]:
        """All, by name."""
        rows = connection.execute(select(self._table).order_by(self._table.c.name))
        return [self._read(row) for row in rows]
