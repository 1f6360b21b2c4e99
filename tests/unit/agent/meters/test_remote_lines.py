from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemeter_agent.meters import Description, Rail, Reading
from edgemeter_agent.meters.remote_lines import (
    MAX_SERVER_LINE_BYTES,
    BadLine,
    decode_end,
    decode_hello,
    decode_reading,
    decode_times,
    encode_end,
    encode_hello,
    encode_reading,
)

SHORT = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), max_size=50)
SIZE = st.floats(0, 1e12)
NUMBER = st.floats(allow_nan=False, allow_infinity=False)

DESCRIPTIONS = st.builds(
    Description,
    name=SHORT,
    kind=SHORT,
    coverage=SHORT,
    rails=st.lists(st.builds(Rail, name=SHORT, in_total=st.booleans()), max_size=8).map(tuple),
    rate_hz=st.floats(1e-3, 1e6),
    resolution_mw=SIZE,
    gain_error=SIZE,
    offset_error_mw=SIZE,
    lag_s=SIZE,
    has_counter=st.booleans(),
    detail=SHORT,
)
GOOD = st.builds(
    Reading,
    monotonic_ns=st.integers(0, 2**63 - 1),
    total_mw=NUMBER,
    rails_mw=st.lists(st.none() | NUMBER, max_size=6).map(tuple),
    counter_uj=st.none() | NUMBER,
)


@given(DESCRIPTIONS, SIZE)
def test_a_description_comes_through(description: Description, alignment_ns: float) -> None:
    line = encode_hello(description, alignment_ns)
    assert line.isascii()
    assert "\n" not in line
    assert len(line) < MAX_SERVER_LINE_BYTES
    assert decode_hello(line) == (description, alignment_ns)


@given(GOOD)
def test_a_reading_comes_through_to_the_last_bit(reading: Reading) -> None:
    assert decode_reading(encode_reading(reading), len(reading.rails_mw)) == reading


def test_what_is_too_long_or_unprintable_is_cut_by_the_server() -> None:
    said = Description(
        name="n\n", kind="k", coverage="wall", rails=(), rate_hz=1.0, resolution_mw=1.0, gain_error=0.0,
        offset_error_mw=0.0, lag_s=0.0, has_counter=False, detail="x" * 900,
    )  # fmt: skip
    heard, _ = decode_hello(encode_hello(said, 0.0))
    assert (heard.name, heard.detail) == ("n?", "x" * 500)


def test_a_fault_comes_through() -> None:
    fault = Reading(monotonic_ns=12, total_mw=None, fault="EAGAIN")
    assert decode_reading(encode_reading(fault), 3) == fault
    odd = Reading(monotonic_ns=12, total_mw=None, fault="no\nanswer")
    assert encode_reading(odd) == "f 12 fault"


@pytest.mark.parametrize(
    ("line", "rails"),
    [
        ("r 12 5.0 -", 1),
        ("r 12 5.0 - 1 2", 1),
        ("r 12 - -", 0),
        ("r 12 nan -", 0),
        ("r 12 inf -", 0),
        ("r 1e3 5 -", 0),
        ("r \u0661 5 -", 0),
        ("r 12 5  -", 0),
        ("f 12", 0),
        ("f 12 two words", 0),
        ("", 0),
        ("x 12 5 -", 0),
        (f"r {'9' * 30} 5 -", 0),
    ],
)
def test_what_is_no_reading(line: str, rails: int) -> None:
    with pytest.raises(BadLine):
        decode_reading(line, rails)


@pytest.mark.parametrize(
    "change",
    [
        {"rate_hz": 0},
        {"rate_hz": True},
        {"gain_error": -1},
        {"lag_s": math.inf},
        {"lag_s": math.nan},
        {"name": 5},
        {"name": "a\nb"},
        {"detail": "x" * 501},
        {"rails": [["A", 1]]},
        {"rails": [["A"]]},
        {"rails": [["A", True]] * 65},
        {"rails": 3},
        {"alignment_ns": None},
    ],
)
def test_a_hello_that_describes_no_meter(change: dict[str, object]) -> None:
    said = Description(
        name="n", kind="k", coverage="wall", rails=(), rate_hz=1.0, resolution_mw=1.0, gain_error=0.0,
        offset_error_mw=0.0, lag_s=0.0, has_counter=False, detail="",
    )  # fmt: skip
    body = json.loads(encode_hello(said, 0.0).removeprefix("hello "))
    with pytest.raises(BadLine):
        decode_hello(f"hello {json.dumps({**body, **change})}")


@pytest.mark.parametrize(
    "line", ["time 1 2", "time 1 2 3 4", "time 1 2 x", "r 1 2 3", "time 1 2 3.5", "time"]
)
def test_what_is_no_answer(line: str) -> None:
    with pytest.raises(BadLine):
        decode_times(line, 3)


def test_last_words() -> None:
    line = encode_end("gone", "meter_rubbish", "exec:x, line 5:\n  'é'")
    assert line == "gone meter_rubbish exec:x, line 5: '?'"
    assert decode_end(line, "gone") == ("meter_rubbish", "exec:x, line 5: '?'")
    assert decode_end(line, "refused") is None
    assert decode_end("gone", "gone") is None


@given(st.text(max_size=200), st.integers(0, 3))
def test_any_line_is_understood_or_bad(line: str, rails: int) -> None:
    for decode in (
        lambda: decode_hello(line),
        lambda: decode_hello(f"hello {line}"),
        lambda: decode_reading(line, rails),
        lambda: decode_times(line, 3),
    ):
        said = "decoded"
        try:
            decode()
        except BadLine as error:
            said = str(error)
        assert said
