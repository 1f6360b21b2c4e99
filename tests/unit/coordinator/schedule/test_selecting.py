"""Which devices selectors mean, and what a user reads when they mean none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemeter_coordinator.schedule.selecting import NoDeviceMatchesError, select


@dataclass(frozen=True)
class Board:
    id: str
    name: str
    labels: Mapping[str, str] = field(default_factory=dict)


PI_A = Board("1a", "pi-a", {"board": "pi5", "rack": "a"})
PI_B = Board("1b", "pi-b", {"board": "pi4", "rack": "a"})
ORIN = Board("2c", "orin", {"board": "orin"})
ODD = Board("3d", "x=y")
LAB = [PI_A, PI_B, ORIN, ODD]


@pytest.mark.parametrize(
    ("selectors", "chosen"),
    [
        pytest.param(["all"], LAB, id="all"),
        pytest.param(["board=pi5"], [PI_A], id="a label"),
        pytest.param(["rack=a"], [PI_A, PI_B], id="a label of several"),
        pytest.param(["orin"], [ORIN], id="a name"),
        pytest.param(["1b"], [PI_B], id="an id"),
        pytest.param(["orin", "rack=a"], [PI_A, PI_B, ORIN], id="any one match is enough; the lab's order"),
        pytest.param(["pi-a", "rack=a", "all"], LAB, id="each once"),
        pytest.param([" board = pi5 "], [PI_A], id="space around"),
        pytest.param(["x=y"], [ODD], id="a name that looks like a label"),
    ],
)
def test_selected(selectors: list[str], chosen: list[Board]) -> None:
    assert select(LAB, selectors) == chosen


@pytest.mark.parametrize(
    ("boards", "selectors", "said"),
    [
        pytest.param(LAB, ["rack=b"], ["'rack=b'", "rack=a", "board=orin", "pi-a"], id="value of no board"),
        pytest.param(LAB, ["pi-c"], ["'pi-c'", "pi-a, pi-b"], id="name of no board"),
        pytest.param(LAB, ["all", "pi-c"], ["'pi-c'"], id="one of two matches nothing"),
        pytest.param(LAB, ["pi"], ["'pi'"], id="the start of a name"),
        pytest.param(LAB, [""], ["''"], id="an empty one"),
        pytest.param(LAB, [], ["no device is named"], id="none"),
        pytest.param([ODD], ["a=b"], ["(none)"], id="no board has labels"),
        pytest.param([], ["all"], ["no board has joined", "edgemeter token new"], id="an empty lab"),
    ],
)
def test_refused(boards: list[Board], selectors: list[str], said: list[str]) -> None:
    with pytest.raises(NoDeviceMatchesError) as caught:
        select(boards, selectors)
    for words in said:
        assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_large_lab_is_cut_short_in_errors() -> None:
    boards = [Board(f"{number}", f"board-{number:03}") for number in range(300)]
    with pytest.raises(NoDeviceMatchesError) as caught:
        select(boards, ["nobody"])
    assert "300 in all" in str(caught.value)
    assert len(str(caught.value)) < 600


TEXT = st.text("ab=", max_size=4)


@given(
    st.lists(st.builds(Board, st.uuids().map(str), TEXT, st.dictionaries(TEXT, TEXT)), max_size=5),
    st.lists(TEXT, max_size=3),
)
def test_a_selection_is_a_part_of_the_lab_or_an_error(boards: list[Board], selectors: list[str]) -> None:
    try:
        chosen = select(boards, selectors)
    except NoDeviceMatchesError:
        return
    assert chosen
    assert chosen == [board for board in boards if board in chosen]
