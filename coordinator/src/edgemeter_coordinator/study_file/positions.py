"""On which line of a TOML text each key stands: Python's own reader tells only where a text is no TOML.

A light scan of a text that `tomllib` has accepted: it knows where keys, strings, arrays and inline tables
begin and end, and judges nothing.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Mapping

import tomllib

Path = tuple[str | int, ...]
"""Keys and places in arrays, from the top: ("part", 2, "plan", "blocks")."""

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_BETWEEN = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SPACES = re.compile(r"[ \t]*")
# Up to what may follow a number, a date or a truth value.
_PLAIN_VALUE = re.compile(r"[^,\]}#\r\n]*")
# A multi-line string may end in quotes of its own: up to two before the three that close it.
_STRINGS = {
    '"""': re.compile(r'"""(?:\\.|[^\\])*?"{3,5}(?!")', re.DOTALL),
    "'''": re.compile(r"'''.*?'{3,5}(?!')", re.DOTALL),
    '"': re.compile(r'"(?:\\.|[^"\\])*"'),
    "'": re.compile(r"'[^']*'"),
}


def positions(text: str) -> dict[Path, int]:
    """The line, from 1, of each key, of each table, and of each element of an array: where it is first named.

    Args:
        text: valid TOML. RecursionError is raised for arrays nested deeper than `tomllib` reads.
    """
    return _Scan(text).run()


def line_of(lines: Mapping[Path, int], path: Path) -> int:
    """The line of `path`, or of the nearest table around it; 1 where there is none."""
    while path and path not in lines:
        path = path[:-1]
    return lines.get(path, 1)


class _Scan:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._line_ends = [end.start() for end in re.finditer("\n", text)]
        self._found: dict[Path, int] = {}
        # Arrays of tables, and the place of the table that was opened last.
        self._opened: dict[Path, int] = {}

    def run(self) -> dict[Path, int]:
        table: Path = ()
        while True:
            self._skip(_BETWEEN)
            if self._at >= len(self._text):
                return self._found
            if self._text.startswith("[", self._at):
                table = self._header()
            else:
                self._pair(table)

    def _header(self) -> Path:
        brackets = 2 if self._text.startswith("[[", self._at) else 1
        line = self._line()
        self._at += brackets
        keys = self._keys()
        self._at += brackets
        path: Path = ()
        for key in keys[:-1]:
            path = (*path, key)
            self._found.setdefault(path, line)
            if path in self._opened:
                path = (*path, self._opened[path])
        path = (*path, keys[-1])
        self._found.setdefault(path, line)
        if brackets == 2:
            self._opened[path] = self._opened.get(path, -1) + 1
            path = (*path, self._opened[path])
            self._found[path] = line
        return path

    def _pair(self, table: Path) -> None:
        line = self._line()
        path = table
        for key in self._keys():
            path = (*path, key)
            self._found.setdefault(path, line)
        self._at += len("=")
        self._value(path)

    def _value(self, path: Path) -> None:
        self._skip(_SPACES)
        opening = self._text[self._at]
        if opening == "[":
            self._elements(path)
        elif opening == "{":
            self._inline_table(path)
        elif opening in "\"'":
            self._string()
        else:
            self._skip(_PLAIN_VALUE)

    def _elements(self, path: Path) -> None:
        self._at += 1
        place = 0
        while not self._ends("]"):
            element = (*path, place)
            self._found[element] = self._line()
            self._value(element)
            place += 1

    def _inline_table(self, path: Path) -> None:
        self._at += 1
        while not self._ends("}"):
            self._pair(path)

    def _ends(self, bracket: str) -> bool:
        """Goes to the next element; past the bracket where there is none."""
        self._skip(_BETWEEN)
        if self._text.startswith(",", self._at):
            self._at += 1
            self._skip(_BETWEEN)
        if not self._text.startswith(bracket, self._at):
            return False
        self._at += 1
        return True

    def _keys(self) -> list[str]:
        """Those of a dotted key, and past the white space behind them."""
        keys = []
        while True:
            self._skip(_SPACES)
            keys.append(self._key())
            self._skip(_SPACES)
            if not self._text.startswith(".", self._at):
                return keys
            self._at += 1

    def _key(self) -> str:
        if self._text[self._at] not in "\"'":
            return self._skip(_BARE_KEY)
        name: str = tomllib.loads(f"key = {self._string()}")["key"]
        return name

    def _string(self) -> str:
        quote = self._text[self._at]
        three = quote * 3
        return self._skip(_STRINGS[three if self._text.startswith(three, self._at) else quote])

    def _skip(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self._text, self._at)
        assert found is not None, "the text was accepted as TOML"
        self._at = found.end()
        return found.group()

    def _line(self) -> int:
        return bisect_right(self._line_ends, self._at - 1) + 1
