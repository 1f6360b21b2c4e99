"""Which numbers came out again."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemeter_coordinator.bundle.agreement import Compared, Says, agrees, changed_tools, compare, repeats
from edgemeter_coordinator.bundle.numbers import BOARD, METER, Measured, Number
from edgemeter_protos.v1 import device_pb2, lab_pb2


def number(value: float, low: float | None = None, high: float | None = None, name: str = "x") -> Number:
    return Number(name=name, value=value, low=low, high=high)


@pytest.mark.parametrize(
    ("then", "now", "agree"),
    [
        (number(1.0, 0.9, 1.1), number(1.15, 1.05, 1.25), True),
        # They touch.
        (number(1.0, 0.9, 1.1), number(1.2, 1.1, 1.3), True),
        (number(1.0, 0.9, 1.1), number(1.3, 1.2, 1.4), False),
        # One interval: the other value lies in it or not.
        (number(1.0, 0.9, 1.1), number(1.1), True),
        (number(1.2), number(1.0, 0.9, 1.1), False),
        # None: one percent.
        (number(100.0), number(101.0), True),
        (number(100.0), number(101.1), False),
        (number(0.0), number(0.0), True),
        (number(-100.0), number(-100.5), True),
        # A file's size.
        (number(1000, name="size_bytes"), number(1000, name="size_bytes"), True),
        (number(1000, name="size_bytes"), number(1005, name="size_bytes"), True),
        (number(1000, name="size_bytes"), number(1006, name="size_bytes"), False),
    ],
)
def test_agrees(then: Number, now: Number, agree: bool) -> None:
    assert agrees(then, now) is agree
    assert agrees(now, then) is agree


_REAL = st.floats(-1e6, 1e6)
_NUMBERS = st.builds(
    lambda value, half: number(value, *(() if half is None else (value - half, value + half))),
    _REAL,
    st.none() | st.floats(0, 1e6),
)


@given(_NUMBERS, _NUMBERS)
def test_agreement_has_no_order_and_holds_with_itself(one: Number, other: Number) -> None:
    assert agrees(one, one)
    assert agrees(one, other) is agrees(other, one)


@given(_NUMBERS, _NUMBERS, st.floats(0, 1e6))
def test_a_wider_interval_never_loses_agreement(one: Number, other: Number, more: float) -> None:
    if one.low is not None and one.high is not None and agrees(one, other):
        assert agrees(replace(one, low=one.low - more, high=one.high + more), other)


PI = lab_pb2.Device(
    id="1", name="pi", facts=device_pb2.DeviceFacts(board="Pi 5", soc="bcm2712", arch="aarch64", cpu_count=4)
)
OTHER_PI = lab_pb2.Device(id="2", name="pi-b", facts=PI.facts)
JETSON = lab_pb2.Device(id="3", name="jetson", facts=device_pb2.DeviceFacts(board="Orin Nano"))
EMULATED = lab_pb2.Device(id="4", name="qemu", facts=device_pb2.DeviceFacts(board="Pi 5", emulated=True))

NUMBERS = (
    Number(name="size_bytes", value=1000),
    Number(name="quality top1", value=0.9, low=0.85, high=0.95, samples=100),
    Number(name="latency_p50_ns", value=1e6, low=0.9e6, high=1.1e6, where=BOARD),
    Number(name="net_uj_per_inference", value=500, low=450, high=550, where=METER),
)


def measured(board: lab_pb2.Device = PI, **changed: object) -> Measured:
    usual = Measured(
        recipe="int8@tflite",
        device_id=board.id,
        verdict="valid",
        runtime="litert 2.3.0 CPU",
        meter="pmic pmic",
        numbers=NUMBERS,
    )
    return replace(usual, **changed)  # type: ignore[arg-type]


def against(now: Measured | None, board: lab_pb2.Device = PI, then: Measured | None = None) -> list[Compared]:
    return compare([then or measured()], [now] if now else [], {"1": PI}, {board.id: board})


def said(compared: list[Compared]) -> list[str]:
    return [each.says.value for each in compared]


AGREES, DIFFERS, MISSING = "agrees", "differs", "missing"
CANNOT_TELL, NOT = "cannot tell", "not compared"


@pytest.mark.parametrize(
    ("now", "board", "says"),
    [
        (measured(), PI, [AGREES] * 4),
        # Another board of the same kind.
        (measured(OTHER_PI), OTHER_PI, [AGREES] * 4),
        # Another kind: size and quality are the variant's own.
        (measured(JETSON), JETSON, [AGREES, AGREES, NOT, NOT]),
        (measured(EMULATED), EMULATED, [AGREES, AGREES, NOT, NOT]),
        (measured(runtime="litert 2.4.0 CPU"), PI, [AGREES, AGREES, NOT, NOT]),
        (measured(meter="shelly shelly"), PI, [AGREES, AGREES, AGREES, NOT]),
        # The variant answers the same, however busy its board was.
        (measured(verdict="void"), PI, [AGREES, AGREES, CANNOT_TELL, CANNOT_TELL]),
        (measured(verdict="degraded"), PI, [AGREES] * 4),
        (measured(numbers=NUMBERS[:1]), PI, [AGREES, MISSING, MISSING, MISSING]),
        (
            measured(numbers=(NUMBERS[0], replace(NUMBERS[1], samples=50))),
            PI,
            [AGREES, NOT, MISSING, MISSING],
        ),
        (measured(numbers=(number(2000, name="size_bytes"), *NUMBERS[1:])), PI, [DIFFERS, *[AGREES] * 3]),
        # A variant that failed this time.
        (None, PI, [MISSING] * 4),
    ],
)
def test_compare(now: Measured | None, board: lab_pb2.Device, says: list[str]) -> None:
    assert said(against(now, board)) == says


def test_why() -> None:
    told = {each.name: each.why for each in against(measured(JETSON), JETSON)}
    assert told["latency_p50_ns"] == "another kind of board: Pi 5 then, Orin Nano now"
    told = {each.name: each.why for each in against(measured(meter=""))}
    assert told["net_uj_per_inference"] == "another meter: pmic pmic then, none now"
    told = {each.name: each.why for each in against(measured(), then=measured(verdict="void"))}
    assert told["latency_p50_ns"] == "the verdict then is void"


def test_each_board_is_held_against_the_one_most_like_it() -> None:
    slow = replace(NUMBERS[2], value=9e6, low=8e6, high=10e6)
    then = [measured(JETSON, numbers=(slow,)), measured(PI, numbers=NUMBERS[2:3])]
    now = [measured(OTHER_PI, numbers=NUMBERS[2:3]), measured(JETSON, numbers=(slow,))]
    compared = compare(then, now, {"3": JETSON, "1": PI}, {"2": OTHER_PI, "3": JETSON})
    assert [(each.device, each.says) for each in compared] == [("pi-b", Says.AGREES), ("jetson", Says.AGREES)]


def test_changed_tools() -> None:
    def study(**tools: str) -> lab_pb2.Study:
        made = lab_pb2.Study()
        made.variants.add().manifest.tool_versions.update(tools)
        # One that failed was built by nothing.
        made.variants.add(error="out of memory")
        return made

    then = study(keras="3.13.0", numpy="2.1.0", gone="1")
    assert changed_tools(then, study(keras="3.14.1", numpy="2.1.0", new="2")) == [
        "keras 3.13.0 then, 3.14.1 now"
    ]
    assert changed_tools(then, then) == []


@pytest.mark.parametrize(
    ("says", "whole"),
    [
        ([Says.AGREES, Says.AGREES], True),
        ([Says.AGREES, Says.NOT_COMPARED, Says.CANNOT_TELL], True),
        ([Says.AGREES, Says.DIFFERS], False),
        ([Says.AGREES, Says.MISSING], False),
        # Nothing was repeated.
        ([Says.NOT_COMPARED, Says.CANNOT_TELL], False),
        ([], False),
    ],
)
def test_repeats(says: list[Says], whole: bool) -> None:
    one = Compared(recipe="r", device="d", name="x", then=NUMBERS[0], now=None, says=Says.AGREES)
    assert repeats([replace(one, says=each) for each in says]) is whole
