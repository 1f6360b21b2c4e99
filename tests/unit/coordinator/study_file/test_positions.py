"""Lines of keys, in texts as people write them and in invented ones."""

from __future__ import annotations

from typing import Any

import pytest
import tomllib
from hypothesis import given
from hypothesis import strategies as st

from edgemeter_coordinator.study_file.positions import Path, line_of, positions

FILE = '''\
name = "x"  # [[part]]
about = """
[[part]]
name = "not a part"
"""

[defaults]
recipes = [
  "float32",   # ]
  'int8',
]
plan = { blocks = 4, "threads" = 2 }

[[part]]
name = "a"
quick.recipes = ["float32"]
[part.plan]
profile = "quick"

[[ part ]]
"name" = 'b'
[part.quick]
plan . "blocks" = 2
'''


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("name",), 1),
        # Its value goes on for lines that look like tables.
        (("about",), 2),
        (("defaults",), 7),
        (("defaults", "recipes"), 8),
        (("defaults", "recipes", 0), 9),
        (("defaults", "recipes", 1), 10),
        (("defaults", "plan", "blocks"), 12),
        (("defaults", "plan", "threads"), 12),
        (("part",), 14),
        (("part", 0), 14),
        (("part", 0, "name"), 15),
        (("part", 0, "quick"), 16),
        (("part", 0, "quick", "recipes", 0), 16),
        (("part", 0, "plan", "profile"), 18),
        (("part", 1), 20),
        (("part", 1, "name"), 21),
        (("part", 1, "quick", "plan", "blocks"), 23),
        # Not in the file: the table that it would be in.
        (("part", 1, "recipes"), 20),
        (("part", 7, "recipes"), 14),
        (("nothing",), 1),
    ],
)
def test_lines(path: Path, line: int) -> None:
    tomllib.loads(FILE)
    assert line_of(positions(FILE), path) == line


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# nothing but a comment",
        'a = """x""""',
        'a = """x"""""\nb = 1',
        "a = '''x''''\nb = 1",
        "a = \"\"\nb = ''\nc = \"\"\"\"\"\"\nd = ''''''",
        'a = "\\"]"\nb = 1',
        'a = """\\"""" \nb = 1',
        "a = 1979-05-27 07:32:00\nb = [1,]\nc = []\nd = {}",
        "a = [ # comment, with ]\n 1, # another\n\n [2, 3 ] ]\r\nb = 2\r\n",
        "[a.b]\n[a]\nc = 1\n[[x]]\n[[x.y]]\n[[x.y]]\n[[x]]\n[[x.y]]\n[x.y.z]\nk = 1",
        '"a.b" . \'c\' = 1\n"\\u00e9" = 2',
        'a = [{ b = 1 }, { b = [ { c = "}" } ] }]',
    ],
)
def test_every_key_has_a_line(text: str) -> None:
    assert keys_of(tomllib.loads(text)) <= set(positions(text))


def keys_of(value: Any, path: Path = ()) -> set[Path]:
    """The path of everything in a table."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return {path for path in [path] if path}.union(*(keys_of(each, (*path, key)) for key, each in inner))


_KEYS = st.text("ab-_", min_size=1, max_size=3) | st.sampled_from(["x y", "[[a]]", 'say "a"', "é", "#", ""])
_TEXTS = st.sampled_from(["", "plain", "[[part]]", "a = 1", "]", "}", "#", 'say "x"', "it's", "\\", "é"])
_PLAIN = st.integers(-9, 9) | st.booleans() | _TEXTS | st.sampled_from([1.5, "two\nlines", "\n[x]\n"])
_VALUES = st.recursive(_PLAIN, lambda inner: st.lists(inner, max_size=3), max_leaves=5)
_TABLES = st.dictionaries(_KEYS, _VALUES, max_size=4)


def _basic(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


class Writer:
    """Writes TOML in a hand of its own, and notes on which line it wrote what."""

    def __init__(self, choose: st.DataObject) -> None:
        self._choose = choose
        self.text = ""
        self.lines: dict[Path, int] = {}

    def one_of(self, *ways: str) -> str:
        return self._choose.draw(st.sampled_from(ways))

    def put(self, text: str) -> None:
        self.text += text

    def note(self, path: Path) -> None:
        self.lines.setdefault(path, self.text.count("\n") + 1)

    def gap(self) -> None:
        self.put(self.one_of("", "", "\n", '# [[x]] = "\n', " \t\n", "\r\n"))

    def header(self, path: Path, opening: str, closing: str, key: str) -> None:
        self.gap()
        self.note(path)
        self.put(opening + self.one_of("", " ") + self.key(key) + self.one_of("", " ") + closing)
        self.put(self.one_of("\n", " # ]\n"))

    def key(self, key: str) -> str:
        bare = key != "" and set(key) <= set("ab-_")
        return key if bare and self._choose.draw(st.booleans()) else _basic(key)

    def pair(self, path: Path, key: str, value: Any) -> None:
        self.note((*path, key))
        self.put(self.key(key) + self.one_of("=", " = ", "\t="))
        self.value((*path, key), value)

    def value(self, path: Path, value: Any) -> None:
        if isinstance(value, list):
            self.put("[")
            for place, each in enumerate(value):
                self.put(self.one_of("", " ", "\n", "# ]\n  "))
                self.note((*path, place))
                self.value((*path, place), each)
                self.put("," if place < len(value) - 1 else self.one_of("", ",", "\n,\n"))
            self.put(self.one_of("", "\n") + "]")
        elif isinstance(value, bool):
            self.put("true" if value else "false")
        elif isinstance(value, str):
            self.put(self.string(value))
        else:
            self.put(repr(value))

    def string(self, value: str) -> str:
        ways = [_basic(value)]
        if "'" not in value and "\n" not in value:
            ways.append(f"'{value}'")
        if "'" not in value:
            ways.append(f"'''\n{value}'''")
        if "\\" not in value:
            ways.append(f'"""{value}"""' if not value.endswith('"') and value[:1] != "\n" else _basic(value))
        return self.one_of(*ways)

    def table(self, path: Path, table: dict[str, Any]) -> None:
        for key, value in table.items():
            self.gap()
            self.pair(path, key, value)
            self.put(self.one_of("\n", " # end\n", "\r\n"))


@given(_TABLES, st.lists(_TABLES, max_size=3), _TABLES, st.data())
def test_lines_of_invented_files(
    top: dict[str, Any], parts: list[dict[str, Any]], inner: dict[str, Any], choose: st.DataObject
) -> None:
    top = {key: value for key, value in top.items() if key not in ("aa", "bb")}
    writer = Writer(choose)
    writer.table((), top)
    for place, part in enumerate(parts):
        writer.header(("aa", place), "[[", "]]", "aa")
        writer.lines.setdefault(("aa",), writer.lines["aa", place])
        writer.table(("aa", place), part)
    writer.header(("bb",), "[", "]", "bb")
    writer.table(("bb",), inner)
    assert tomllib.loads(writer.text) == {**top, **({"aa": parts} if parts else {}), "bb": inner}
    found = positions(writer.text)
    assert found == writer.lines
