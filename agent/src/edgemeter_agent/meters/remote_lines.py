"""The lines between `edgemeter-agent meter serve` and those who read it, over one TCP connection. Pure.

Every line is ASCII words with single spaces between, ended by \\n. Times are CLOCK_MONOTONIC in ns.

    client                      server
    hello 1 TOKEN               hello {"name": …, …}     what the meter is; or: refused CODE WORDS
    time T1                     time T1 T2 T3            received at T2, answered at T3, by the server's clock
    start                       r NS MW UJ RAIL RAIL …   readings until `stop`; MW and rails in mW, UJ is the
                                f NS CODE                counter; - where there is none; f is a fault
    stop
                                gone CODE WORDS          no more readings, ever; the last line

TOKEN is - for none. A client's line has at most 512 bytes and a server's 16384. The connection is not
encrypted: it is for a lab's own network.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

from edgemeter_agent.meters import Description, Rail, Reading

VERSION = 1
MAX_CLIENT_LINE_BYTES = 512
MAX_SERVER_LINE_BYTES = 16384
MAX_RAILS = 64
MAX_WORDS_CHARS = 500

ANYBODY = "-"
ALLOWED_CHARACTERS = "1 to 128 letters, digits and ._~+/=-"

_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]{1,128}", re.ASCII)

_CODE = re.compile(r"[A-Za-z0-9_]{1,40}", re.ASCII)
_STAMP = re.compile(r"-?\d{1,19}", re.ASCII)


class BadLine(Exception):
    """A line that is not of this protocol: what is wrong with it."""


def is_token(text: str) -> bool:
    """A single minus means none, and is no token."""
    return text != ANYBODY and _TOKEN.fullmatch(text) is not None


def encode_hello(description: Description, alignment_ns: float) -> str:
    """`alignment_ns`: standard uncertainty that the meter's stamps have on its own host."""
    body: dict[str, Any] = {
        "name": _shown(description.name),
        "kind": _shown(description.kind),
        "coverage": _shown(description.coverage),
        "rails": [[_shown(rail.name), rail.in_total] for rail in description.rails],
        "rate_hz": description.rate_hz,
        "resolution_mw": description.resolution_mw,
        "gain_error": description.gain_error,
        "offset_error_mw": description.offset_error_mw,
        "lag_s": description.lag_s,
        "has_counter": description.has_counter,
        "detail": _shown(description.detail),
        "alignment_ns": alignment_ns,
    }
    return f"hello {json.dumps(body)}"


def decode_hello(line: str) -> tuple[Description, float]:
    """The description and the meter's own alignment_ns. Raises BadLine."""
    if not line.startswith("hello "):
        raise BadLine(f"{line[:60]!r} instead of hello")
    try:
        body = json.loads(line[6:])
        rails = body["rails"]
        if not isinstance(rails, list) or len(rails) > MAX_RAILS:
            raise ValueError(f"more than {MAX_RAILS} rails")
        description = Description(
            name=_text(body["name"]),
            kind=_text(body["kind"]),
            coverage=_text(body["coverage"]),
            rails=tuple(Rail(name=_text(name), in_total=_flag(in_total)) for name, in_total in rails),
            rate_hz=_size(body["rate_hz"]),
            resolution_mw=_size(body["resolution_mw"]),
            gain_error=_size(body["gain_error"]),
            offset_error_mw=_size(body["offset_error_mw"]),
            lag_s=_size(body["lag_s"]),
            has_counter=_flag(body["has_counter"]),
            detail=_text(body["detail"]),
        )
        if not description.rate_hz > 0:
            raise ValueError("rate_hz is 0")
        return description, _size(body["alignment_ns"])
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise BadLine(f"a hello that describes no meter ({type(error).__name__}: {error})") from None


def encode_reading(reading: Reading) -> str:
    if reading.total_mw is None:
        code = reading.fault if _CODE.fullmatch(reading.fault) else "fault"
        return f"f {reading.monotonic_ns} {code}"
    values = (reading.total_mw, reading.counter_uj, *reading.rails_mw)
    # repr: the shortest text that is the same double again.
    words = ("-" if value is None else repr(float(value)) for value in values)
    return f"r {reading.monotonic_ns} {' '.join(words)}"


def decode_reading(line: str, rails: int) -> Reading:
    """Raises BadLine."""
    kind, *words = line.split(" ")
    if kind == "f" and len(words) == 2 and _CODE.fullmatch(words[1]):
        return Reading(monotonic_ns=_stamp(words[0]), total_mw=None, fault=words[1])
    if kind != "r" or len(words) != 3 + rails:
        raise BadLine(f"{line[:60]!r} is no reading of {rails} rails")
    stamp_ns, (total_mw, counter_uj, *rails_mw) = _stamp(words[0]), map(_value, words[1:])
    if total_mw is None:
        raise BadLine("a reading without its total")
    return Reading(monotonic_ns=stamp_ns, total_mw=total_mw, rails_mw=tuple(rails_mw), counter_uj=counter_uj)


def decode_times(line: str, count: int) -> list[int]:
    """The `count` times after "time". Raises BadLine."""
    kind, *words = line.split(" ")
    if kind != "time" or len(words) != count:
        raise BadLine(f"{line[:60]!r} is no answer with {count} times")
    return [_stamp(word) for word in words]


def encode_end(kind: str, code: str, detail: str) -> str:
    """`kind`: "gone" or "refused"."""
    words = " ".join(detail.split())[:MAX_WORDS_CHARS].encode("ascii", errors="replace").decode()
    return f"{kind} {code if _CODE.fullmatch(code) else 'meter_gone'} {words}"


def decode_end(line: str, kind: str) -> tuple[str, str] | None:
    """(code, words) of a line of this kind, None for another."""
    word, _, rest = line.partition(" ")
    code, _, detail = rest.partition(" ")
    return (code, detail[:MAX_WORDS_CHARS]) if word == kind and _CODE.fullmatch(code) else None


def _shown(text: str) -> str:
    """So that `_text` takes it."""
    return "".join(char if char.isprintable() else "?" for char in text[:MAX_WORDS_CHARS])


def _stamp(word: str) -> int:
    if _STAMP.fullmatch(word) is None:
        raise BadLine(f"{word[:40]!r} is no time in ns")
    return int(word)


def _value(word: str) -> float | None:
    if word == "-":
        return None
    try:
        value = float(word)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise BadLine(f"{word[:40]!r} is no number")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.isprintable() or len(value) > MAX_WORDS_CHARS:
        raise ValueError(f"{str(value)[:40]!r} is no short text")
    return value


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{str(value)[:40]!r} is neither true nor false")
    return value


def _size(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < math.inf:
        raise ValueError(f"{str(value)[:40]!r} is no number from 0 up")
    return float(value)
