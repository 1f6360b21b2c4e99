"""The keys of a study file, the types of their values, and the one line for what is neither. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Mapping
from typing import Any, NoReturn, TypeVar

from edgemeter_coordinator.sdk.errors import EdgemeterError
from edgemeter_coordinator.study_file.positions import Path, line_of
from edgemeter_protos import plans

T = TypeVar("T")


class Table:
    """One table of the file, where it stands, and what of it has been asked for."""

    def __init__(
        self, values: Mapping[str, Any], *, source: str, lines: Mapping[Path, int], path: Path, called: str
    ) -> None:
        self._values = values
        self.source = source
        self._lines = lines
        self._path = path
        # As people call it: "[[part]]".
        self.called = called

    @property
    def line(self) -> int:
        return line_of(self._lines, self._path)

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def line_of(self, *path: str | int) -> int:
        return line_of(self._lines, (*self._path, *path))

    def fail(self, message: str, *path: str | int) -> NoReturn:
        """Raises EdgemeterError with the line of `path`."""
        raise EdgemeterError(f"{self.source}:{self.line_of(*path)}: {message}")

    def check_keys(self, known: Collection[str]) -> None:
        """Raises EdgemeterError for the first key, by its line, that is not `known`."""
        unknown = sorted((key for key in self._values if key not in known), key=self.line_of)
        if not unknown:
            return
        near = difflib.get_close_matches(unknown[0][:100], known, n=1)
        hint = f": did you mean {near[0]!r}?" if near else f"; it has {', '.join(known)}"
        self.fail(f"unknown key {plans.shown(unknown[0])} in {self.called}{hint}", unknown[0])

    def text(self, key: str, usual: str = "") -> str:
        """One line of text, `usual` where it is left out."""
        return self._typed(key, usual, lambda value: isinstance(value, str), "a text")

    def number(self, key: str, usual: int) -> int:
        def fits(value: object) -> bool:
            return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**31

        return self._typed(key, usual, fits, "a whole number above 0")

    def texts(self, key: str, example: str) -> tuple[str, ...]:
        """A list of texts, or one text for a list of one; empty where it is left out."""
        value = self._values.get(key, [])
        listed = [value] if isinstance(value, str) else value
        if not isinstance(listed, list):
            self._wrong(key, f"a list of texts, as in {example}")
        for place, each in enumerate(listed):
            if not isinstance(each, str):
                message = f"{key} in {self.called} is a list of texts, as in {example}; {plans.shown(each)}"
                self.fail(f"{message} is none", key, place)
        return tuple(listed)

    def table(self, key: str, called: str) -> Table | None:
        """None where it is left out."""
        value = self._values.get(key)
        if value is None:
            return None
        if not isinstance(value, dict):
            self._wrong(key, f"a table: write {called} before its keys")
        return self._inner(value, (key,), called)

    def tables(self, key: str, called: str) -> list[Table]:
        value = self._values.get(key, [])
        if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
            self._wrong(key, f"a list of tables: write {called} before the keys of each")
        return [self._inner(each, (key, place), called) for place, each in enumerate(value)]

    def raw(self, key: str) -> Any:
        return self._values.get(key)

    def items(self) -> list[tuple[str, Any]]:
        return list(self._values.items())

    def _inner(self, values: Mapping[str, Any], path: Path, called: str) -> Table:
        return Table(values, source=self.source, lines=self._lines, path=(*self._path, *path), called=called)

    def _typed(self, key: str, usual: T, fits: Callable[[object], bool], kind: str) -> T:
        value: T = self._values.get(key, usual)
        if not fits(value):
            self._wrong(key, kind)
        return value

    def _wrong(self, key: str, kind: str) -> NoReturn:
        self.fail(f"{key} in {self.called} is {kind}, not {plans.shown(self._values[key])}", key)
