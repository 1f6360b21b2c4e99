"""The text of a recipe, read without knowing which steps and formats there are.

    recipe   = step { "+" step } [ "@" name ]
    step     = name [ "(" [ argument { "," argument } ] ")" ]
    argument = [ name "=" ] value
    value    = number [ "%" ] | integer ":" integer | word { "|" word }
    name     = letter { letter | digit | "_" | "-" }
    word     = ( letter | "_" | "/" | "*" ) { letter | digit | "_" | "-" | "." | "/" | "*" | ":" }

White space may stand between any two of these. Names are read without regard to case; a word, which may be
a layer's name, keeps its own. A number is at most 1e9 in magnitude, and an integral one is an int.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NoReturn

from edgemeter_converters.exceptions import RecipeError
from edgemeter_converters.steps.call import Alternatives, Percent, Ratio, StepCall, Value

MAX_CHARACTERS = 1000
MAX_MAGNITUDE = 1e9

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_WORD = re.compile(r"[A-Za-z_/*][A-Za-z0-9_./:*-]*")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")
_INTEGER = re.compile(r"[0-9]+")
_SPACE = re.compile(r"[ \t\r\n]*")


@dataclass(frozen=True, kw_only=True)
class Written:
    """What a recipe's text says; `format` is None where it names none."""

    steps: tuple[StepCall, ...]
    format: str | None


def read(text: str) -> Written:
    """The calls and the format that `text` is made of.

    Raises:
        RecipeError: it does not follow the grammar.
    """
    if len(text) > MAX_CHARACTERS:
        raise RecipeError(f"the recipe has {len(text)} characters, at most {MAX_CHARACTERS} are read")
    if not text.strip():
        raise RecipeError(
            "the recipe is empty: write a step, such as int8, or steps and a format: int8@tflite"
        )
    reader = _Reader(text)
    steps = [_step(reader)]
    while reader.take("+"):
        steps.append(_step(reader))
    format_ = reader.name("a format's name") if reader.take("@") else None
    if not reader.at_end():
        reader.fail("the end, '+' or '@'" if format_ is None else "the end")
    return Written(steps=tuple(steps), format=format_)


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._position = 0

    def match(self, pattern: re.Pattern[str]) -> str | None:
        """Takes what `pattern` finds after white space; takes nothing, and gives None, where it does not."""
        start = self._after_space()
        found = pattern.match(self._text, start)
        if found is None:
            return None
        self._position = found.end()
        return found.group()

    def take(self, character: str) -> bool:
        start = self._after_space()
        if not self._text.startswith(character, start):
            return False
        self._position = start + len(character)
        return True

    def name(self, expected: str) -> str:
        found = self.match(_NAME)
        if found is None:
            self.fail(expected)
        return found.lower()

    def at_end(self) -> bool:
        return self._after_space() == len(self._text)

    def mark(self) -> int:
        return self._position

    def back_to(self, mark: int) -> None:
        self._position = mark

    def fail(self, expected: str) -> NoReturn:
        start = self._after_space()
        found = repr(self._text[start]) if start < len(self._text) else "the end"
        raise RecipeError(
            f"recipe {quoted(self._text)}: expected {expected} at character {start + 1}, found {found}"
        )

    def _after_space(self) -> int:
        found = _SPACE.match(self._text, self._position)
        return found.end() if found else self._position


def _step(reader: _Reader) -> StepCall:
    name = reader.name("a step's name")
    arguments: list[Value] = []
    keywords: dict[str, Value] = {}
    if reader.take("(") and not reader.take(")"):
        _argument(reader, arguments, keywords)
        while reader.take(","):
            _argument(reader, arguments, keywords)
        if not reader.take(")"):
            reader.fail("',' or ')'")
    return StepCall(name=name, arguments=tuple(arguments), keywords=tuple(sorted(keywords.items())))


def _argument(reader: _Reader, arguments: list[Value], keywords: dict[str, Value]) -> None:
    start = reader.mark()
    key = reader.match(_NAME)
    if key is not None and reader.take("="):
        if key.lower() in keywords:
            reader.back_to(start)
            reader.fail(f"{key.lower()!r} only once")
        keywords[key.lower()] = _value(reader)
        return
    reader.back_to(start)
    if keywords:
        reader.fail("NAME=VALUE, as after every named argument")
    arguments.append(_value(reader))


def _value(reader: _Reader) -> Value:
    start = reader.mark()
    of = reader.match(_INTEGER)
    if of is not None and reader.take(":"):
        out_of = reader.match(_INTEGER)
        if out_of is None:
            reader.fail("an integer after ':'")
        # Before int(): Python refuses to convert thousands of digits.
        if max(len(of), len(out_of)) > len(str(int(MAX_MAGNITUDE))):
            reader.back_to(start)
            reader.fail("a ratio of smaller numbers")
        return Ratio(int(of), int(out_of))
    reader.back_to(start)
    written = reader.match(_NUMBER)
    if written is None:
        word = reader.match(_WORD)
        if word is None:
            reader.fail("a number, a percentage, a ratio or a word")
        words = [word]
        while reader.take("|"):
            word = reader.match(_WORD)
            if word is None:
                reader.fail("a word after '|'")
            words.append(word)
        return words[0] if len(words) == 1 else Alternatives(tuple(words))
    value = float(written)
    if not abs(value) <= MAX_MAGNITUDE:
        reader.back_to(start)
        reader.fail(f"a number of at most {MAX_MAGNITUDE:g}")
    number = int(value) if value.is_integer() else value
    return Percent(number) if reader.take("%") else number


def quoted(text: str) -> str:
    """`text` on one line, cut where it is long."""
    return repr(text if len(text) <= 80 else text[:77] + "…")
