from __future__ import annotations

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from edgemeter_coordinator.cli import token


@pytest.mark.parametrize(
    ("text", "duration_s"),
    [("1s", 1), ("90s", 90), ("30m", 1800), ("1h", 3600), ("7d", 604_800), (" 1H ", 3600)],
)
def test_durations(text: str, duration_s: int) -> None:
    assert token.parse_duration_s(text) == duration_s


@pytest.mark.parametrize("text", ["", "1", "h", "0h", "-1h", "1.5h", "1 h", "1w", "9999999999s", "٣h"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="duration"):
        token.parse_duration_s(text)


@given(st.text(max_size=12))
def test_any_text_is_a_duration_or_refused(text: str) -> None:
    try:
        duration_s = token.parse_duration_s(text)
    except typer.BadParameter:
        return
    assert duration_s > 0


def test_labels() -> None:
    assert token.parse_labels(["rack=a", "note=x=y"]) == {"rack": "a", "note": "x=y"}


@pytest.mark.parametrize("pairs", [["rack"], ["=a"], ["rack="], ["rack=a", "rack=b"]])
def test_what_are_no_labels(pairs: list[str]) -> None:
    with pytest.raises(typer.BadParameter):
        token.parse_labels(pairs)


def test_the_line_to_paste() -> None:
    assert (
        token.join_command("lab:7443", "em-join-x", "sha256:ab")
        == "edgemeter-agent join lab:7443 em-join-x --ca-fingerprint sha256:ab"
    )
